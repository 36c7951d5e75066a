"""The filter of a command: what of its words is a condition, and what an option."""

import sys

import pytest

from trailhouse.cli import search as search_command
from trailhouse.cli.main import main
from trailhouse.query import AuditReader


def test_a_condition_that_is_negated_is_no_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``-agent:x`` may stand first, between options, or behind ``--``; any other option is refused."""
    asked: list[str] = []
    monkeypatch.setattr(search_command, "filter_of", lambda text, *_: asked.append(" ".join(text)))
    monkeypatch.setattr(search_command, "show_page", lambda *_: None)
    monkeypatch.setattr(AuditReader, "search", lambda *_, **__: None)
    for arguments in (
        ["-agent:x", "type:a"],
        ["--tenant", "-t:1", "-agent:x", "--limit", "3", "type:a"],
        ["--oldest-first", "-agent:x", "--", "type:a"],
        ["--limit=3", "--", "-agent:x", "type:a"],
    ):
        assert main(["search", *arguments]) == 0, capsys.readouterr().err
    assert [each.split() for each in asked] == [["-agent:x", "type:a"]] * 4
    assert main(["search", '-"a phrase"']) == 0
    assert asked[-1].strip() == '-"a phrase"'
    assert main(["search", "-format", "json"]) == 2
    assert "no such option: -f" in capsys.readouterr().err


def test_a_filter_that_is_not_understood_is_shown_to_people_with_a_caret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the caret stands below the place; a log has one line, which names the character."""
    assert main(["search", "agent:x statu:y"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: filter, character 9: is not a field")
    assert line.endswith("write it in quotes")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["search", "agent:x statu:y"]) == 2
    assert capsys.readouterr().err.splitlines() == [line, "  agent:x statu:y", "          ^"]
