"""One membership in the consumer group: read, store, commit, in that order, until it ends."""

import threading
import time
from collections.abc import Callable

from trailhouse.consumer.batch import Batch, Limits
from trailhouse.consumer.breaker import check_share
from trailhouse.consumer.flight import Flight, Launcher, Writes
from trailhouse.consumer.health import Health
from trailhouse.consumer.kafka_source import KafkaSource, Listener
from trailhouse.consumer.metrics import WorkerMetrics
from trailhouse.consumer.writer import Stored
from trailhouse.schemas.config import KafkaConfig, WorkerConfig
from trailhouse.schemas.errors import DeliveryTimeoutError

READ_RECORDS = 2_000
READ_SECONDS = 0.05
HOLD_AFTER_SECONDS = 1.0
CHECK_SECONDS = 2.0
LAG_EVERY_SECONDS = 1.0
COMMIT_RETRY_SECONDS = 0.5
COMMIT_OVERDUE_SECONDS = 5.0
LAST_COMMITS = 4


class GroupSession:
    """At most one batch is being stored or waits for its commit; the next is read meanwhile.

    Every method runs in the one thread that calls `run`.
    """

    def __init__(
        self,
        *,
        kafka: KafkaConfig,
        worker: WorkerConfig,
        writer: Writes,
        launcher: Launcher,
        health: Health,
        metrics: WorkerMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = worker
        self._writer = writer
        self._launcher = launcher
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._limits = Limits.of(worker)
        self._next = Batch(self._limits, clock)
        self._flight: Flight | None = None
        self._is_fenced = False
        self._is_assigned = False
        self._is_overdue = False
        self._lag_due_at_seconds = 0.0
        self._probe_due_at_seconds = 0.0
        self._check_due_at_seconds = 0.0
        self._commit_due_at_seconds = 0.0
        listener = Listener(
            on_assigned=self._on_assigned, on_revoked=self._on_revoked, on_lost=self._on_lost
        )
        self._source = KafkaSource(kafka, worker, listener)

    def run(self, stop: threading.Event) -> None:
        """Work until *stop* is set or Kafka has fenced this member; then leave the group.

        Delivery:
            On return and on every error, what was committed is stored, and the rest uncommitted.

        Raises:
            DeliveryError: Kafka refuses or fails; join again once it answers.
            EventError, IntegrityError: The worker must stop. Permanent.
        """
        self._health.note_waiting("kafka", "joining the consumer group")
        try:
            while not stop.is_set() and not self._is_fenced:
                self._step()
            self._drain()
        finally:
            self._drop()
            self._source.close()
            self._metrics.assigned(0)

    def _step(self) -> None:
        self._fill()
        self._settle()
        if self._flight is None and self._next.is_due:
            self._launch()
        self._look_around()

    def _fill(self) -> None:
        """Read on, or wait for the batch that is being stored when the next one is full."""
        count, timeout_seconds = READ_RECORDS, READ_SECONDS
        if self._flight is not None and self._next.is_full:
            if not self._flight.wait(HOLD_AFTER_SECONDS):
                self._source.hold()
            count, timeout_seconds = 1, 0.0  # nothing comes while held, but Kafka must hear of us
            if self._flight.has_landed:
                return
        received = self._source.read(count, timeout_seconds)
        self._metrics.consumed(len(received))
        self._next.add(received)

    def _launch(self) -> None:
        batch, self._next = self._next, Batch(self._limits, self._clock)
        check_share(batch, len(batch.bad), self._worker)
        self._flight = self._launcher.launch(batch, self._writer)

    def _settle(self) -> None:
        """Commit the batch that has been stored, if there is one."""
        flight = self._flight
        if flight is None or not flight.has_landed or self._clock() < self._commit_due_at_seconds:
            return
        stored = flight.outcome()
        if stored is None:
            self._drop()
            return
        check_share(flight.batch, stored.quarantined_rows, self._worker)
        match self.commit(flight.batch.next_offsets):
            case "done":
                self._note_commit(stored)
            case "fenced":
                self._is_fenced = True
                self._drop()
            case _:
                self._commit_due_at_seconds = self._clock() + COMMIT_RETRY_SECONDS

    def commit(self, next_offsets: dict[int, int]) -> str:
        """Commit to Kafka; called when every record below *next_offsets* is stored.

        It blocks for as long as Kafka is away: librdkafka goes on trying. /health says so meanwhile.
        """
        overdue = threading.Timer(COMMIT_OVERDUE_SECONDS, self._note_overdue)
        overdue.daemon = True
        overdue.start()
        try:
            outcome = self._source.commit(next_offsets)
        finally:
            overdue.cancel()
            overdue.join()  # its note must not come after the one below
        if outcome == "done" and self._is_overdue:
            self._is_overdue = False
            self._health.note_ready("kafka")
        return outcome

    def _note_overdue(self) -> None:
        self._is_overdue = True
        self._health.note_away("kafka", self._source.away("no answer to a commit"))

    def _note_commit(self, stored: Stored) -> None:
        self._flight = None
        self._metrics.lag(self._source.lag_records())
        self._metrics.committed(
            stored_rows=stored.stored_rows,
            quarantined_rows=stored.quarantined_rows,
            at_unix_seconds=time.time(),
        )
        self._source.resume()

    def _drain(self) -> None:
        """Let the attempt that runs come to its end, and commit what it stored."""
        if self._flight is not None:
            self._flight.give_up()
            self._flight.wait(None)
        for _ in range(LAST_COMMITS):
            self._commit_due_at_seconds = 0.0
            self._settle()

    def _on_assigned(self, partitions: list[int]) -> None:
        self._is_assigned = True
        self._metrics.assigned(len(partitions))
        self._metrics.lag(self._source.lag_records())
        self._health.note_ready("kafka")

    def _on_revoked(self) -> None:
        """Finish the batch being stored, within what the other workers may wait, and drop the rest."""
        if self._flight is not None and self._flight.wait(self._worker.session_timeout_seconds):
            self._commit_due_at_seconds = 0.0
            self._settle()
        self._drop()
        self._is_fenced = False  # we join again in any case, at the committed offsets

    def _on_lost(self) -> None:
        self._drop()

    def _drop(self) -> None:
        if self._flight is not None or len(self._next):
            self._metrics.dropped()
        if self._flight is not None:
            self._flight.give_up()
        self._flight = None
        self._next = Batch(self._limits, self._clock)

    def _look_around(self) -> None:
        """Refresh the lag; ask after Kafka when librdkafka complains, after ClickHouse when idle."""
        now = self._clock()
        if self._source.complaint is not None and now >= self._check_due_at_seconds:
            self._check_due_at_seconds = now + CHECK_SECONDS
            self._check_kafka()
        elif now >= self._lag_due_at_seconds:
            self._lag_due_at_seconds = now + LAG_EVERY_SECONDS
            self._metrics.lag(self._source.lag_records())
        elif self._flight is None and now >= self._probe_due_at_seconds:
            self._probe_due_at_seconds = now + CHECK_SECONDS
            self._launcher.probe()

    def _check_kafka(self) -> None:
        try:
            self._source.check(CHECK_SECONDS / 2)
        except DeliveryTimeoutError as error:
            self._health.note_away("kafka", error)
        else:
            if self._is_assigned:
                self._health.note_ready("kafka")
