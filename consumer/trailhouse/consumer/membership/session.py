"""One membership in the consumer group: read, store, commit, in that order, until it ends."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.blocks import LONGEST_SPAN_RECORDS
from trailhouse.consumer.batch.breaker import check_share
from trailhouse.consumer.batch.inflight import BatchInserter, InflightBatch, Writes
from trailhouse.consumer.batch.writer import Stored
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.assignment_guard import AssignmentGuard
from trailhouse.consumer.membership.commit_monitor import CommitMonitor
from trailhouse.consumer.membership.group_check import GroupCheck
from trailhouse.consumer.membership.lag_monitor import LagMonitor
from trailhouse.consumer.membership.offset_check import OffsetCheck
from trailhouse.consumer.membership.poison_pills.inspection import PoisonPillInspection
from trailhouse.consumer.membership.poison_pills.recovery import PoisonPillRecovery
from trailhouse.consumer.membership.poison_pills.subprocess_reader import SubprocessReader
from trailhouse.consumer.membership.slow_batches import SlowBatchWatch
from trailhouse.consumer.membership.source import KafkaSource, Listener
from trailhouse.consumer.membership.topic_check import TopicCheck
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.monitoring.missing_events import MissingEvents
from trailhouse.schemas.errors import TrailhouseError
from trailhouse.schemas.kafka_config import KafkaConfig

READ_RECORDS, READ_BYTES = 2_000, 4_194_304
"""What one read may bring; how many records make so many bytes is judged by those of the last read."""
FIRST_RECORDS = 100
READ_SECONDS = 0.05
IDLE_READ_SECONDS = 0.25
"""What comes ends a read at once; this bounds how late an idle worker hears that it is to stop."""
HOLD_AFTER_SECONDS = 1.0
COMMIT_RETRY_SECONDS = 0.5
PASS_OVER_EVERY_SECONDS = 1.0
LAST_COMMITS = 4
LAST_LOOK_SECONDS = 2.0


class Reporters(NamedTuple):
    """Where a worker says how it does."""

    health: Health
    metrics: WorkerMetrics
    heartbeat: Heartbeat


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
        inserter: BatchInserter,
        offset_check: OffsetCheck,
        inspection: PoisonPillInspection,
        topic: TopicCheck,
        group: GroupCheck,
        missing: MissingEvents,
        ask_kafka: Callable[[], None],
        reporters: Reporters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = worker
        self._writer = writer
        self._inserter = inserter
        self._topic = topic.in_background()
        self._group = group.in_background()
        self._missing = missing.in_background(
            lambda: 0 in self._source.partitions, worker.account_seconds
        )
        self._ask_kafka = ask_kafka
        self._health, self._metrics, self._heartbeat = reporters
        self._clock = clock
        self._limits = Limits.of(worker)
        self._next = Batch(self._limits, clock)
        self._inflight: InflightBatch | None = None
        self._read_records = FIRST_RECORDS
        self._taken_records = 0
        self._pass_over_due_at_seconds = 0.0
        self._is_fenced = False
        self._is_overdue = False
        self._commit_due_at_seconds = 0.0
        listener = Listener(
            on_assigned=self._on_assigned, on_revoked=self._on_revoked, on_lost=self._on_lost
        )
        self._source = KafkaSource(kafka, worker, listener)
        self._guard = AssignmentGuard(
            offset_check=offset_check,
            source=self._source,
            inserter=inserter,
            health=self._health,
            heartbeat=self._heartbeat,
            clock=clock,
        )
        self._recovery = PoisonPillRecovery(
            self._source,
            inspection,
            lambda ranges: SubprocessReader(kafka, worker, ranges, inspection),
            self._health,
            self._heartbeat,
        )
        self._slow_batches = SlowBatchWatch(self._source, kafka, clock)
        self._lag_monitor = LagMonitor(
            source=self._source,
            inserter=inserter,
            health=self._health,
            metrics=self._metrics,
            heartbeat=self._heartbeat,
            topic=self._topic,
            group=self._group,
            ask_kafka=ask_kafka,
            clock=clock,
        )
        self._is_assigned = False

    def run(self, stop: threading.Event) -> None:
        """Work until *stop* is set, Kafka has fenced this member, or the topic is another; then leave.

        Delivery:
            On return and on every error, what was committed is stored, and the rest uncommitted.

        Raises:
            BrokerError: Kafka refuses (permanent until mended) or fails (retriable); join again.
            WorkerStoppedError: Most of a batch are not events, or records are gone that nobody stored.
                Permanent.
        """
        self._health.note_waiting("kafka", "joining the consumer group")
        self._topic.start()
        self._group.start()
        if self._worker.account_seconds:
            self._missing.start()
        try:
            while not stop.is_set() and not self._is_fenced:
                self._step()
            self._drain()
        finally:
            for query in (self._topic, self._group, self._missing):
                query.stop()
            self._drop()
            self._guard.leave()
            self._lag_monitor.take(())
            self._source.close()
            self._metrics.assigned(0)

    def _step(self) -> None:
        # First of all in a turn: whatever hangs below is what the watchdog then tells of.
        self._heartbeat.turned()
        self._fill()
        if self._source.failing:
            self._recovery.step(self._next, self._next_offset)
        self._slow_batches.step(self._next_offset, is_reading=not self._next.is_full)
        self._follow_guard()
        self._settle()
        if self._inflight is None and self._next.is_due:
            self._launch()
        elif self._inflight is None and not len(self._next):
            self._pass_over()
        in_hand = (self._inflight.batch, self._next) if self._inflight else (self._next,)
        self._lag_monitor.look(
            in_hand,
            is_reading=self._is_assigned and self._guard.is_open,
            is_idle=self._inflight is None,
        )

    def _fill(self) -> None:
        """Read on, or wait for the batch that is being stored when the next one is full."""
        count = self._read_records
        timeout_seconds = IDLE_READ_SECONDS if self._is_idle else READ_SECONDS
        if self._inflight is not None and self._next.is_full:
            if not self._inflight.wait(HOLD_AFTER_SECONDS):
                self._source.hold()
            count, timeout_seconds = 1, 0.0  # nothing comes while held, but Kafka must hear of us
            if self._inflight.is_settled:
                return
        received = self._source.read(count, timeout_seconds)
        if received:
            self._taken_records += len(received)
            self._metrics.consumed(len(received))
            size_bytes = -self._next.size_bytes
            self._next.add(received)
            size_bytes += self._next.size_bytes
            # Sizes of a topic change slowly: the next read is judged by this one.
            fitting = READ_BYTES * len(received) // max(1, size_bytes)
            self._read_records = max(1, min(READ_RECORDS, fitting))

    @property
    def _is_idle(self) -> bool:
        """Whether nothing but a record, the group or the end of the process is waited for."""
        return (
            self._is_assigned
            and self._inflight is None
            and not len(self._next)
            and not self._guard.is_asking
            and not self._source.failing
            and not self._slow_batches.is_watching
        )

    def _next_offset(self, partition: int) -> int:
        """Return the offset after the last record of *partition* that is in hand or committed."""
        for batch in (self._next, self._inflight.batch if self._inflight else None):
            if batch is not None and partition in batch.spans:
                return batch.spans[partition].last_offset + 1
        return self._source.position(partition)

    def _follow_guard(self) -> None:
        step = self._guard.step()
        topic = self._topic.latest()
        if step == "leave" or (topic is not None and topic.is_other_topic):
            # Records of two topics must never stand in one batch, or under the other's id.
            self._drop()
            self._is_fenced = True
        elif step == "drop":
            self._drop()
        elif step == "begin":
            self._lag_monitor.begin()
            self._health.note_ready("kafka")

    def _launch(self) -> None:
        # The next batch is read while this one is inserted, so that neither waits for the other.
        batch, self._next = self._next, Batch(self._limits, self._clock)
        check_share(batch, len(batch.bad), self._worker)
        self._inflight = self._inserter.insert(batch, self._writer)

    def _pass_over(self) -> None:
        """Commit beyond offsets that hold no record, where nothing else waits: they would count as lag for ever.

        The ledger has them as a batch without a record, for what is committed must be in it.
        """
        now = self._clock()
        if now < self._pass_over_due_at_seconds or not self._guard.is_open:
            return
        self._pass_over_due_at_seconds = now + PASS_OVER_EVERY_SECONDS
        for number, part in self._source.without_records(self._taken_records).items():
            last = min(part.last, part.first + LONGEST_SPAN_RECORDS - 1)
            self._next.pass_over(number, part.first, last, round(time.time() * 1_000))
        if self._next.spans:
            self._launch()

    def _settle(self) -> None:
        """Commit the batch that has been stored, if there is one."""
        inflight = self._inflight
        if (
            inflight is None
            or not inflight.is_settled
            or self._clock() < self._commit_due_at_seconds
        ):
            return
        stored = inflight.outcome()
        if stored is None:
            self._drop()
            return
        # An outage may have been a restore: what was stored before it is looked for before more is committed.
        if not self._guard.may_commit():
            return
        # Again: ClickHouse may have refused rows that were events to us.
        check_share(inflight.batch, stored.quarantined_rows, self._worker)
        match self.commit(inflight.batch.next_offsets):
            case "done":
                self._note_commit(inflight.batch, stored)
            case "fenced":
                self._is_fenced = True
                self._drop()
            case _:
                self._commit_due_at_seconds = self._clock() + COMMIT_RETRY_SECONDS

    def commit(self, next_offsets: dict[int, int]) -> str:
        """Commit to Kafka; called when every record below *next_offsets* is stored.

        It blocks for as long as Kafka is away: librdkafka goes on trying. /health says so meanwhile.
        """
        with CommitMonitor(self._ask_kafka, self._note_overdue, self._heartbeat):
            outcome = self._source.commit(next_offsets)
        if outcome == "done" and self._is_overdue:
            self._is_overdue = False
            self._health.note_ready("kafka")
        return outcome

    def _note_overdue(self, error: TrailhouseError | None) -> None:
        self._is_overdue = True
        self._health.note_away("kafka", error or self._source.away("no answer to a commit"))

    def _note_commit(self, batch: Batch, stored: Stored) -> None:
        self._inflight = None
        self._guard.note_commit(batch.spans)
        self._lag_monitor.note_commit(batch)
        self._metrics.committed(
            stored_rows=stored.stored_rows,
            quarantined_rows=stored.quarantined_rows,
            at_unix_seconds=time.time(),
        )
        self._source.resume()

    def _drain(self) -> None:
        """Let the attempt that runs come to its end, and commit what it stored."""
        if self._inflight is not None:
            self._inflight.give_up()
            while not self._inflight.wait(HOLD_AFTER_SECONDS):
                self._heartbeat.turned()
        for _ in range(LAST_COMMITS):
            self._commit_due_at_seconds = 0.0
            self._settle()
            if self._guard.wait(LAST_LOOK_SECONDS) == "drop":
                self._drop()

    def _on_assigned(self, partitions: list[int]) -> None:
        self._is_assigned = True
        self._metrics.assigned(len(partitions))
        self._health.note_waiting("kafka", "holding the offsets against ClickHouse's ledger")
        self._guard.take(partitions)
        self._lag_monitor.take(partitions)

    def _on_revoked(self) -> None:
        """Finish the batch being stored, within what the other workers may wait, and drop the rest."""
        # Our peers cannot go on before we let go.
        until = self._clock() + self._worker.session_timeout_seconds
        while self._inflight is not None and self._clock() < until:
            self._heartbeat.turned()
            if self._inflight.wait(min(HOLD_AFTER_SECONDS, max(0.0, until - self._clock()))):
                self._commit_due_at_seconds = 0.0
                self._settle()
                break
        self._drop()
        self._guard.leave()
        self._lag_monitor.take(())
        self._is_assigned = False
        self._is_fenced = False  # we join again in any case, at the committed offsets

    def _on_lost(self) -> None:
        self._drop()
        self._guard.leave()
        self._lag_monitor.take(())
        self._is_assigned = False

    def _drop(self) -> None:
        if self._inflight is not None or len(self._next):
            self._metrics.dropped()
        if self._inflight is not None:
            self._inflight.give_up()
        self._inflight = None
        self._next = Batch(self._limits, self._clock)
        self._recovery.leave()
        self._slow_batches.leave()
