"""Walks over runs while events arrive, and clocks that lie ahead."""

import datetime as dt

import pytest

from projected import store_projected
from stored import event, in_order
from trailhouse.query import AuditReader
from trailhouse.store import ClickHouseConfig

pytestmark = pytest.mark.cluster

FAR = "until:9999-12-31T23:59:59Z"


def test_runs_that_start_ahead_of_the_clock_are_counted_apart(database: ClickHouseConfig) -> None:
    """What starts later than now tops no page: it is named as left out, and found by who asks for it."""
    ahead = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
    now = dt.datetime.now(dt.UTC)
    store_projected(database, in_order([
        event("s", "run_started", run_id="future", occurred_at=ahead),
        event("s", "run_started", run_id="now", occurred_at=now),
        event("s", "run_completed", run_id="now", occurred_at=ahead),
    ]))  # fmt: skip
    with AuditReader(config=database) as reader:
        page = reader.runs()
        assert [run.run_id for run in page.items] == ["now"]
        assert page.items[0].status == "completed"
        assert (page.complete, [each.how_many for each in page.left_out]) == (False, [1])
        assert reader.runs("agent:nobody").complete
        everything = reader.runs(FAR)
        assert [run.run_id for run in everything.items] == ["future", "now"]
        assert everything.complete
        assert [run.run_id for run in reader.runs(status="completed").items] == ["now"]


def test_a_walk_meets_each_run_once_while_events_arrive(database: ClickHouseConfig) -> None:
    """Runs that start, go on and end during a walk do not move those that it has still to meet."""
    began = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    first = [
        event("s", "run_started", run_id=f"run-{number:03}", occurred_at=began + dt.timedelta(seconds=number // 3))
        for number in range(60)
    ]  # fmt: skip
    store_projected(database, in_order(first))
    met: list[str] = []
    cursor = None
    with AuditReader(config=database) as reader:
        for step in range(100):
            page = reader.runs(limit=7, cursor=cursor)
            met += [run.run_id for run in page.items]
            cursor = page.next
            if cursor is None:
                break
            store_projected(database, in_order([
                event("s", "run_started", run_id=f"new-{step}", occurred_at=began + dt.timedelta(days=1)),
                event("s", "run_failed", run_id=f"run-{step:03}", occurred_at=began + dt.timedelta(days=1)),
                *first,
            ], 1_000 * (step + 1)))  # fmt: skip
    assert sorted(met) == [f"run-{number:03}" for number in range(60)]
    assert met == sorted(met, reverse=True)
