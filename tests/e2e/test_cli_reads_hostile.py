"""What strangers write into events, as the commands that ask the log show it: never a forged row, never a colour."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from airline_fleet import store_records
from balancing import run_here
from trailhouse.query import Condition, SearchFilter, render
from trailhouse.schemas import Actor, AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster
HOSTILE = (
    "\x1b]0;PWN\x07\x1b[2J\x9b31m\x85\u202egnp.exe\u2066\u200b\u200d\ufeff\u2028\r\n2026-01-01  forged  row\n"
    "=cmd|'/c calc'!A0\x7f[link=http://x]y[/link]:boom:\U000e0041 \"a,b\" {x:String}"
)
TYPES = (
    "run_started",
    "message_sent",
    "tool_approval_requested",
    "tool_approval_granted",
    "tool_call_started",
    "token_usage_updated",
    "run_failed",
)
EVENTS = [
    AuditEvent(
        type=kind, session_id=HOSTILE, run_id=HOSTILE, agent_id=HOSTILE, actor=Actor(type=HOSTILE, id=HOSTILE),
        data={
            "content": HOSTILE, "tool_name": HOSTILE, "tool_call_id": HOSTILE, "error_code": HOSTILE, "model": HOSTILE,
            "error_message": HOSTILE, "reason": HOSTILE, HOSTILE: HOSTILE, "cost_usd": 0.5, "input_tokens": 3,
            "approver": {"type": HOSTILE, "id": HOSTILE},
        },
    )
    for kind in TYPES
]  # fmt: skip
OF_SESSION = SearchFilter(conditions=(Condition(field="session", values=(HOSTILE,)),))
FORMATS = ("table", "json", "jsonl", "csv")
COMMANDS: list[tuple[tuple[str, ...], int]] = [
    (("search", render(OF_SESSION)), len(TYPES)),
    (("sessions",), 1),
    (("runs",), 1),
    (("usage", "--by", "agent", "--by", "model"), 1),
    (("timeline", HOSTILE), 1),
    (("show", EVENTS[1].event_id), 1),
    (("approvals",), 1),
    (("anomalies", "--idle-seconds", "0.000001"), 1),
    (("compare", HOSTILE, HOSTILE), 6),
    (("sql", "SELECT * EXCEPT (event_id) FROM events"), len(TYPES)),
    (("sql", HOSTILE), 0),
    (("search", HOSTILE), 0),
    (("usage", "--zone", HOSTILE), 0),
    (("sessions", "--tenant", HOSTILE), 0),
    (("search", "--cursor", HOSTILE), 0),
]
"""Each with how many rows it has at least; 0 where it has none."""

Ask = Callable[..., tuple[str, str]]


@pytest.fixture
def ask(database: ClickHouseConfig) -> Ask:
    """Return what runs a command on a database with hostile events, and gives both its streams."""
    with ClickHouse(database) as clickhouse:
        store_records(clickhouse, [event.record for event in EVENTS])
    settings = {
        "TRAILHOUSE_CLICKHOUSE_URL": database.url,
        "TRAILHOUSE_CLICKHOUSE_USER": database.user,
        "TRAILHOUSE_CLICKHOUSE_PASSWORD": database.password,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": database.database,
    }

    def run(*arguments: str) -> tuple[str, str]:
        result = run_here(*arguments, settings=settings)
        return result.stdout.decode(), result.stderr.decode()

    return run


@pytest.mark.long
def test_nothing_stored_forges_a_row_or_steers_a_terminal(ask: Ask) -> None:
    """In every format each line is printable, a row is one line, and JSON means what was stored."""
    for command, rows in COMMANDS:
        for form in FORMATS if rows else FORMATS[:1]:
            output, errors = ask(*command, "--format", form, "--show-sql")
            harmful = {part for part in output + errors if not part.isprintable()} - {"\n"}
            assert not harmful, (command, form, harmful)
            assert "Traceback" not in errors
            assert "unexpected" not in errors, errors
            if form == "jsonl":
                assert len(list(map(json.loads, output.splitlines()))) >= rows
            elif form == "csv":
                read = list(csv.reader(io.StringIO(output)))
                assert len({len(row) for row in read}) <= 1
                assert len(read) == len(output.splitlines())
                assert not any(cell.startswith(("=", "@", "+")) for row in read for cell in row)
            elif form == "json" and rows:
                assert HOSTILE in texts_of(json.loads(output))
            elif rows:
                assert len(output.splitlines()) > rows


def texts_of(value: Any) -> set[str]:
    """Return every text in a JSON value, keys included."""
    match value:
        case str():
            return {value}
        case dict():
            return set(value).union(*(texts_of(each) for each in value.values()))
        case list():
            return set().union(*(texts_of(each) for each in value))
        case _:
            return set()


def test_only_a_terminal_has_colours(ask: Ask) -> None:
    """What is read by a program has no escape sequence in it."""
    for form in FORMATS:
        output, errors = ask("runs", "--format", form)
        assert "\x1b" not in output + errors
