"""The statements of docs/cookbook.md, each against rows that are worked out apart from the recorded runs."""

import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airline_fleet import by_run, calls_of, fleet, store_fleet
from trailhouse.consumer.batch.promoted import promote
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouseConfig

pytestmark = pytest.mark.cluster

COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook.md"
STATEMENTS = {
    int(number): statement
    for number, statement in re.findall(
        r"^### (\d+)\. [^\n]*\n\n```sql\n(.*?)```",
        COOKBOOK.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
}
ENDINGS = ("completed", "failed", "cancelled", "timeout", "abandoned")
MILLISECOND = dt.timedelta(milliseconds=1)


class Run(NamedTuple):
    """A run as the oracle sees it."""

    tenant: str
    session: str
    run: str
    events: list[AuditEvent]

    @property
    def ending(self) -> AuditEvent | None:
        """Its last ending event."""
        return next(
            (e for e in reversed(self.events) if e.type.removeprefix("run_") in ENDINGS), None
        )

    @property
    def status(self) -> str:
        """What that says."""
        return self.ending.type.removeprefix("run_") if self.ending else "running"

    def cost(self, kind: str) -> Decimal | None:
        """Return the cost of its one event of a type."""
        costs = [promote(event.data)[7] for event in self.events if event.type == kind]
        return costs[0] if costs else None

    @property
    def usd(self) -> Decimal | None:
        """Its cost by the first book."""
        return self.cost("token_usage_updated")


class Call(NamedTuple):
    """A tool call, or an approval, with its run."""

    run: Run
    events: list[AuditEvent]

    @property
    def first(self) -> AuditEvent:
        """Its start, or what was asked."""
        return self.events[0]

    @property
    def last(self) -> AuditEvent | None:
        """Its end, or the answer."""
        return self.events[-1] if len(self.events) > 1 else None

    @property
    def ms(self) -> float:
        """From the one to the other."""
        assert self.last is not None
        return (self.last.occurred_at - self.first.occurred_at) / MILLISECOND

    @property
    def called(self) -> AuditEvent:
        """The call that this approval was for."""
        return next(
            event
            for event in self.run.events
            if event.type == "tool_call_started"
            and event.data["tool_call_id"] == self.first.data["tool_call_id"]
            and event.occurred_at >= self.first.occurred_at
        )

    @property
    def answer(self) -> str:
        """What was answered."""
        return self.last.data["decision"] if self.last else "open"


RUNS = [Run(*key, events) for key, events in by_run().items()]
CALLS = [
    Call(run, call)
    for run in RUNS
    for call in calls_of(run.events, "tool_call_id", "tool_call_started", "tool_call_")
]
APPROVALS = [
    Call(run, call)
    for run in RUNS
    for call in calls_of(run.events, "tool_call_id", "tool_approval_requested", "tool_approval_")
]
UPDATES = [event for event in fleet() if event.type == "token_usage_updated"]


def day(event: AuditEvent) -> dt.datetime:
    """Return the beginning of its day."""
    return event.occurred_at.replace(hour=0, minute=0, second=0, microsecond=0)


def hour(event: AuditEvent) -> dt.datetime:
    """Return the beginning of its hour."""
    return event.occurred_at.replace(minute=0, second=0, microsecond=0)


def of_session(session: str) -> list[AuditEvent]:
    """Return a session's events in order of time."""
    return sorted((e for e in fleet() if e.session_id == session), key=lambda e: e.occurred_at)


def spent(key: Any) -> dict[Any, list[Any]]:
    """Return by key the promoted columns of each event of the first book."""
    found: dict[Any, list[Any]] = defaultdict(list)
    for event in UPDATES:
        found[key(event)].append(promote(event.data))
    return found


def usd(rows: list[Any]) -> Decimal:
    """Return what is known of their cost."""
    return sum((row[7] for row in rows if row[7] is not None), Decimal(0))


def failed_on_the_second() -> list[tuple[Any, ...]]:
    """Return the runs that failed on that day."""
    found = [
        run
        for run in RUNS
        if run.status == "failed" and run.ending and run.ending.occurred_at.day == 2
    ]
    return sorted(
        (
            (r.session, r.run, r.ending.data["error_code"], r.ending.occurred_at)
            for r in found
            if r.ending
        ),
        key=lambda row: (row[3], row[0], row[1]),
    )


def longest() -> list[tuple[Any, ...]]:
    """Return the ten runs that took longest."""
    rows = [
        (r.session, r.run, int((r.ending.occurred_at - r.events[0].occurred_at).total_seconds()))
        for r in RUNS
        if r.ending
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))[:10]


def busiest() -> list[tuple[Any, ...]]:
    """Return the five sessions with most events."""
    found: dict[str, list[AuditEvent]] = defaultdict(list)
    for event in fleet():
        found[event.session_id].append(event)
    rows = [
        (name, len({e.run_id for e in events}), len(events), sum(e.type == "tool_call_started" for e in events),
         sum(e.type.endswith("_failed") for e in events))
        for name, events in found.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:5]


def by_tool() -> dict[str, list[Call]]:
    """Return the calls of each tool."""
    found: dict[str, list[Call]] = defaultdict(list)
    for call in CALLS:
        found[call.first.data["tool_name"]].append(call)
    return found


def answers() -> list[tuple[Any, ...]]:
    """Return who answered what, how often and how slowly."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for asked in APPROVALS:
        if asked.last:
            found[asked.last.data["approver"]["id"], asked.answer].append(asked.ms)
    return [(*key, len(times), max(times)) for key, times in sorted(found.items())]


def ungranted() -> list[tuple[Any, ...]]:
    """Return the calls that began before a grant, or without one."""
    rows = [
        (a.run.session, a.run.run, a.first.data["tool_name"], a.answer, a.last.data["approver"]["id"] if a.last else "",
         a.called.occurred_at)
        for a in APPROVALS
        if not (a.last and a.answer == "granted" and a.last.occurred_at <= a.called.occurred_at)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row[5], row[0], row[1]))


def answered_in_02() -> list[tuple[Any, ...]]:
    """Return what was answered about changed flights in one session."""
    found = [
        (a.first.occurred_at, a.answer, a.last)
        for a in APPROVALS
        if a.run.session == "airline-02"
        and a.first.data["tool_name"] == "update_reservation_flights"
    ]
    return [
        ("update_reservation_flights", answer, e.data["approver"]["id"] if e else "", e.data["reason"] if e else "",
         e.occurred_at if e else None)
        for _, answer, e in sorted(found, key=lambda row: row[0])
    ]  # fmt: skip


def by_status() -> list[tuple[Any, ...]]:
    """Return by status how many runs have a price, and the dearest."""
    found: dict[str, list[Decimal]] = defaultdict(list)
    for run in RUNS:
        if (cost := run.usd) is not None:
            found[run.status].append(cost)
    return [(status, len(costs), max(costs)) for status, costs in sorted(found.items())]


def counted(rows: Any) -> list[tuple[Any, ...]]:
    """Return each different row with how often it is there, in order."""
    return [(*key, count) for key, count in sorted(Counter(rows).items())]


def median_and_longest(calls: list[Call]) -> tuple[float, float]:
    """Return the middle one of their times, the later of two, and the last one."""
    times = sorted(call.ms for call in calls if call.last)
    return times[len(times) // 2], times[-1]


EXPECTED: dict[int, list[tuple[Any, ...]]] = {
    1: [
        (e.occurred_at, e.type, e.run_id, e.data.get("tool_name", ""), e.data.get("error_code", ""))
        for e in of_session("airline-06")
    ],
    2: failed_on_the_second(),
    3: counted((run.tenant, run.status) for run in RUNS),
    4: [
        (r.session, r.run, r.events[-1].occurred_at)
        for r in sorted(RUNS, key=lambda r: (r.events[-1].occurred_at, r.session, r.run))
        if r.status == "running"
    ],
    5: longest(),
    6: counted((r.session, r.events[0].parent_run_id) for r in RUNS if r.events[0].parent_run_id),
    7: busiest(),
    8: [
        (*key, usd(rows), sum(row[7] is None for row in rows))
        for key, rows in sorted(spent(lambda e: (e.agent_id, day(e))).items())
    ],
    9: sorted(
        (
            ("openai", model, sum(row[4] for row in rows), sum(row[5] for row in rows), usd(rows))
            for model, rows in spent(lambda e: e.data["model"]).items()
        ),
        key=lambda row: -row[4],
    ),
    10: [
        (tenant, 202610, usd(rows)) for tenant, rows in sorted(spent(lambda e: e.tenant_id or "").items())
    ],
    11: sorted(
        (("user", actor, usd(rows)) for actor, rows in spent(lambda e: e.actor.id).items()),
        key=lambda row: -row[2],
    )[:3],
    12: sorted(
        (r.session, r.run, r.usd, told, told - r.usd)
        for r in RUNS
        if (told := r.cost("run_completed")) is not None and r.usd is not None and told != r.usd
    ),
    13: sorted((r.session, r.run, 1) for r in RUNS if r.usd is None),
    14: sorted(
        ((r.session, r.run, r.usd) for r in RUNS if r.usd is not None), key=lambda row: (-row[2], row[0], row[1])
    )[:10],
    15: by_status(),
    16: sorted(
        ((tool, len(calls), sum(c.last is not None and c.last.type == "tool_call_failed" for c in calls))
         for tool, calls in by_tool().items()),
        key=lambda row: (-row[2], -row[1], row[0]),
    ),
    17: [(tool, *median_and_longest(calls)) for tool, calls in sorted(by_tool().items())],
    18: [
        (e.occurred_at, e.data["tool_name"], e.data["arguments"])
        for e in of_session("airline-06")
        if e.type == "tool_call_started"
    ],
    19: [
        (a.run.session, a.run.run, a.first.data["tool_name"], a.first.occurred_at)
        for a in sorted(APPROVALS, key=lambda a: (a.first.occurred_at, a.run.session, a.run.run))
        if not a.last
    ],
    20: answers(),
    21: ungranted(),
    22: answered_in_02(),
    23: counted((day(e), e.data["error_code"]) for e in fleet() if "error_code" in e.data),
    24: counted((e.session_id,) for e in fleet() if b"mia_li_3668" in e.record),
    25: [
        (at, len(types), len(set(types)))
        for at, types in sorted(
            {at: [e.type for e in fleet() if hour(e) == at] for at in {hour(e) for e in fleet()}}.items()
        )
    ],
    26: sorted(
        (actor, "unattested", count)
        for actor, count in Counter(
            e.actor.id if e.actor else ""
            for e in fleet()
            if e.type in ("tool_approval_granted", "tool_approval_denied")
        ).items()
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def reader(database_of_module: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of the fleet, a third of it stored twice."""
    store_fleet(database_of_module, fleet())
    with AuditReader(config=database_of_module) as reader:
        yield reader


def test_there_are_twenty_six_statements() -> None:
    """Each is numbered and has its rows here."""
    assert list(STATEMENTS) == list(range(1, 27)) == list(EXPECTED)


@pytest.mark.parametrize("number", EXPECTED)
def test_a_statement_answers_its_question(reader: AuditReader, number: int) -> None:
    """Its rows, in their order, are those of the events; copies change nothing."""
    answer = reader.sql(STATEMENTS[number], limit=5_000)
    assert answer.complete
    assert EXPECTED[number]
    assert [tuple(row) for row in answer.rows] == EXPECTED[number]
