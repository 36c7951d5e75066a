"""Batches on their way into ClickHouse: stored in a second thread, repeated until they are in."""

import gc
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from trailhouse.consumer.batch.gathering import Gathering
from trailhouse.consumer.batch.uncommitted import UncommittedBatches, Writes
from trailhouse.consumer.monitoring.background_query import BackgroundQuery
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.schemas.backoff import Backoff
from trailhouse.schemas.errors import StorageError, StorageOverloadedError, TrailhouseError

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0
FIRST_WAIT_OVERLOADED_SECONDS = 1.0
LONGEST_WAIT_OVERLOADED_SECONDS = 10.0
"""The attempts of a wide group must not be what keeps ClickHouse from its merges."""
KEPT_FAILURES = 100


class FailedAttempt(NamedTuple):
    """How long an attempt to store took until it failed, and whether ClickHouse refused it for there being too many."""

    seconds: float
    is_overload: bool


class InflightBatches:
    """Batches being stored. The thread that made it asks for the outcome; nothing here commits."""

    def __init__(
        self, outcome: "Future[float | None]", no_repeat: threading.Event, *, has_ledger: bool
    ) -> None:
        self.has_ledger = has_ledger
        """Whether the ledger has them too once they are in, so that they may be committed."""
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

    def outcome(self) -> float | None:
        """Return how many seconds it took to write them, or None when that was given up: they may be stored in part."""
        return self._outcome.result()

    def give_up(self) -> None:
        """End the attempts after the one that is running now. Does not block."""
        self._no_repeat.set()


class BatchInserter:
    """Stores batch after batch in a thread of its own. Readers see no row twice."""

    def __init__(
        self,
        health: Health,
        metrics: WorkerMetrics,
        ping: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        gathering: Gathering | None = None,
    ) -> None:
        self.gathering = gathering or Gathering()
        """Whether the server makes one part of what workers insert at the same time."""
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
        """How often ClickHouse was found away, or refusing for no reason of load; it only grows."""
        self.failures: deque[FailedAttempt] = deque(maxlen=KEPT_FAILURES)
        """The attempts that failed, for whoever takes them out; safe from any thread."""

    def insert(
        self,
        batches: UncommittedBatches,
        writer: Writes,
        *,
        has_ledger: bool,
        is_hurried: bool = False,
    ) -> InflightBatches:
        """Start to store what is not stored of *batches*, and to enter them in the ledger if *has_ledger*.

        If *is_hurried* nothing of it waits for other workers.
        """
        no_repeat = threading.Event()
        way = self.gathering.choose(batches, is_hurried=is_hurried)
        self._metrics.gathers(way.is_gathered)
        self._health.note_inserts("gathered" if way.is_gathered else "straight", way.reason)

        def write() -> None:
            batches.write(writer, self.outages, has_ledger=has_ledger)

        return InflightBatches(
            self._executor.submit(self._store, write, no_repeat), no_repeat, has_ledger=has_ledger
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

    def _store(self, write: Callable[[], None], no_repeat: threading.Event) -> float | None:
        self._is_storing = True
        try:
            return self._store_until_in(write, no_repeat)
        finally:
            self._is_storing = False

    def _store_until_in(
        self, write: Callable[[], None], no_repeat: threading.Event
    ) -> float | None:
        """Write, and the same again after each failure: its outcome may be unknown."""
        backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        relief = Backoff(FIRST_WAIT_OVERLOADED_SECONDS, LONGEST_WAIT_OVERLOADED_SECONDS)
        while True:
            began = self._clock()
            try:
                write()
            except StorageError as error:
                is_overload = isinstance(error, StorageOverloadedError)
                # Whoever answers so has not been away: what is stored is stored, and not sent again.
                self.outages += not is_overload
                self.failures.append(FailedAttempt(self._clock() - began, is_overload))
                self._metrics.insert_failed()
                self._health.note_away("clickhouse", error)
            else:
                self._health.note_ready("clickhouse")
                return self._clock() - began
            # The client's errors hold themselves, and what was to be inserted with them: without this,
            # an outage would cost a batch's bytes at each attempt, until the collector comes by.
            gc.collect()
            # Given up between two attempts, never within one: its outcome would be unknown.
            if no_repeat.wait((relief if is_overload else backoff).next_seconds()):
                return None
