"""The batches of one commit: each is stored once, unless ClickHouse was away; then the ledger has them all."""

from collections.abc import Sequence

import pytest

from kafka_records import Clock, Record, batch_of
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.uncommitted import UncommittedBatches
from trailhouse.consumer.batch.writer import Stored
from trailhouse.schemas.errors import StorageUnavailableError


class Writer:
    """Says what was written; the next *failures* attempts to store fail."""

    def __init__(self) -> None:
        self.story: list[object] = []
        self.failures = 0

    def store(self, batch: Batch) -> Stored:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailableError("away")
        self.story.append(("stored", len(batch)))
        return Stored(len(batch))

    def enter(self, batches: Sequence[Batch], stored: Sequence[Stored]) -> None:
        self.story.append(
            ("entered", [len(batch) for batch in batches], [each.stored_rows for each in stored])
        )


def batches_of(*rows: int) -> tuple[UncommittedBatches, Clock]:
    """Return batches with so many records each, and their clock."""
    clock = Clock()
    made = UncommittedBatches(Limits(6, 1 << 30), clock)
    for count in rows:
        made.add(batch_of([b"x"] * count))
    return made, clock


def test_the_ledger_has_what_is_stored_and_no_batch_is_stored_twice() -> None:
    """Batch after batch, and in the end all of them in one row a partition."""
    writer, (batches, _) = Writer(), batches_of(1)
    batches.write(writer, 0, has_ledger=False)
    batches.add(batch_of([b"x", b"x"]))
    batches.write(writer, 0, has_ledger=True)
    assert writer.story == [("stored", 1), ("stored", 2), ("entered", [1, 2], [1, 2])]


def test_what_was_stored_before_an_outage_is_stored_again() -> None:
    """Whoever noticed the outage: it may have been a restore."""
    writer, (batches, _) = Writer(), batches_of(1)
    batches.write(writer, 4, has_ledger=False)
    batches.write(writer, 5, has_ledger=True)
    assert writer.story == [("stored", 1), ("stored", 1), ("entered", [1], [1])]


def test_after_a_failure_all_are_stored_again() -> None:
    """What came of the attempt that failed is not known."""
    writer, (batches, _) = Writer(), batches_of(1)
    batches.write(writer, 0, has_ledger=False)
    batches.add(batch_of([b"x", b"x"]))
    writer.failures = 1
    with pytest.raises(StorageUnavailableError):
        batches.write(writer, 0, has_ledger=True)
    batches.write(writer, 1, has_ledger=True)
    assert writer.story[1:] == [("stored", 1), ("stored", 2), ("entered", [1, 2], [1, 2])]


def test_they_are_full_together() -> None:
    """They may hold as many records as two batches."""
    rows = [(6, 5), (6, 5, 1), (6, 6)]
    assert [batches_of(*each)[0].is_full for each in rows] == [False, True, True]


def test_large_ones_are_full_together_as_one_is() -> None:
    """They are held until the commit, and memory bears no more bytes of them than of one batch, and one that is new."""
    batches = UncommittedBatches(Limits(1_000, 100), Clock())
    batches.add(batch_of([b"x" * 60]))
    was_full = batches.is_full
    batches.add(batch_of([b"x" * 60]))
    assert (was_full, batches.is_full) == (False, True)


def test_their_age_is_that_of_the_first_record() -> None:
    """It was read before its batch was closed."""
    batches, clock = batches_of()
    batch = Batch(Limits(6, 1 << 30), clock)
    batch.add([Record(b"x")])
    clock.now_seconds += 2
    assert batches.age_seconds == 0
    batches.add(batch)
    clock.now_seconds += 3
    batches.add(batch_of([b"x"]))
    assert batches.age_seconds == 5
