"""The filter of a command: what of its words is a condition, and what an option."""

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
