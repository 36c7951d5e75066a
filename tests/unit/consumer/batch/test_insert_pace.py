"""The pace of inserts: by the wanted freshness, by how many share the work, by what ClickHouse bears."""

from collections.abc import Sequence

import pytest

from kafka_records import Clock, Record, empty_batch
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.insert_pace import WORTH_ROWS, InsertPace
from trailhouse.consumer.batch.uncommitted import UncommittedBatches
from trailhouse.schemas import AuditEvent

RECORD = AuditEvent(type="a", session_id="s").record
INSERT_SECONDS = 0.02


def pace_of(
    freshness_seconds: float, workers: int = 1, insert_seconds: float = INSERT_SECONDS
) -> InsertPace:
    """Return the pace of a worker among *workers* with twelve partitions, whose inserts take so long."""
    pace = InsertPace(freshness_seconds)
    pace.note_share(12 // workers, 12)
    for _ in range(20):
        pace.note_insert(insert_seconds)
    return pace


def filled(rows: int, age_seconds: float) -> Batch:
    """Return a batch with so many records, the first of which was read so long ago."""
    batch, clock = empty_batch(rows=16_000, size_bytes=1 << 30)
    batch.add([Record(RECORD, 0, offset) for offset in range(rows)])
    clock.now_seconds += age_seconds
    return batch


@pytest.mark.parametrize("freshness_seconds", [0.3, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("workers", [1, 4, 12])
def test_a_row_can_be_read_within_the_wanted_freshness(
    freshness_seconds: float, workers: int
) -> None:
    """A batch's time ends so early that its insert, and one before it, end in time."""
    pace = pace_of(freshness_seconds, workers)
    assert pace.age_seconds + 2 * INSERT_SECONDS <= freshness_seconds


def test_a_group_inserts_no_more_often_the_more_workers_it_has() -> None:
    """Up to the freshness: what one does alone, four do together, each a quarter as often."""
    inserts_a_second = [workers / pace_of(3.0, workers).age_seconds for workers in (1, 2, 3)]
    assert inserts_a_second == pytest.approx([inserts_a_second[0]] * 3)
    assert pace_of(3.0, 12).age_seconds == pytest.approx(3.0 - 0.1 - 2 * INSERT_SECONDS)


def test_a_batch_that_is_worth_an_insert_does_not_wait_for_its_age() -> None:
    """Where much comes, rows are as fresh as ever, however long they might have waited."""
    pace = pace_of(30.0, 12)
    assert pace.due_in_seconds(filled(WORTH_ROWS, 0.2)) == 0
    assert pace.due_in_seconds(filled(WORTH_ROWS - 1, 0.2)) > 20


def test_a_full_batch_is_due_at_once() -> None:
    """It cannot take more."""
    batch, _ = empty_batch(rows=2)
    batch.add([Record(RECORD), Record(RECORD)])
    assert pace_of(30.0).due_in_seconds(batch) == 0


def test_an_empty_batch_is_never_due() -> None:
    """There is nothing to wait for."""
    batch, clock = empty_batch()
    clock.now_seconds += 100
    assert pace_of(0.3).due_in_seconds(batch) == float("inf")


def test_a_slow_clickhouse_is_left_alone_for_longer_than_it_works() -> None:
    """Though rows come later than wanted then: else it would have no moment for anything else."""
    pace = pace_of(1.0)
    before = pace.age_seconds
    for _ in range(2):
        pace.note_insert(5.0)
    assert pace.age_seconds == 10.0
    for _ in range(2):
        pace.note_insert(INSERT_SECONDS)
    assert pace.age_seconds == before


def test_one_slow_insert_is_not_taken_for_a_slow_clickhouse() -> None:
    """Rows stay as fresh as wanted."""
    pace = pace_of(0.3)
    pace.note_insert(20.0)
    assert pace.age_seconds < 0.3


@pytest.mark.parametrize(
    ("workers", "seconds", "expected"),
    [(1, (0.7, 0.1), [False, True]), (12, (2.4, 0.3), [False, True])],
)
def test_the_ledger_follows_at_every_third_batch(
    workers: int, seconds: Sequence[float], expected: Sequence[bool]
) -> None:
    """Counted from the first record that is not committed."""
    pace, clock = pace_of(1.0, workers), Clock()
    uncommitted = UncommittedBatches(Limits(16_000, 1 << 30), clock)
    batch = Batch(Limits(16_000, 1 << 30), clock)
    batch.add([Record(RECORD)])
    uncommitted.add(batch)
    seen: list[bool] = []
    for step_seconds in seconds:
        clock.now_seconds += step_seconds
        seen.append(pace.is_commit_due(uncommitted))
    assert seen == expected


def test_a_full_batch_is_committed_at_once() -> None:
    """So that a drain keeps no more in memory, and reads no more again, than it did."""
    clock = Clock()
    uncommitted = UncommittedBatches(Limits(2, 1 << 30), clock)
    for number in range(2):
        batch = Batch(Limits(2, 1 << 30), clock)
        batch.add([Record(RECORD, 0, number)])
        uncommitted.add(batch)
    assert pace_of(30.0).is_commit_due(uncommitted)


def test_a_commit_is_never_so_late_that_it_looks_like_a_standstill() -> None:
    """However long a batch may fill: with a freshness of half a minute each batch is committed."""
    pace, clock = pace_of(30.0, 12), Clock()
    uncommitted = UncommittedBatches(Limits(16_000, 1 << 30), clock)
    batch = Batch(Limits(16_000, 1 << 30), clock)
    batch.add([Record(RECORD)])
    uncommitted.add(batch)
    clock.now_seconds += 30
    assert pace.is_commit_due(uncommitted)
