"""Budgets of reads: what others wrote costs a bound reader nothing, and a walk with any budget ends."""

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from cluster import Cluster
from stored import in_order, store
from trailhouse.query import AuditReader, Page, ReadBudget
from trailhouse.schemas import Actor, AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.clickhouse import Result
from trailhouse.store.migrate import migrate

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
def filled(cluster: Cluster) -> ClickHouseConfig:
    """Return a database with the events of two tenants in the same sessions."""
    config = cluster.clickhouse_config(f"trailhouse_{uuid4().hex[:12]}")
    migrate(config)
    for start in range(0, EVENTS, 4_000):
        store(config, in_order([event_of(number) for number in range(start, start + 4_000)], start))
    return config


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


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_with_any_budget_ends(filled: ClickHouseConfig, walk: str, budget: str) -> None:
    """A page that did not come further has no cursor and says so: each walk ends, and meets nothing twice."""
    met: list[str] = []
    with AuditReader("acme", config=filled) as reader:
        cursor = None
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
        assert any("ten times" in each.why for each in page.left_out), page.left_out
