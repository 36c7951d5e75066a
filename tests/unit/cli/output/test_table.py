"""Events as a table, and text that is safe on a terminal."""

import datetime as dt
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from trailhouse.cli.output.event_summary import content, subject
from trailhouse.cli.output.printable import printable, printable_json
from trailhouse.cli.output.table import EVENT_COLUMNS, event_rows, print_table, table_lines
from trailhouse.schemas import Actor, AuditEvent

LONG = "x" * 500


def event(**data: object) -> AuditEvent:
    """Return an event with this data."""
    return AuditEvent(
        type="message_sent",
        session_id="s",
        run_id="r0190a000-0000-7000-8000-00000000e5c0",
        data=data,
        occurred_at=dt.datetime(2026, 11, 28, 8, 0, 3, 1, tzinfo=dt.UTC),
    )


@given(st.text())
def test_printable_text_cannot_steer_a_terminal(text: str) -> None:
    """Whatever comes in, what goes out is printable; printable text is left alone."""
    safe = printable(text)
    assert safe.isprintable()
    assert (safe == text) == text.isprintable()


@given(st.recursive(
    st.none() | st.text() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
), st.sampled_from([None, 0, 1, "\t", "\r\n"]))  # fmt: skip
def test_printable_json_means_the_same(value: object, indent: int | str | None) -> None:
    """JSON stays JSON and means the same, and nothing in it can steer a terminal, however it is spaced."""
    spaced = json.dumps(
        value, ensure_ascii=False, indent=indent if isinstance(indent, int) else None
    )
    if isinstance(indent, str):
        spaced = f"{indent}{spaced}{indent}"
    safe = printable_json(spaced)
    assert all(line.isprintable() for line in safe.split("\n"))
    assert json.loads(safe) == value


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x9b31m", "\\x9b31m"),
        ("a\x7f\u200bb", "a\\x7f\\u200bb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb", "a\\nb"),
        ("\u202eabc", "\\u202eabc"),
        ("Zoë 飛", "Zoë 飛"),
    ],
)
def test_escapes_are_readable(text: str, safe: str) -> None:
    """Control characters and overrides show as escapes, letters of any script as themselves."""
    assert printable(text) == safe


def written(width: int, *, is_terminal: bool) -> list[str]:
    """Return the lines of a table of one long and hostile event."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=is_terminal, color_system=None, markup=False
    )
    print_table(
        console,
        EVENT_COLUMNS,
        event_rows([event(tool_name="search", content=f"\x1b[31m{LONG}\n{LONG}")]),
    )
    return stream.getvalue().splitlines()


def test_a_pipe_gets_every_cell_whole() -> None:
    """Without a terminal nothing is cut, and an event is one line."""
    lines = written(80, is_terminal=False)
    assert len(lines) == 2
    assert lines[1].endswith(f"\\x1b[31m{LONG}\\n{LONG}")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_a_terminal_gets_lines_that_fit(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal an event is one line of at most its width, with its time, type and what it is about."""
    lines = written(width, is_terminal=True)
    assert len(lines) == 2
    assert max(cell_len(line) for line in lines) <= width
    assert "message_sent" in lines[1]
    assert "search" in lines[1]
    assert "08:00:03" in lines[1]
    header = lines[0].split()
    left_out = [name for name in EVENT_COLUMNS if name not in header]
    assert ("no room for " + ", ".join(left_out) in capsys.readouterr().err) == bool(left_out)
    if width >= 80:
        assert not left_out
        assert lines[1].endswith("…")
        assert "r0190a" in lines[1]
        assert "e5c0 " in lines[1]


@pytest.mark.parametrize("width", [1, 5, 10, 20, 30])
def test_no_width_is_too_small(width: int) -> None:
    """However narrow a terminal is, no line is wider."""
    assert max(cell_len(line) for line in written(width, is_terminal=True)) <= width


@given(
    st.lists(st.sampled_from(["#", "time", "type", "run", "a", "spool", "topic"]), min_size=1, max_size=7, unique=True),
    st.lists(st.text(max_size=60), min_size=7, max_size=7),
    st.integers(1, 120),
)  # fmt: skip
def test_any_table_fits_any_width(columns: list[str], cells: list[str], width: int) -> None:
    """Whatever the cells hold, wide characters too, no line is wider than the terminal."""
    row = [printable(cell) for cell in cells[: len(columns)]]
    assert max(cell_len(line) for line in table_lines(columns, [row], width)) <= width


def test_columns_are_aligned_for_wide_characters() -> None:
    """A character of two cells moves the next column by two."""
    lines = table_lines(("a", "b"), [("飛行", "x"), ("ab", "y")], None)
    assert lines == ["a     b", "飛行  x", "ab    y"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"tool_name": "search"}, "search"),
        ({"error_code": "E7", "agent_id": "a"}, "E7"),
        ({"token_usage": {"input_tokens": 10, "output_tokens": 2}}, "10→2 tokens"),
        ({"input_tokens": 10}, "10→? tokens"),
        ({"total_tokens": 12, "cost_usd": 0.5}, "12 tokens $0.5"),
        ({"duration_ms": 12.5, "stop_reason": "end"}, "end 12.5 ms"),
        ({"tool_name": ["odd"], "token_usage": 7, "cost_usd": []}, '["odd"]'),
    ],
)
def test_the_subject_of_an_event(data: dict[str, object], expected: str) -> None:
    """Tool, error, tokens, cost and duration are told in a few words; odd shapes never fail."""
    assert subject(event(**data)) == expected


def test_the_subject_names_the_actor() -> None:
    """On whose behalf something happened is told."""
    actor = Actor(type="user", id="u-1")
    assert subject(AuditEvent(type="x", session_id="s", actor=actor)) == "for user:u-1"


def test_the_subject_of_a_read_is_who_read() -> None:
    """It stands first, for it is what one asks of them: a narrow terminal cuts the end."""
    actor = Actor(type="token", id="grafana")
    data = {"operation": "log", "duration_ms": 493.987}
    read = AuditEvent(type="audit_read", session_id="s", actor=actor, data=data)
    assert subject(read) == "token:grafana: log"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"content": "hello", "role": "user"}, "hello"),
        ({"error_message": "boom", "error_code": "E7"}, "boom"),
        ({"result": {"a": 1}}, '{"a": 1}'),
        ({"files": 3, "agent_id": "a"}, '{"files": 3}'),
        ({"agent_id": "a"}, ""),
    ],
)
def test_the_content_of_an_event(data: dict[str, object], expected: str) -> None:
    """What was said or answered comes first; otherwise the rest of the data."""
    assert content(event(**data)) == expected


def test_a_column_that_says_nothing_goes_first_and_is_not_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where not all fit, what is empty on the whole page makes room, and nobody is told to take a wider terminal."""
    columns = ("session", "status", "took", "increments", "totals")
    rows = [("airline-47", "failed", "27 ms", "", ""), ("airline-48", "completed", "", "", "")]
    whole = table_lines(columns, rows, 60)
    assert whole[0].split() == list(columns)
    narrow = table_lines(columns, rows, 30)
    assert [line.split() for line in narrow] == [
        ["session", "status", "took"],
        ["airline-47", "failed", "27", "ms"],
        ["airline-48", "completed"],
    ]
    console = Console(file=io.StringIO(), width=30, force_terminal=True)
    print_table(console, columns, rows)
    assert capsys.readouterr().err == ""


def test_a_type_that_is_cut_keeps_its_end() -> None:
    """Whether a call failed or began stands last in it."""
    rows = [("tool_call_failed", "x" * 30), ("tool_call_started", "y" * 30)]
    _, failed, started = table_lines(("type", "agent"), rows, 28)
    assert failed.split()[0] == "tool_ca…failed"
    assert started.split()[0] == "tool_ca…tarted"


@pytest.mark.parametrize(
    ("columns", "row", "whole"),
    [
        (
            ("time", "session", "run", "tool", "call", "status", "by", "after", "ran", "reason"),
            ("2026-11-30T15:58:36.432698Z", "airline-47", "airline-47-trial-3", "cancel_reservation",
             "call_Td4HrgeMPuBcDgM5tKBto3Ym", "granted", "user:ann", "4.0 s", "UNGRANTED", "as asked in run 197"),
            ("airline-47", "granted", "user:ann", "UNGRANTED"),
        ),
        (
            ("agent", "model", "day", "input", "output", "increments", "totals", "unpriced", "differ"),
            ("planner", "gpt-4o-mini", "2026-11-30", "290283", "21827", "$6.5546775", "$4.0845", "4", "yes"),
            ("planner", "2026-11-30", "$6.5546775", "$4.0845", "yes"),
        ),
        (
            ("started", "session", "run", "agent", "status", "error", "took", "events", "tools", "increments"),
            ("2026-11-30T15:57:17.432698Z", "airline-47", "trial-0", "airline-gpt-4o", "failed", "no_seat", "119.0 s",
             "30", "7", "$0.2175"),
            ("airline-47", "trial-0", "failed", "no_seat", "$0.2175"),
        ),
    ],
)  # fmt: skip
def test_what_was_asked_for_is_whole_on_a_usual_terminal(
    columns: tuple[str, ...], row: tuple[str, ...], whole: tuple[str, ...]
) -> None:
    """Who answered, both books of cost, and which run it was are not what gives way first."""
    _, line = table_lines(columns, [row], 80)
    assert [each for each in whole if each not in line.split()] == []
