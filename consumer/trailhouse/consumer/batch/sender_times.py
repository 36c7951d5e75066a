"""Notes records that carry their sender's time: for a while somebody had switched the topic to CreateTime."""

import time
from collections.abc import Callable, Sequence

import msgspec

from trailhouse.consumer.batch.batch import Batch, SenderTimed
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.uncommitted import Writes
from trailhouse.consumer.batch.writer import Stored
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.schemas.backoff import Backoff

FIRST_AGAIN_SECONDS = 60.0
LONGEST_AGAIN_SECONDS = 600.0


class _Stretch(msgspec.Struct):
    """Records of one partition, one after the other, that carry their senders' time; not noted to their end yet."""

    noted_until: int
    last_offset: int
    due_at_seconds: float
    backoff: Backoff


class SenderTimes:
    """Writes batches through *writer*, and an incident when a stretch of such records begins, now and then
    while it lasts, and when it ends. Used by the one thread that stores."""

    def __init__(
        self,
        writer: Writes,
        incidents: Incidents,
        metrics: WorkerMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._incidents = incidents
        self._metrics = metrics
        self._clock = clock
        self._stretches: dict[int, _Stretch] = {}

    def store(self, batch: Batch) -> Stored:
        """Do as `Writes.store` says; the incident is acknowledged before the batch may be committed.

        Raises:
            StorageError: As the writer's; also when the incident could not be written. Write it again.
        """
        stored = self._writer.store(batch)
        if batch.sender_times or self._stretches:
            for number in batch.spans:
                self._take(number, batch.sender_times.get(number))
        return stored

    def enter(self, batches: Sequence[Batch], stored: Sequence[Stored]) -> None:
        """Do as `Writes.enter` says."""
        self._writer.enter(batches, stored)

    def end(self) -> None:
        """Note what is not noted yet, since no batch comes any more.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        for number in list(self._stretches):
            self._take(number, None)

    def _take(self, number: int, found: SenderTimed | None) -> None:
        stretch = self._stretches.get(number)
        if found is None:
            if stretch is not None:
                self._note(number, stretch.noted_until + 1, stretch.last_offset)
                del self._stretches[number]
            return
        now = self._clock()
        if stretch is None:
            self._tell(number, found)
            backoff = Backoff(FIRST_AGAIN_SECONDS, LONGEST_AGAIN_SECONDS)
            self._stretches[number] = stretch = _Stretch(
                found.last_offset, found.last_offset, now + backoff.next_seconds(), backoff
            )
        elif now >= stretch.due_at_seconds:
            self._note(number, stretch.noted_until + 1, found.last_offset)
            stretch.noted_until = found.last_offset
            stretch.due_at_seconds = now + stretch.backoff.next_seconds()
        stretch.last_offset = found.last_offset
        self._metrics.sender_timed(found.records)

    def _tell(self, number: int, found: SenderTimed) -> None:
        incident = Incident("create_time", number, found.first_offset, found.last_offset)
        self._incidents.tell(self._incidents.note([incident], _detail), _detail)

    def _note(self, number: int, first: int, last: int) -> None:
        if first <= last:
            self._incidents.note([Incident("create_time", number, first, last)], _detail)


def _detail(_found: Incident) -> str:
    return (
        "records here carry their sender's time: the topic's message.timestamp.type was not LogAppendTime;"
        " they count as appended after all that carry the broker's"
    )
