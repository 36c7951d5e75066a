"""Sees that a partition is held up by a batch that takes long to open, and has the others read apart.

Kafka says where a partition ends with each answer, before librdkafka opens its batches: records that are
known of, and do not come, are being opened. Then, and only then, the batch's header is looked at.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from trailhouse.broker.batch_headers import RawBatch, batches_at
from trailhouse.consumer.membership.source import KafkaSource
from trailhouse.consumer.monitoring.background_query import BackgroundQuery
from trailhouse.consumer.monitoring.partition_stalls import PartitionStalls
from trailhouse.schemas.kafka_config import KafkaConfig

LOOK_EVERY_SECONDS = 0.1
LONGEST_STEP_SECONDS = 0.2
LATE_SECONDS = 0.3
LATE_BESIDE_OTHERS_SECONDS = 5.0
"""While others flow, a partition of a long backlog waits for its turn in librdkafka's queue: for a second or two."""
FETCH_SECONDS = 5.0
CALM_SECONDS = 10.0
"""So long after such a batch its partition is still read apart: another one may follow."""
LARGE_BYTES = {"gzip": 33_554_432}
LARGE_OF_A_QUICK_CODEC_BYTES = 536_870_912
"""Gzip is opened at some hundred megabytes a second, and twice; the others within tenths of a second for that much."""
MOST_OPENED = {"none": 1, "gzip": 1_032, "snappy": 22, "lz4": 255, "zstd": 16_384}
"""To how many bytes at most each codec opens one."""


class _Look(NamedTuple):
    offsets: dict[int, int]
    query: BackgroundQuery[dict[int, RawBatch]]


class SlowBatchWatch:
    """Used by the one thread that reads *source*; nothing here blocks."""

    def __init__(
        self,
        source: KafkaSource,
        kafka: KafkaConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._kafka = kafka
        self._clock = clock
        self._log = structlog.get_logger("trailhouse.worker")
        self._stalls = PartitionStalls(LONGEST_STEP_SECONDS)
        self._due_at_seconds = 0.0
        self._look: _Look | None = None
        self._looked: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._calm_since_seconds = 0.0
        self._is_waiting = False

    @property
    def is_watching(self) -> bool:
        """Whether records are known of that have not come, so that `step` is to be called often."""
        return self._is_waiting or self._look is not None or self._source.is_parted

    def step(self, next_offset: Callable[[int], int], *, is_reading: bool) -> None:
        """Go on: part what is held up from the others, or join them again.

        Args:
            next_offset: Returns the offset after the last one that was read of a partition.
            is_reading: Whether all that comes is read at once.

        Raises:
            BrokerUnavailableError: Kafka failed. Retriable with a new source.
        """
        now = self._clock()
        # While nothing is fetched, no partition can be late.
        if now < self._due_at_seconds or self._source.is_held:
            return
        self._due_at_seconds = now + LOOK_EVERY_SECONDS
        if self._look is not None and self._look.query.is_answered:
            self._part(self._look, next_offset)
        waiting = {
            number: offset
            for number, end in self._source.known_ends().items()
            if number not in self._source.failing and (offset := next_offset(number)) < end
        }
        self._is_waiting = bool(waiting)
        seconds = self._stalls.seconds(now, waiting, () if is_reading else waiting)
        # A connection that opens a batch brings nothing at all meanwhile; other brokers' may.
        is_silent = all(late >= LATE_SECONDS for late in seconds.values())
        late_seconds = LATE_SECONDS if is_silent else LATE_BESIDE_OTHERS_SECONDS
        late = {number: waiting[number] for number, late in seconds.items() if late >= late_seconds}
        if self._look is None:
            self._ask(late)
        if self._source.is_parted:
            self._join(late, next_offset, now)

    def leave(self) -> None:
        """Forget what was seen: the partitions are no longer ours, or are read anew."""
        if self._look is not None:
            self._look.query.stop()
        self._look = None
        self._is_waiting = False
        self._stalls.forget()
        self._looked.clear()
        self._ends.clear()

    def _ask(self, late: dict[int, int]) -> None:
        offsets = {
            number: offset
            for number, offset in late.items()
            # Each batch is looked at once; one that is being read apart is known already.
            if self._looked.get(number) != offset and number not in self._ends
        }
        if offsets:
            self._looked |= offsets
            kafka = self._kafka
            query = BackgroundQuery(
                lambda: batches_at(kafka, offsets, timeout_seconds=FETCH_SECONDS), name="held-up"
            )
            query.start()
            self._look = _Look(offsets, query)

    def _part(self, look: _Look, next_offset: Callable[[int], int]) -> None:
        self._look = None
        starts = {number: next_offset(number) for number in self._source.partitions}
        for number, batch in (look.query.latest() or {}).items():
            # It may have come while Kafka was asked, or the partition may be another worker's by now.
            is_there = starts.get(number) == look.offsets[number]
            if is_there and may_be_large(batch) and self._source.part(number, starts):
                last = batch.last_offset
                self._ends[number] = look.offsets[number] if last is None else last
                self._log.warning(
                    "a batch takes long to open; the other partitions are read apart from it",
                    partition=number,
                    offset=look.offsets[number],
                    codec=batch.codec,
                    size_bytes=batch.size_bytes,
                )

    def _join(self, late: dict[int, int], next_offset: Callable[[int], int], now: float) -> None:
        # Calm when nothing is late and each such batch has been read to its end.
        is_calm = not late and all(next_offset(number) > end for number, end in self._ends.items())
        if not is_calm:
            self._calm_since_seconds = now
        elif now - self._calm_since_seconds >= CALM_SECONDS:
            self._source.join({number: next_offset(number) for number in self._source.partitions})
            self._ends.clear()


def may_be_large(batch: RawBatch) -> bool:
    """Whether *batch* may open to so much that it holds up whatever comes after it."""
    large_bytes = LARGE_BYTES.get(batch.codec, LARGE_OF_A_QUICK_CODEC_BYTES)
    return batch.size_bytes * MOST_OPENED.get(batch.codec, 1) > large_bytes
