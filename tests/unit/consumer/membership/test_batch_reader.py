"""What one read brings, and how long it waits: by the sizes of the last records, and by when the batch is due."""

import threading
from typing import cast

import pytest

from kafka_records import Record, empty_batch
from trailhouse.consumer.membership.batch_reader import (
    BURST_RECORDS,
    BURST_REST_SECONDS,
    FIRST_RECORDS,
    IDLE_READ_SECONDS,
    READ_BYTES,
    READ_RECORDS,
    REST_SECONDS,
    BatchReader,
)
from trailhouse.consumer.membership.source import KafkaSource
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.schemas import AuditEvent

RECORD = AuditEvent(type="a", session_id="s").record


class Source:
    """Has *waiting* records, all of one size, and notes what it is asked for."""

    def __init__(self, waiting: int = 0, size_bytes: int = len(RECORD)) -> None:
        self.waiting = waiting
        self.asked: list[tuple[int, float]] = []
        self._record = RECORD.ljust(size_bytes)

    def read(self, records: int, timeout_seconds: float) -> list[Record]:
        self.asked.append((records, timeout_seconds))
        count = min(records, self.waiting)
        self.waiting -= count
        return [Record(self._record, 0, offset) for offset in range(count)]


class Stop(threading.Event):
    """Notes how long it is waited for, and lets nobody wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return False


def reader_of(source: Source) -> BatchReader:
    """Return a reader of *source*."""
    return BatchReader(cast("KafkaSource", source), WorkerMetrics())


@pytest.mark.long
@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [(len(RECORD), READ_RECORDS), (READ_BYTES // 4, 4), (READ_BYTES * 2, 1)],
)
def test_a_read_brings_what_memory_bears(size_bytes: int, expected: int) -> None:
    """The first asks for few; the next ones by the sizes of the last, one record at least."""
    source = Source(waiting=FIRST_RECORDS + 1, size_bytes=size_bytes)
    reader, (batch, _) = reader_of(source), empty_batch(rows=10_000, size_bytes=1 << 40)
    reader.read(batch, 0.0)
    reader.read(batch, 0.0)
    assert [records for records, _ in source.asked] == [FIRST_RECORDS, expected]
    assert reader.taken_records == len(batch)


def test_a_batch_never_holds_more_than_it_may() -> None:
    """The last read of a burst brings what there is room for, so that no insert is larger than the limit."""
    source = Source(waiting=10 * READ_RECORDS)
    reader, (batch, _) = reader_of(source), empty_batch(rows=5_050, size_bytes=1 << 40)
    while not batch.is_full:
        reader.read(batch, 0.0)
    assert len(batch) == 5_050


def test_an_empty_batch_waits_for_its_first_record() -> None:
    """Which ends the read at once."""
    source, stop = Source(), Stop()
    reader_of(source).read_while_idle(empty_batch()[0], float("inf"), stop)
    assert (source.asked, stop.waits) == ([(FIRST_RECORDS, IDLE_READ_SECONDS)], [])


@pytest.mark.parametrize(
    ("due_in_seconds", "rests"), [(0.03, [0.03]), (9.0, [REST_SECONDS]), (0.0, [])]
)
def test_records_of_a_batch_that_is_not_due_are_read_together(
    due_in_seconds: float, rests: list[float]
) -> None:
    """One wait and one read that waits for nothing, and neither goes on after the batch is due."""
    source, stop = Source(waiting=1), Stop()
    reader, (batch, _) = reader_of(source), empty_batch()
    reader.read(batch, 0.0)
    source.asked.clear()
    reader.read_while_idle(batch, due_in_seconds, stop)
    assert (stop.waits, [seconds for _, seconds in source.asked]) == (rests, [0.0])


def test_nobody_rests_while_more_waits_than_a_read_brings() -> None:
    """A backlog is read as quickly as can be."""
    source, stop = Source(waiting=10 * READ_RECORDS), Stop()
    reader, (batch, _) = reader_of(source), empty_batch(rows=100_000, size_bytes=1 << 40)
    for _ in range(3):
        reader.read_while_idle(batch, 9.0, stop)
    assert stop.waits == []


def test_in_a_burst_it_hardly_rests() -> None:
    """After a read that brought many records a short one is followed at once: the broker's answers come in lumps."""
    source, stop = Source(waiting=BURST_RECORDS + FIRST_RECORDS), Stop()
    reader, (batch, _) = reader_of(source), empty_batch(rows=10_000, size_bytes=1 << 40)
    reader.read(batch, 0.0)  # learns how large the records are
    reader.read(batch, 0.0)
    source.waiting = 1
    reader.read(batch, 0.0)
    reader.read_while_idle(batch, 9.0, stop)
    assert stop.waits == [BURST_REST_SECONDS]
