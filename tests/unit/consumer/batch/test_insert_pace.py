"""The pace of inserts: by the wanted freshness, by how many share the work, by what ClickHouse bears."""

import itertools
from collections.abc import Sequence

import pytest

from kafka_records import Clock, Record, empty_batch
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.gathering import WORTH_ROWS, Gathering
from trailhouse.consumer.batch.insert_pace import LONGEST_SECONDS, REMEMBERED_SECONDS, InsertPace
from trailhouse.consumer.batch.uncommitted import MOST_FULL_BATCHES, UncommittedBatches
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


def test_a_worker_alone_inserts_half_again_within_the_freshness_and_one_of_several_once() -> None:
    """Alone it is well before the freshness ends; where others insert too, each waits for as long as it may."""
    assert pace_of(3.0, 1).age_seconds == pytest.approx(2.0)
    for workers in (2, 12):
        assert pace_of(3.0, workers).age_seconds == pytest.approx(3.0 - 0.1 - 2 * INSERT_SECONDS)


def meeting_pace(workers: int, wall: Clock, insert_seconds: float = INSERT_SECONDS) -> InsertPace:
    """Return the pace of a worker whose server makes one part of what is inserted at the same time."""
    pace = InsertPace(1.0, Clock(), Gathering("auto"), wall)
    pace.note_share(12 // workers, 12)
    pace.note_insert(insert_seconds)
    return pace


@pytest.mark.parametrize("insert_seconds", [0.02, 0.2, 0.3, 5.0])
def test_where_the_server_gathers_all_workers_store_at_the_same_time(insert_seconds: float) -> None:
    """Whenever after the last time their batches began, and within the time of each."""
    wall = Clock()
    pace = meeting_pace(12, wall, insert_seconds)
    begins = [1_700_000_000.01 + step / 100 for step in range(8)]
    met: set[float] = set()
    for wall.now_seconds in begins:
        due_seconds = pace.due_in_seconds(filled(10, 0.0))
        assert due_seconds <= pace.age_seconds
        met.add(round(wall.now_seconds + due_seconds, 6))
    assert len(met) == 1


def test_a_worker_whose_inserts_are_slow_meets_the_others() -> None:
    """Its times to store are among those of the quick ones, or the other way round."""
    wall = Clock()
    wall.now_seconds = 1_700_000_000.26
    dues = [
        meeting_pace(12, wall, seconds).due_in_seconds(filled(10, 0.0)) for seconds in (0.02, 0.3)
    ]
    assert [wall.now_seconds + due for due in dues] == pytest.approx(
        [1_700_000_001.0, 1_700_000_000.5]
    )


def test_a_batch_whose_meeting_is_over_is_stored_now() -> None:
    """A worker that was held up does not wait for the next meeting."""
    wall = Clock()
    wall.now_seconds = 1_700_000_000.51
    pace = meeting_pace(12, wall)
    assert pace.due_in_seconds(filled(10, 0.4)) == 0.0


def test_a_busy_worker_does_not_wait_for_those_that_have_nothing() -> None:
    """A batch that is worth an insert is stored as soon as alone, wherever the next meeting is; a full one at once."""
    wall = Clock()
    wall.now_seconds = 1_700_000_000.01
    pace = meeting_pace(12, wall)
    assert pace.due_in_seconds(filled(WORTH_ROWS, 0.2)) == 0.0
    assert pace.due_in_seconds(filled(WORTH_ROWS, 0.0)) <= 0.2
    assert pace.due_in_seconds(filled(16_000, 0.0)) == 0.0


@pytest.mark.parametrize("insert_seconds", [0.05, 0.1, 0.2, 0.3, 0.4, 1.0])
def test_slower_inserts_never_make_a_group_meet_more_often(insert_seconds: float) -> None:
    """Else a server that is slow would be given more to do: at most twice within the freshness."""
    assert meeting_pace(12, Clock(), insert_seconds).age_seconds >= 0.5


def test_a_worker_alone_meets_nobody() -> None:
    """Its batches fill as long as they may, whatever the server would gather."""
    wall = Clock()
    wall.now_seconds = 1_700_000_000.3
    alone, plain = meeting_pace(1, wall), pace_of(1.0, 1)
    batch = filled(10, 0.0)
    assert alone.due_in_seconds(batch) == pytest.approx(plain.due_in_seconds(batch))


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


def test_an_attempt_that_fails_slowly_counts_as_a_slow_insert() -> None:
    """A timeout leaves ClickHouse alone, and a refusal at once, or no server at all, hides no slow one."""
    pace = pace_of(1.0)
    for _ in range(2):
        pace.note_failure(10.0)
    assert pace.age_seconds == 20.0
    for _ in range(5):
        pace.note_failure(0.001)
    assert pace.age_seconds == 20.0
    assert pace.is_widened


def test_each_refusal_doubles_how_long_a_batch_fills() -> None:
    """At once, and up to half a minute: in a long overload a wide group makes few inserts."""
    pace = pace_of(1.0, 12)
    ages = [pace.age_seconds]
    for _ in range(7):
        pace.note_refusal()
        ages.append(pace.age_seconds)
    assert ages[1:5] == pytest.approx([2 * age for age in ages[:4]])
    assert ages[-1] == LONGEST_SECONDS
    assert pace.is_refused
    assert pace.is_widened


def test_refusals_are_forgotten_step_by_step() -> None:
    """Each insert that is taken brings the pace nearer to what is wanted, and none all the way."""
    pace = pace_of(1.0, 12)
    wanted = pace.age_seconds
    for _ in range(9):
        pace.note_refusal()
    ages: list[float] = []
    while pace.is_refused:
        pace.note_insert(INSERT_SECONDS)
        ages.append(pace.age_seconds)
    assert all(0.7 * before < after for before, after in itertools.pairwise(ages))
    assert ages[-1] == wanted
    assert 5 < len(ages) < 30
    assert not pace.is_widened


def test_a_batch_that_is_worth_an_insert_waits_for_a_clickhouse_that_has_enough() -> None:
    """Only a full one does not: memory is bounded whatever ClickHouse says."""
    pace = pace_of(1.0)
    pace.note_refusal()
    pace.note_refusal()
    assert pace.due_in_seconds(filled(WORTH_ROWS, 0.2)) == pytest.approx(pace.age_seconds - 0.2)
    assert pace.due_in_seconds(filled(16_000, 0.0)) == 0


def test_the_nearer_the_parts_are_to_their_limit_the_longer_a_batch_fills() -> None:
    """From half of it on, so that it need not come to a refusal; the longest where inserts are slowed down."""
    pace = pace_of(1.0, 12)
    wanted = pace.age_seconds
    ages: list[float] = []
    for share in (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 3.0):
        pace.note_parts(share)
        ages.append(pace.age_seconds)
        assert pace.is_widened == (share > 0.5)
    assert ages[:2] == [wanted, wanted]
    assert ages[1:7] == sorted(set(ages[1:7])), (
        "expected each step to be longer than the one before"
    )
    assert ages[6:] == pytest.approx([LONGEST_SECONDS, LONGEST_SECONDS])
    pace.note_parts(0.0)
    assert pace.age_seconds == wanted


def test_what_was_before_a_long_pause_is_forgotten() -> None:
    """The first record after an hour of nothing does not wait for what ClickHouse did not bear an hour ago."""
    clock = Clock()
    pace = InsertPace(1.0, clock)
    wanted = pace.age_seconds
    pace.note_insert(20.0)
    pace.note_refusal()
    assert pace.age_seconds == LONGEST_SECONDS
    clock.now_seconds += REMEMBERED_SECONDS
    assert (pace.age_seconds, pace.is_widened) == (wanted, False)
    pace.note_insert(INSERT_SECONDS)
    assert pace.age_seconds == wanted


@pytest.mark.parametrize(
    ("workers", "seconds", "expected"),
    [
        (1, (5.3, 0.1), [False, True]),
        (2, (10.6, 0.1), [False, True]),
        (12, (19.9, 0.1), [False, True]),
    ],
)
def test_a_group_writes_its_ledger_as_often_as_one_worker_does(
    workers: int, seconds: Sequence[float], expected: Sequence[bool]
) -> None:
    """At every eighth batch of one worker, each of two half as often; counted from what is not committed."""
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


@pytest.mark.parametrize(("freshness_seconds", "step_seconds"), [(1.0, 16.0), (3.0, 12.0)])
def test_where_the_server_gathers_all_workers_commit_at_the_same_time(
    freshness_seconds: float, step_seconds: float
) -> None:
    """At multiples of a time that the freshness alone decides, whenever what they commit was read."""
    clock, wall = Clock(), Clock()
    pace = InsertPace(freshness_seconds, clock, Gathering("auto", freshness_seconds), wall)
    pace.note_share(1, 12)
    committed: list[float] = []
    start_seconds = 100 * step_seconds
    for begin_seconds in (0.25, 5.0, step_seconds - 0.75):
        uncommitted = UncommittedBatches(Limits(16_000, 1 << 30), clock)
        batch = Batch(Limits(16_000, 1 << 30), clock)
        batch.add([Record(RECORD)])
        uncommitted.add(batch)
        wall.now_seconds = start_seconds + begin_seconds
        while not pace.is_commit_due(uncommitted):
            wall.now_seconds += 0.25
            clock.now_seconds += 0.25
        committed.append(wall.now_seconds)
    assert committed == [start_seconds + step_seconds] * 3


def test_full_batches_are_committed_at_once() -> None:
    """So that a drain keeps no more in memory, and after a crash reads little again."""
    clock = Clock()
    uncommitted = UncommittedBatches(Limits(2, 1 << 30), clock)
    for number in range(2 * MOST_FULL_BATCHES):
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
