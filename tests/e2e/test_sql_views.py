"""The views that readers ask in SQL, against answers computed apart from the same events."""

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from airline_fleet import by_run, calls_of, fleet, store_fleet, store_records
from stored import event
from trailhouse.consumer.batch.promoted import promote
from trailhouse.schemas import Actor, AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

VIEWS = ("events", "runs", "sessions", "token_usage", "tool_calls", "approvals")
ENDINGS = {
    f"run_{name}": name for name in ("completed", "failed", "cancelled", "timeout", "abandoned")
}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def sql(database_of_module: ClickHouseConfig) -> Iterator[ClickHouse]:
    """Return a database that holds the fleet, a third of it twice."""
    store_fleet(database_of_module, fleet())
    with ClickHouse(database_of_module) as clickhouse:
        yield clickhouse


def rows(clickhouse: ClickHouse, statement: str) -> list[dict[str, Any]]:
    """Return the rows of *statement* by column."""
    found = clickhouse.query(statement)
    return [dict(zip(found.names, row, strict=True)) for row in found.rows]


def total(values: list[Any]) -> Any:
    """Return the sum of what is known, None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def book(events: list[AuditEvent], type: str) -> tuple[Any, Any, Any, int]:
    """Return the tokens read and written and the cost that the events of *type* say, and how many say no cost."""
    said = [promote(event.data) for event in events if event.type == type]
    costs = [row[7] for row in said]
    return (
        total([row[4] for row in said]), total([row[5] for row in said]), total(costs), costs.count(None),
    )  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_every_column_says_what_it_holds(sql: ClickHouse, view: str) -> None:
    """DESCRIBE gives a type and a comment for each column, the types are the query's own, and each can be read."""
    described = sql.query(f"DESCRIBE {view}").rows
    assert all(len(comment) > 6 for _, _, _, _, comment, *_ in described)
    [[statement]] = sql.query(
        "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {view:String}",
        {"view": view},
    ).rows
    assert [row[:2] for row in sql.query(f"DESCRIBE ({statement})").rows] == [
        row[:2] for row in described
    ]
    assert sql.query(f"SELECT * FROM {view} LIMIT 3").names == tuple(row[0] for row in described)


def test_every_run_has_its_outcome_and_two_books(sql: ClickHouse) -> None:
    """A run's status is its last ending event's, and its two books are summed apart."""
    expected = []
    for (tenant, session, run), events in sorted(by_run().items()):
        endings = [event for event in events if event.type in ENDINGS]
        last = endings[-1] if endings else None
        expected.append(
            (tenant, session, run, events[0].parent_run_id or "", events[0].agent_id,
             ENDINGS[last.type] if last else "running", events[0].occurred_at, events[-1].occurred_at,
             last.occurred_at if last else None, last.data.get("error_code", "") if last else "",
             len(events), sum(event.type == "tool_call_started" for event in events),
             *book(events, "token_usage_updated"), *book(events, "run_completed"))
        )  # fmt: skip
    found = sql.query("SELECT * FROM runs ORDER BY tenant_id, session_id, run_id").rows
    assert found == expected
    assert {row[5] for row in expected} == {
        "running",
        "completed",
        "failed",
        "timeout",
        "abandoned",
    }


def test_every_session_counts_what_it_holds(sql: ClickHouse) -> None:
    """A session's runs, events, errors and books are those of its events."""
    of_session: dict[tuple[str, str], list[AuditEvent]] = defaultdict(list)
    for (tenant, session, _), events in by_run().items():
        of_session[tenant, session] += events
    expected = [
        (tenant, session, ["airline-gpt-4o"], "", min(event.occurred_at for event in events),
         max(event.occurred_at for event in events), len({event.run_id for event in events}), len(events),
         sum(event.type == "tool_call_started" for event in events),
         sum(event.type.endswith("_failed") for event in events),
         *book(events, "token_usage_updated")[2:], *book(events, "run_completed")[2:])
        for (tenant, session), events in sorted(of_session.items())
    ]  # fmt: skip
    assert sql.query("SELECT * FROM sessions ORDER BY tenant_id, session_id").rows == expected


def test_usage_is_one_row_an_event_in_its_book(sql: ClickHouse) -> None:
    """Each event that keeps a book, or carries tokens or a cost, stands there once, with its exact cost."""
    expected = sorted(
        (event.session_id, event.run_id, name, *promote(event.data)[4:8])
        for event in fleet()
        for kind, name in (("token_usage_updated", "updated"), ("run_completed", "completed"))
        if event.type == kind
    )
    found = sql.query(
        "SELECT session_id, run_id, book, input_tokens, output_tokens, total_tokens, cost_usd FROM token_usage"
    ).rows
    assert sorted(found) == expected


def test_a_tool_call_is_its_start_and_its_end(sql: ClickHouse) -> None:
    """The events of a call are paired by its id, in turn where an id is used again; one without an end is open."""
    expected = []
    for key, events in by_run().items():
        for call in calls_of(events, "tool_call_id", "tool_call_started", "tool_call_"):
            start, *ends = call
            assert start.type == "tool_call_started"
            end = ends[-1] if ends else None
            expected.append(
                (*key, start.data["tool_call_id"], start.data["tool_name"],
                 end.type.removeprefix("tool_call_") if end else "open",
                 start.occurred_at, end.occurred_at if end else None, len(call))
            )  # fmt: skip
    found = sql.query(
        "SELECT tenant_id, session_id, run_id, tool_call_id, tool_name, status, started_at, ended_at, events"
        " FROM tool_calls"
    ).rows
    assert len(found) == sum(event.type == "tool_call_started" for event in fleet())
    assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_an_approval_says_who_answered_and_whether_the_call_ran_anyway(sql: ClickHouse) -> None:
    """A call that was denied, never answered or granted too late, and started all the same, is named."""
    expected = []
    for key, events in by_run().items():
        for asked, *answers in calls_of(
            events, "tool_call_id", "tool_approval_requested", "tool_approval_"
        ):
            call_id = asked.data["tool_call_id"]
            answer = answers[-1] if answers else None
            start = next(
                event
                for event in events
                if event.type == "tool_call_started"
                and event.data["tool_call_id"] == call_id
                and event.occurred_at >= asked.occurred_at
            )
            in_time = answer is not None and answer.occurred_at <= start.occurred_at
            granted = answer is not None and answer.type == "tool_approval_granted"
            expected.append(
                (*key, call_id, asked.data["tool_name"], "bookings",
                 answer.data["decision"] if answer else "open", asked.occurred_at,
                 answer.occurred_at if answer else None,
                 (answer.occurred_at - asked.occurred_at).total_seconds() * 1000 if answer else None,
                 answer.data["approver"]["id"] if answer else "", answer.data["reason"] if answer else "",
                 start.occurred_at, not (granted and in_time))
            )  # fmt: skip
    found = sql.query(
        "SELECT tenant_id, session_id, run_id, approval_id, tool_name, policy_name, status, requested_at, answered_at,"
        " answer_ms, answered_by, reason, called_at, ran_ungranted FROM approvals"
    ).rows
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert {(row[6], row[-1]) for row in expected} == {
        ("granted", False), ("granted", True), ("denied", True), ("open", True),
    }  # fmt: skip


def test_what_happened_is_read_by_path(sql: ClickHouse) -> None:
    """`data` of the view gives any key of an event, of a column or not, and so does the record itself."""
    for path in ("data, 'role'", "record, 'data', 'role'"):
        [[found]] = sql.query(
            f"SELECT countIf(JSONExtractString({path}) = 'user') FROM events"
        ).rows
        assert found == sum(event.data.get("role") == "user" for event in fleet()) > 1000


def at(seconds: int) -> dt.datetime:
    """Return a moment of the first of October."""
    return dt.datetime(2026, 10, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)


def told(
    database: ClickHouseConfig, events: list[AuditEvent], statement: str
) -> list[tuple[Any, ...]]:
    """Store *events*, each of them twice, and return what the view says."""
    with ClickHouse(database) as clickhouse:
        for first_offset in (0, 1000):
            store_records(clickhouse, [each.record for each in events], first_offset)
        return clickhouse.query(statement).rows


def of_run(kind: str, seconds: int, **data: Any) -> AuditEvent:
    """Return an event of a run of tenant a, at a moment."""
    actor = Actor(type="user", id="eve")
    return event(
        "s", kind, run_id="r", tenant_id="a", occurred_at=at(seconds), actor=actor, data=data
    )


def test_odd_tool_calls_are_shown_as_they_are(database: ClickHouseConfig) -> None:
    """An end without a start, events without an id, and an end at the moment of its start."""
    events = [
        of_run("tool_call_completed", 1, tool_call_id="end"),
        of_run("tool_call_started", 2, tool_name="x"),
        of_run("tool_call_completed", 3, tool_name="x"),
        of_run("tool_call_started", 4, tool_call_id="both"),
        of_run("tool_call_failed", 4, tool_call_id="both", error_code=7),
    ]
    columns = "tool_call_id, status, started_at, ended_at, elapsed_ms, error_code, events"
    assert told(database, events, f"SELECT {columns} FROM tool_calls ORDER BY first_us") == [
        ("end", "completed", None, at(1), None, "", 1),
        ("", "open", at(2), None, None, "", 1),
        ("", "completed", None, at(3), None, "", 1),
        ("both", "failed", at(4), at(4), 0.0, "7", 2),
    ]


def test_odd_answers_are_shown_as_they_are(database: ClickHouseConfig) -> None:
    """An answer without a request, a change of mind, requests without an id; the reader's settings change nothing."""
    events = [
        of_run("tool_call_started", 4, tool_call_id="call"),
        of_run("tool_approval_granted", 1, approval_id="mind", tool_call_id="call"),
        of_run("tool_approval_denied", 3, approval_id="mind"),
        of_run("tool_approval_requested", 9),
        of_run("tool_approval_requested", 9, policy_name="p"),
    ]
    columns = (
        "approval_id, tool_call_id, status, requested_at, answered_at, answered_by, answers,"
        " called_at, ran_ungranted"
    )
    asked = f"SELECT {columns} FROM approvals ORDER BY first_us, policy_name SETTINGS join_use_nulls = 1"
    assert told(database, events, asked) == [
        ("mind", "call", "denied", None, at(3), "eve", 2, at(4), True),
        ("", "", "open", at(9), None, "", 0, None, False),
        ("", "", "open", at(9), None, "", 0, None, False),
    ]


def test_sums_are_exact_and_never_wrap(database: ClickHouseConfig) -> None:
    """The largest costs and counts add up, and a run that nobody priced has no cost instead of none at all."""
    cost, tokens = "99999999999999999999.99", 2**64 - 1
    most = {"cost_usd": cost, "input_tokens": tokens}
    events = [
        *(event("s", "token_usage_updated", run_id="r", data=most) for _ in range(3)),
        event("s", "run_completed", run_id="r", data={"token_usage": {"input_tokens": 1}}),
    ]
    columns = "updated_cost_usd, updated_input_tokens, updated_unpriced, completed_cost_usd, completed_unpriced, status"
    assert told(database, events, f"SELECT {columns} FROM runs") == [
        (3 * Decimal(cost), 3 * tokens, 0, None, 1, "completed")
    ]


def test_of_two_endings_the_later_decides(database: ClickHouseConfig) -> None:
    """By when they occurred, and at the same moment by their key; whichever was stored first."""
    late, early = (
        event("s", kind, run_id="r", occurred_at=at(seconds))
        for kind, seconds in (("run_failed", 5), ("run_completed", 3))
    )
    pair = [
        event("s", kind, run_id="q", occurred_at=at(1)) for kind in ("run_timeout", "run_cancelled")
    ]
    larger = max(pair, key=lambda each: hashlib.sha256(each.record).digest())
    found = told(
        database, [late, *pair, early], "SELECT run_id, status, ended_at FROM runs ORDER BY run_id"
    )
    assert found == [("q", ENDINGS[larger.type], at(1)), ("r", "failed", at(5))]


def test_data_of_any_event_can_be_read_by_path(database: ClickHouseConfig) -> None:
    """Huge numbers, null characters, keys that a JSON column refuses, deep nesting: the key beside them is found."""
    good = event("s", data={"a": 1, "key": "a.b"}).record
    odd = (b"9" * 90, b"-0", b"1E+5", b'"\\u0000"', b'{"b":1},"a.b":2', b"[" * 250 + b"]" * 250)
    records = [good.replace(b'"a":1', b'"a":' + value) for value in odd]
    with ClickHouse(database) as clickhouse:
        store_records(clickhouse, records)
        found = clickhouse.query(
            "SELECT record, JSONExtractString(data, 'key') FROM events", bytes_columns=("record",)
        ).rows
    assert sorted(found) == sorted((record, "a.b") for record in records)
