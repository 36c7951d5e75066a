"""What ties is in a fixed order: events that agree in all but their hash, stored in whatever order, at every read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from airline_fleet import store_records
from door_questions import Asked
from doors import Doors, opened_doors
from facts import an_event
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

TYPES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("tool_approval_requested", {"approval_id": "a"}),
    ("tool_approval_requested", {"approval_id": "a"}),
    ("tool_approval_granted", {"approval_id": "a"}),
    ("tool_approval_denied", {"approval_id": "a"}),
    ("tool_approval_requested", {}),
    ("tool_call_started", {}),
    ("tool_call_started", {}),
    ("tool_call_completed", {"tool_call_id": "nobody"}),
    ("run_failed", {"error_code": "e"}),
    ("run_failed", {"error_code": "f"}),
    ("token_usage_updated", {"cost_usd": "1", "model": "m"}),
)


def records() -> list[bytes]:
    """Return events of one moment: of two sessions, tenants and runs, each some more that only a number tells apart."""
    made = []
    for place, (session, tenant, run, (kind, data)) in enumerate(
        product("sS", (None, "t"), "rR", TYPES)
    ):
        call = {"tool_call_id": "c", "tool_name": "pay"} | data
        made.append(
            an_event(
                0, kind, session_id=session, tenant_id=tenant, run_id=run, number=place % 7,
                agent_id=f"agent-{place % 3}", event_id=f"019a8c5e-7d2b-7c3f-9a41-{place:012x}", **call,
            ).record
        )  # fmt: skip
    return made


QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    f"{name} {asked}, {limit} of them": (name, {"limit": limit} | asked)
    for name, asked in (
        ("search", {}),
        ("search", {"by": "append"}),
        ("search", {"order": "oldest"}),
        ("log", {"session": "s"}),
        ("runs", {}),
        ("sessions", {}),
        ("facets", {"field": ["agent", "run", "type", "error"]}),
        ("timeline", {"session": "s"}),
        ("approvals", {}),
        ("anomalies", {}),
    )
    for limit in (1, 3, 50)
} | {
    "usage": ("usage", {"by": ["agent", "tenant", "day"]}),
    "costs": ("costs", {"by": ["actor", "hour"]}),
    "two runs": ("compare", {"run_a": "r", "session_a": "s", "tenant_a": "t",
                             "run_b": "R", "session_b": "S", "tenant_b": ""}),
}  # fmt: skip


def answers(doors: Doors) -> dict[str, Any]:
    """Return what there is to each question; that the other doors say the same is tested elsewhere."""
    return {name: doors.http(Asked(*each, None, str, "")) for name, each in QUESTIONS.items()}


def stored(config: ClickHouseConfig, order: Sequence[int]) -> None:
    """Store the records alone, in that order of runs, each run in a part of its own at its own offsets."""
    made = records()
    with ClickHouse(config) as clickhouse:
        for table in ("event_log", "event_index", "event_usage"):
            clickhouse.command(f"TRUNCATE TABLE {table}")
            clickhouse.command(f"SYSTEM STOP MERGES {table}")
        for place in order:
            first = place * len(TYPES)
            store_records(clickhouse, made[first : first + len(TYPES)], first_offset=first)


@pytest.fixture
def doors(database: ClickHouseConfig, tmp_path: Path) -> Iterator[Doors]:
    """Open the doors over a database of the test's own."""
    with contextmanager(opened_doors)(database, tmp_path) as opened:
        yield opened


def test_what_ties_has_one_order(database: ClickHouseConfig, doors: Doors) -> None:
    """Parts that were written in another order, of which ClickHouse reads another first, move no answer."""
    runs = range(len(records()) // len(TYPES))
    stored(database, runs)
    first = answers(doors)
    assert [(name, _ordered(first[name])) for name in ORDERED] == [
        (name, sorted(_ordered(first[name]), reverse=reverse)) for name, reverse in ORDERED.items()
    ]
    _check_view(doors, first["approvals {}, 50 of them"]["approvals"])
    for order in (runs[::-1], sorted(runs, key=lambda place: place * 3 % len(runs))):
        stored(database, order)
        again = answers(doors)
        assert [name for name in QUESTIONS if again[name] != first[name]] == []


ORDERED = {"anomalies {}, 50 of them": False, "approvals {}, 50 of them": True}
"""Answers whose items are in the order of their names, or backwards."""


def _ordered(answer: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return what each call or approval is of, as far as that is its place."""
    if "approvals" in answer:
        return [(each["session_id"], each["tenant_id"] or "") for each in answer["approvals"]]
    return [
        (each["session_id"], each["tenant_id"] or "", each["run_id"], each["agent_id"])
        for each in answer["anomalies"]
        if each["kind"] == "tool_call_never_closed"
    ]


def _check_view(doors: Doors, approvals: Sequence[dict[str, Any]]) -> None:
    """Hold what the reader made of requests and answers of one moment against the view."""
    columns = (
        "session_id",
        "tenant_id",
        "run_id",
        "tool_call_id",
        "agent_id",
        "status",
        "answered_by",
        "answers",
    )
    rows = doors.reader.sql(
        f"SELECT {', '.join(columns)}, isNotNull(called_at) FROM approvals"
    ).rows
    told = [
        (
            *(each[name] or "" for name in columns[:-1]),
            each["answers"],
            each["called_at"] is not None,
        )
        for each in approvals
    ]
    assert sorted(told) == sorted((*row[:-1], bool(row[-1])) for row in rows)
