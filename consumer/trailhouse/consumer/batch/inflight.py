"""A batch on its way into ClickHouse: stored in a second thread, repeated until it is in."""

import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.batch.writer import Stored
from trailhouse.consumer.monitoring.background_query import BackgroundQuery
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.schemas.backoff import Backoff
from trailhouse.schemas.errors import StorageError, TrailhouseError

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0


class Writes(Protocol):
    """Writes a batch; `BatchWriter` is one."""

    def write(self, batch: Batch) -> Stored: ...


class InflightBatch:
    """One batch being stored. The thread that made it asks for the outcome; nothing here commits."""

    def __init__(
        self, batch: Batch, outcome: "Future[Stored | None]", no_repeat: threading.Event
    ) -> None:
        self.batch = batch
        self._outcome = outcome
        self._no_repeat = no_repeat

    @property
    def is_settled(self) -> bool:
        """Whether `outcome` will not block."""
        return self._outcome.done()

    def wait(self, timeout_seconds: float | None) -> bool:
        """Wait for the outcome; False when it is not there in time. None waits without end."""
        try:
            self._outcome.exception(timeout_seconds)
        except TimeoutError:
            return False
        return True

    def outcome(self) -> Stored | None:
        """Return what became of the batch, or None when it was given up: it may be stored in part."""
        return self._outcome.result()

    def give_up(self) -> None:
        """End the attempts after the one that is running now. Does not block."""
        self._no_repeat.set()


class BatchInserter:
    """Stores one batch after the other in a thread of its own. Readers see no row twice."""

    def __init__(
        self,
        health: Health,
        metrics: WorkerMetrics,
        ping: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_storing = False
        self._health = health
        self._metrics = metrics
        self._clock = clock
        # A thread of its own, so that no batch waits for an answer that does not come.
        self._probe = BackgroundQuery(
            ping, name="probe", on_answer=self._note_answer, on_failure=self._note_failure
        )
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="trailhouse-insert")
        self.outages = 0
        """How often ClickHouse was found away or refusing; it only grows."""

    def insert(self, batch: Batch, writer: Writes) -> InflightBatch:
        """Start to store *batch* and return at once."""
        no_repeat = threading.Event()
        return InflightBatch(
            batch, self._executor.submit(self._store, batch, writer, no_repeat), no_repeat
        )

    def probe(self) -> None:
        """Start to ask ClickHouse whether it is there, unless a question is open. For idle times."""
        self._probe.start()

    def close(self) -> None:
        """Wait for the attempt that runs."""
        self._executor.shutdown()

    def _note_answer(self, _: None) -> None:
        # While a batch is being stored, what becomes of it says more than a ping.
        if not self._is_storing:
            self._health.note_ready("clickhouse")

    def _note_failure(self, error: TrailhouseError) -> None:
        self.outages += 1
        if not self._is_storing:
            self._health.note_away("clickhouse", error)
        gc.collect()  # as after a failed insert: 40 kB, every second

    def _store(self, batch: Batch, writer: Writes, no_repeat: threading.Event) -> Stored | None:
        self._is_storing = True
        try:
            return self._store_until_in(batch, writer, no_repeat)
        finally:
            self._is_storing = False

    def _store_until_in(
        self, batch: Batch, writer: Writes, no_repeat: threading.Event
    ) -> Stored | None:
        """Write *batch*, the same one again after each failure: its outcome may be unknown."""
        backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        while True:
            began = self._clock()
            try:
                stored = writer.write(batch)
            except StorageError as error:
                self.outages += 1
                self._metrics.insert_failed()
                self._health.note_away("clickhouse", error)
            else:
                self._health.note_ready("clickhouse")
                self._metrics.stored(
                    seconds=self._clock() - began, rows=len(batch), size_bytes=batch.size_bytes
                )
                return stored
            # The client's errors hold themselves, and what was to be inserted with them: without this,
            # an outage would cost a batch's bytes at each attempt, until the collector comes by.
            gc.collect()
            # Given up between two attempts, never within one: its outcome would be unknown.
            if no_repeat.wait(backoff.next_seconds()):
                return None
