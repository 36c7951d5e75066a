"""The filter of a command: what of its words is a condition, and what an option."""

import sys

import pytest

from trailhouse.cli import search as search_command
from trailhouse.cli.main import main
from trailhouse.query import AuditReader, SearchFilter


def test_a_condition_that_is_negated_is_no_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``-agent:x`` may stand first, between options, or behind ``--``; any other option is refused."""
    asked: list[str] = []

    def filter_of(text: list[str], *_: object) -> SearchFilter:
        asked.append(" ".join(text))
        return SearchFilter()

    monkeypatch.setattr(search_command, "filter_of", filter_of)
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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["usage", "--agent", "planner"], "no such option: --agent; a condition has no dashes: agent:VALUE"),
        (["approvals", "--tool-call", "c"], "no such option: --tool-call; a condition has no dashes: tool_call:VALUE"),
        (["timeline", "--session", "s"], "no such option: --session; it has no dashes: `trailhouse timeline SESSION`"),
        (["log", "--session", "s"], "no such option: --session; it has no dashes: `trailhouse log SESSION_ID`"),
        (["runs", "--json"], "no such option: --json; write --format json"),
        (["export", "--parquet"], "no such option: --parquet; write --format parquet"),
        (["export", "--json"], "no such option: --json (Possible options: "),
        (["costs", "--since", "7d"], "no such command 'costs'; that is `trailhouse usage`"),
        (["proof", "costs"], "no such command 'costs'; see"),
        (["usage", "--zonn", "UTC"], "no such option: --zonn (Possible options: --zone)"),
    ],
)  # fmt: skip
def test_what_one_would_guess_is_answered_with_how_it_is_written(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A field as an option, an argument with dashes, a format, a name of the API: one line, with the way out."""
    assert main(arguments) == 2
    command = " ".join(arguments[:1] if arguments[0] != "costs" else [])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {told}")
    assert line.endswith(f"see `{' '.join(filter(None, ['trailhouse', command]))} --help`")
