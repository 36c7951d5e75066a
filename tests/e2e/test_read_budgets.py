"""Budgets of reads: what others wrote costs a bound reader nothing, and a walk with any budget ends."""

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from stored import in_order, store
from trailhouse.query import AuditReader, Page, ReadBudget
from trailhouse.schemas import Actor, AuditEvent
from trailhouse.schemas.errors import StorageLimitError
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.clickhouse import Result

pytestmark = pytest.mark.cluster
AT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
EVENTS = 24_000
FOREIGN = 60
MOST_PAGES = 200


def event_of(number: int) -> AuditEvent:
    """Return one of many events, every second of them of another tenant."""
    tenant = "acme" if number % 2 else "other"
    return AuditEvent(
        type="message_sent",
        session_id=f"s{number // 40}",
        tenant_id=tenant,
        run_id=f"{tenant}-{number // 40}",
        actor=Actor(type="user", id=f"{tenant}-{number // 40}"),
        occurred_at=AT + dt.timedelta(seconds=number),
        data={"number": number},
    )


@pytest.fixture(scope="module")
def filled(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database with the events of two tenants in the same sessions."""
    for start in range(0, EVENTS, 4_000):
        store(
            database_of_module,
            in_order([event_of(number) for number in range(start, start + 4_000)], start),
        )
    return database_of_module


@pytest.fixture
def crossed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many rows each statement brings back."""
    counted: list[int] = []
    ask = ClickHouse.query

    def counting(self: ClickHouse, *args: Any, **settings: Any) -> Result:
        found = ask(self, *args, **settings)
        counted.append(len(found.rows))
        return found

    monkeypatch.setattr(ClickHouse, "query", counting)
    return counted


@pytest.mark.parametrize("by", ["occurred", "append"])
def test_records_of_another_tenant_do_not_cross(
    database: ClickHouseConfig, crossed: list[int], by: Any
) -> None:
    """What another tenant puts into a session of the same id at the same microsecond never reaches a bound reader."""
    own = AuditEvent(type="message_sent", session_id="shared", tenant_id="acme", occurred_at=AT)
    foreign = [
        AuditEvent(
            type="message_sent",
            session_id="shared",
            tenant_id="evil",
            occurred_at=AT,
            data={"number": number},
        )
        for number in range(FOREIGN)
    ]
    store(database, in_order([own, *foreign]))
    with AuditReader("acme", config=database) as reader:
        crossed.clear()
        page = reader.search("session:shared", by=by)
        assert [each.event_id for each in page.items] == [own.event_id]
    assert max(crossed) < FOREIGN


def test_an_answer_that_met_its_time_is_never_taken_for_a_whole_one(
    database: ClickHouseConfig,
) -> None:
    """A statement over its time fails: chdb may end its stream early without an error, as if nothing had been found."""
    lengths: set[int] = set()
    with ClickHouse(database) as clickhouse:
        for number in range(400):
            limit = {"max_execution_time": f"0.00{number % 4 + 1}"}
            with suppress(StorageLimitError):
                found = clickhouse.query(
                    "SELECT number FROM numbers(11000) ORDER BY rand() LIMIT 10000", settings=limit
                )
                lengths.add(len(found.rows))
    assert lengths <= {10_000}


WALKS: dict[str, Callable[..., Page[Any]]] = {
    "search": lambda reader, **how: reader.search(limit=1_000, **how),
    "oldest": lambda reader, **how: reader.search(limit=1_000, newest_first=False, **how),
    "nothing": lambda reader, **how: reader.search("type:nothing", limit=1_000, **how),
    "words": lambda reader, **how: reader.search('"number"', limit=1_000, **how),
    "append": lambda reader, **how: reader.search(by="append", limit=1_000, **how),
    "runs": lambda reader, **how: reader.runs(limit=200, **how),
    "sessions": lambda reader, **how: reader.sessions(limit=200, **how),
}
BUDGETS = {
    "one row": ReadBudget(rows=1),
    "some rows": ReadBudget(rows=9_000),
    "one byte": ReadBudget(bytes=1),
    "some bytes": ReadBudget(bytes=400_000),
    "no time": ReadBudget(seconds=0.05),
    "little time": ReadBudget(seconds=0.1),
}


@pytest.mark.long
@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_with_any_budget_ends(filled: ClickHouseConfig, walk: str, budget: str) -> None:
    """A page that did not come further has no cursor and says so: each walk ends, and meets nothing twice."""
    met: list[str] = []
    with AuditReader("acme", config=filled) as reader:
        cursor = None
        page: Page[Any] = Page(items=())
        for _ in range(MOST_PAGES):
            page = WALKS[walk](reader, cursor=cursor, budget=BUDGETS[budget])
            met += [
                str((each.session_id, getattr(each, "event_id", None), getattr(each, "run_id", "")))
                for each in page.items
            ]
            cursor = page.next
            if cursor is None:
                break
        assert cursor is None
    assert len(met) == len(set(met))
    if not page.complete:
        # What lies ahead of the clock is looked for last, and may be all that there was no time for.
        assert any(
            "ten times" in each.why or each.what.endswith("ahead of the clock")
            for each in page.left_out
        ), page.left_out


@pytest.mark.parametrize("rows", [1, 100, 8_000])
@pytest.mark.parametrize("ask", ["search", "count", "runs", "sessions"])
def test_an_id_of_another_tenant_costs_what_nobodys_does(
    filled: ClickHouseConfig, ask: str, rows: int
) -> None:
    """A budget of rows does not tell a bound reader whether another tenant has a run or an actor of that id."""
    with AuditReader("acme", config=filled) as reader:
        for field in ("run", "actor"):
            foreign, unknown = (
                getattr(reader, ask)(f"{field}:{name}", budget=ReadBudget(rows=rows)).complete
                for name in ("other-300", "nobody-300")
            )
            assert foreign == unknown
        theirs = reader.timeline(run_id="other-300", budget=ReadBudget(rows=rows))
        assert theirs.value.events == 0


READS: dict[str, Callable[..., object]] = {
    "timeline": lambda reader, **how: reader.timeline("s300", **how),
    "compare": lambda reader, **how: reader.compare("acme-300", "acme-301", **how),
    "approvals": lambda reader, **how: reader.approvals("type:message_sent", **how),
    "usage": lambda reader, **how: reader.usage(by="agent", **how),
    "costs": lambda reader, **how: reader.costs(**how),
}


@pytest.mark.parametrize("read", ["timeline", "compare"])
def test_what_has_no_part_names_the_spent_budget(filled: ClickHouseConfig, read: str) -> None:
    """A read that cannot be given in part says that its budget was spent, and not that ClickHouse is away."""
    with AuditReader("acme", config=filled) as reader:
        READS[read](reader)
        for spent in (ReadBudget(rows=1), ReadBudget(seconds=0.01)):
            with pytest.raises(StorageLimitError, match=r"^budget: it was spent before"):
                READS[read](reader, budget=spent)


@pytest.mark.parametrize("read", ["approvals", "usage", "costs"])
def test_a_sum_names_the_spent_budget(filled: ClickHouseConfig, read: str) -> None:
    """So do approvals, tokens and costs."""
    with AuditReader("acme", config=filled) as reader:
        store(
            filled,
            in_order(
                [
                    AuditEvent(
                        type=name,
                        session_id="asked",
                        tenant_id="acme",
                        run_id="asked",
                        occurred_at=AT - dt.timedelta(days=400),
                        data={"tool_call_id": "c", "tool_name": "pay", "cost_usd": 1},
                    )
                    for name in ("tool_approval_requested", "tool_call_started", "run_completed")
                ],
                900_000,
            ),
        )
        READS[read](reader)
        with pytest.raises(StorageLimitError, match=r"^budget: it was spent before"):
            READS[read](reader, budget=ReadBudget(rows=1))


def test_what_is_ahead_of_the_clock_meets_the_filter(database: ClickHouseConfig) -> None:
    """Runs that start before the filter's time are not counted as ahead of the clock."""
    ahead = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
    store(
        database,
        in_order(
            [
                AuditEvent(
                    type="run_started",
                    session_id="s",
                    run_id=str(day),
                    occurred_at=ahead + dt.timedelta(days=day),
                )
                for day in range(5)
            ]
        ),
    )
    with AuditReader(config=database) as reader:
        (left_out,) = reader.runs("since:2200-01-04T00:00:00Z").left_out
    assert left_out.how_many == 2
