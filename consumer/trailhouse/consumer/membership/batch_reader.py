"""Reads records into the batch that is being filled: as many at once as memory bears, as rarely as they may wait."""

import threading
import time
from collections.abc import Callable

from trailhouse.broker.placeholder import Received
from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.membership.source import KafkaSource
from trailhouse.consumer.monitoring.metrics import WorkerMetrics

READ_RECORDS, READ_BYTES = 2_000, 4_194_304
"""What one read may bring; how many records make so many bytes is judged by those of the last read."""
FIRST_RECORDS = 100
IDLE_READ_SECONDS = 0.25
"""What comes ends a read at once; this bounds how late an idle worker hears that it is to stop."""
REST_SECONDS = 0.1
"""While a batch waits for its time, what comes is read together: each read wakes three threads."""
BURST_RECORDS = 500
"""A read that brings so many is part of a burst, in which a rest would cost more than it saves."""
BURST_REST_SECONDS = 0.005
BURST_SECONDS = 0.5
"""How long a burst goes on after such a read: the broker's answers come in lumps."""


class BatchReader:
    """Used by the one thread that reads *source*."""

    def __init__(
        self,
        source: KafkaSource,
        metrics: WorkerMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._clock = clock
        self._burst_ends_at_seconds = clock()
        self._records = FIRST_RECORDS
        self._has_read_all = True
        self.taken_records = 0
        """How many records it has put into batches."""

    def read(self, batch: Batch, timeout_seconds: float) -> None:
        """Read into *batch* no more than it has room for, waiting so long for the first record.

        Raises:
            BrokerError: As `KafkaSource.read`.
        """
        records = max(1, min(self._records, batch.room_rows))
        received = self._source.read(records, timeout_seconds)
        self._has_read_all = len(received) < records
        if len(received) >= BURST_RECORDS:
            self._burst_ends_at_seconds = self._clock() + BURST_SECONDS
        if received:
            self._take(batch, received)

    def read_while_idle(self, batch: Batch, due_in_seconds: float, stop: threading.Event) -> None:
        """Do as `read` does, where nothing is waited for but records: let them come together until *batch* is due.

        Returns soon after *stop* was set.
        """
        if not len(batch):
            self.read(batch, IDLE_READ_SECONDS)
            return
        if self._has_read_all and due_in_seconds:
            stop.wait(min(due_in_seconds, self._rest_seconds))
        self.read(batch, 0.0)

    @property
    def _rest_seconds(self) -> float:
        is_burst = self._clock() < self._burst_ends_at_seconds
        return BURST_REST_SECONDS if is_burst else REST_SECONDS

    def read_while_held(self, batch: Batch) -> None:
        """Let Kafka hear of us, while nothing is fetched."""
        if received := self._source.read(1, 0.0):
            self._take(batch, received)

    def _take(self, batch: Batch, received: list[Received]) -> None:
        self.taken_records += len(received)
        self._metrics.consumed(len(received))
        size_bytes = -batch.size_bytes
        batch.add(received)
        size_bytes += batch.size_bytes
        # Sizes of a topic change slowly: the next read is judged by this one.
        fitting = READ_BYTES * len(received) // max(1, size_bytes)
        self._records = max(1, min(READ_RECORDS, fitting))
