"""One membership in the consumer group: read, store, commit, in that order, until it ends."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from trailhouse.consumer.batch.back_pressure import BackPressure
from trailhouse.consumer.batch.batch import Batch, Limits, next_offsets
from trailhouse.consumer.batch.blocks import LONGEST_SPAN_RECORDS
from trailhouse.consumer.batch.breaker import check_share
from trailhouse.consumer.batch.inflight import BatchInserter, InflightBatches
from trailhouse.consumer.batch.insert_pace import InsertPace
from trailhouse.consumer.batch.span import Span
from trailhouse.consumer.batch.uncommitted import UncommittedBatches, WritesLogs
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.assignment_guard import AssignmentGuard
from trailhouse.consumer.membership.batch_reader import BatchReader
from trailhouse.consumer.membership.committer import Committer
from trailhouse.consumer.membership.group_check import GroupCheck
from trailhouse.consumer.membership.lag_monitor import LagMonitor
from trailhouse.consumer.membership.offset_check import OffsetCheck
from trailhouse.consumer.membership.poison_pills.inspection import PoisonPillInspection
from trailhouse.consumer.membership.poison_pills.recovery import PoisonPillRecovery
from trailhouse.consumer.membership.poison_pills.subprocess_reader import SubprocessReader
from trailhouse.consumer.membership.slow_batches import SlowBatchWatch
from trailhouse.consumer.membership.source import KafkaSource, Listener
from trailhouse.consumer.membership.topic_check import TopicCheck
from trailhouse.consumer.monitoring.anchoring import Anchoring
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.monitoring.missing_events import MissingEvents
from trailhouse.consumer.proof_log.restore import Restored
from trailhouse.schemas.errors import BreakerTrippedError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.store.parts import FullestTable

READ_SECONDS = 0.05
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
    """At most one batch is being stored; the next is read meanwhile, and small ones wait for their commit together.

    Every method runs in the one thread that calls `run`.
    """

    def __init__(
        self,
        *,
        kafka: KafkaConfig,
        worker: WorkerConfig,
        write: Callable[[Mapping[int, Restored]], WritesLogs],
        inserter: BatchInserter,
        offset_check: OffsetCheck,
        inspection: PoisonPillInspection,
        topic: TopicCheck,
        group: GroupCheck,
        ask_parts: Callable[[], FullestTable],
        missing: MissingEvents,
        anchoring: Anchoring,
        ask_kafka: Callable[[], None],
        on_release: Callable[[], None] = lambda: None,
        reporters: Reporters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = worker
        self._write = write
        self._writer = write({})
        self._on_release = on_release
        self._inserter = inserter
        self._topic = topic.in_background(self._moved)
        self._group = group.in_background(self._moved)
        self._missing = missing.in_background(
            lambda: 0 in self._source.partitions, worker.account_seconds
        )
        self._anchoring = anchoring.in_background(lambda: 0 in self._source.partitions)
        self._health, self._metrics, self._heartbeat = reporters
        self._clock = clock
        self._limits = Limits.of(worker)
        self._pace = InsertPace(worker.freshness_seconds, clock, inserter.gathering)
        self._pressure = BackPressure(
            self._pace, ask_parts, inserter.failures, self._health, self._metrics, clock
        )
        self._next = Batch(self._limits, clock)
        self._uncommitted = UncommittedBatches(self._limits, clock)
        self._inflight: InflightBatches | None = None
        self._stop = threading.Event()
        self._pass_over_due_at_seconds = 0.0
        self._is_noted = True
        self._is_fenced = False
        self._commit_due_at_seconds = 0.0
        listener = Listener(self._on_assigned, self._on_revoked, self._on_lost)
        self._source = KafkaSource(kafka, worker, listener)
        self._reader = BatchReader(self._source, self._metrics)
        self._committer = Committer(self._source, ask_kafka, self._health, self._heartbeat)
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

    @property
    def partitions(self) -> Collection[int]:
        """The partitions that are assigned to this member."""
        return self._source.partitions

    def run(self, stop: threading.Event) -> None:
        """Work until *stop* is set, Kafka has fenced this member, or the topic is another; then leave.

        Delivery:
            On return and on every error, what was committed is stored, and the rest uncommitted.

        Raises:
            BrokerError: Kafka refuses (permanent until mended) or fails (retriable); join again.
            WorkerStoppedError: Most of a batch are not events, or records are gone that nobody stored.
                Permanent.
        """
        self._stop = stop
        self._health.note_waiting("kafka", "joining the consumer group")
        self._topic.start()
        self._group.start()
        if self._worker.account_seconds:
            self._missing.start()
        self._anchoring.start()
        try:
            while not stop.is_set() and not self._is_fenced:
                self._step()
            self._drain()
        except BreakerTrippedError:
            # What came before is committed, so that whoever starts again begins with what tripped it.
            self._drain()
            raise
        finally:
            for query in (self._topic, self._group, self._missing, self._anchoring, self._pressure):
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
        self._pressure.look()
        if self._inflight is None:
            self._launch_if_due()
        self._lag_monitor.look(
            (*self._uncommitted.batches, self._next),
            is_reading=self._is_assigned and self._guard.is_open,
            is_storing=self._inflight is not None,
        )

    def _launch_if_due(self) -> None:
        if not self._pace.due_in_seconds(self._next):
            self._launch()
        elif self._uncommitted.batches and self._pace.is_commit_due(self._uncommitted):
            self._insert(has_ledger=True)
        elif not len(self._next) and not self._uncommitted.batches:
            self._pass_over()

    def _fill(self) -> None:
        """Read on, or wait for the batch that is being stored when the next one is full."""
        if self._is_idle:
            self._reader.read_while_idle(
                self._next, self._pace.due_in_seconds(self._next), self._stop
            )
        elif self._inflight is None or not self._next.is_full:
            self._reader.read(self._next, READ_SECONDS)
        else:
            if not self._inflight.wait(HOLD_AFTER_SECONDS):
                self._source.hold()
            if not self._inflight.is_settled:
                self._reader.read_while_held(self._next)

    @property
    def _is_idle(self) -> bool:
        """Whether nothing but records, the group or the end of the process is waited for."""
        return (
            self._is_assigned
            and self._inflight is None
            and not self._guard.is_asking
            and not self._source.failing
            and not self._slow_batches.is_watching
        )

    def _moved(self) -> object:
        """Return what is another whenever anything was read, or other partitions are ours."""
        return self._source.delivered_records, self._source.partitions

    def _next_offset(self, partition: int) -> int:
        """Return the offset after the last record of *partition* that is in hand or committed."""
        for batch in (self._next, *reversed(self._uncommitted.batches)):
            if partition in batch.spans:
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
            self._writer = self._write(self._guard.logs)
            self._lag_monitor.begin()
            self._health.note_ready("kafka")

    def _launch(self) -> None:
        # The next batch is read while this one is inserted, so that neither waits for the other.
        batch, self._next = self._next, Batch(self._limits, self._clock)
        check_share(batch, len(batch.bad), self._worker)
        self._uncommitted.add(batch)
        self._is_noted = False
        self._insert(has_ledger=not len(batch) or self._pace.is_commit_due(self._uncommitted))

    def _insert(self, *, has_ledger: bool, is_hurried: bool = False) -> None:
        self._inflight = self._inserter.insert(
            self._uncommitted, self._writer, has_ledger=has_ledger, is_hurried=is_hurried
        )

    def _pass_over(self) -> None:
        """Commit beyond offsets that hold no record, where nothing else waits: they would count as lag for ever.

        The ledger has them as a batch without a record, for what is committed must be in it.
        """
        now = self._clock()
        if now < self._pass_over_due_at_seconds or not self._guard.is_open:
            return
        self._pass_over_due_at_seconds = now + PASS_OVER_EVERY_SECONDS
        for number, part in self._source.without_records(self._reader.taken_records).items():
            last = min(part.last, part.first + LONGEST_SPAN_RECORDS - 1)
            self._next.pass_over(number, part.first, last, round(time.time() * 1_000))
        if self._next.spans:
            self._launch()

    def _settle(self) -> None:
        """Take in what has been stored, if there is something, and commit it once the ledger has it."""
        inflight = self._inflight
        if (
            inflight is None
            or not inflight.is_settled
            or self._clock() < self._commit_due_at_seconds
        ):
            return
        seconds = inflight.outcome()
        if seconds is None:
            self._drop()
            return
        if not self._is_noted:
            self._note_stored(seconds)
        if not inflight.has_ledger:
            self._land()
            return
        # An outage may have been a restore: what was stored before it is looked for before more is committed.
        if not self._guard.may_commit():
            return
        spans = self._uncommitted.spans
        match self._committer.commit(next_offsets(spans)):
            case "done":
                self._note_commit(spans)
            case "fenced":
                self._is_fenced = True
                self._drop()
            case _:
                self._commit_due_at_seconds = self._clock() + COMMIT_RETRY_SECONDS

    def _note_stored(self, seconds: float) -> None:
        """Take in that the last batch is stored.

        Raises:
            BreakerTrippedError: ClickHouse refused most of its rows, which were events to us; the batch is dropped.
        """
        self._is_noted = True
        mine = self._uncommitted
        batch = mine.batches[-1]
        try:
            check_share(batch, mine.stored[-1].quarantined_rows, self._worker)
        except BreakerTrippedError:
            mine.remove_last()
            self._inflight = None
            raise
        self._metrics.stored(seconds=seconds, rows=len(batch), size_bytes=batch.size_bytes)
        if (view := self._group.latest()) is not None:
            self._pace.note_share(len(self._source.partitions), len(view.partitions))
        self._pressure.note_insert(seconds)

    def _land(self) -> None:
        self._inflight = None
        self._source.resume()

    def _note_commit(self, spans: Mapping[int, Span]) -> None:
        self._land()
        self._writer.note_commit()
        stored = self._uncommitted.stored
        self._uncommitted = UncommittedBatches(self._limits, self._clock)
        self._guard.note_commit(spans)
        self._lag_monitor.note_commit(spans)
        self._metrics.committed(
            stored_rows=sum(each.stored_rows for each in stored),
            quarantined_rows=sum(each.quarantined_rows for each in stored),
            at_unix_seconds=time.time(),
        )

    def _drain(self) -> None:
        """Let the attempt that runs come to its end, and commit what is stored."""
        for _ in range(LAST_COMMITS):
            if self._inflight is not None:
                self._inflight.give_up()
                while not self._inflight.wait(HOLD_AFTER_SECONDS):
                    self._heartbeat.turned()
            self._commit_due_at_seconds = 0.0
            self._settle()
            if self._guard.wait(LAST_LOOK_SECONDS) == "drop":
                self._drop()
            self._commit_early()

    def _commit_early(self) -> None:
        """Enter in the ledger what is stored, since no more of these partitions is read."""
        if self._inflight is None and self._uncommitted.batches:
            self._insert(has_ledger=True, is_hurried=True)

    def _on_assigned(self, partitions: list[int]) -> None:
        self._is_assigned = True
        self._metrics.assigned(len(partitions))
        self._health.note_waiting("kafka", "holding the offsets against ClickHouse's ledger")
        self._guard.take(partitions)
        self._lag_monitor.take(partitions)

    def _on_revoked(self) -> None:
        """Finish and commit what is stored or being stored, within what the other workers may wait; drop the rest."""
        # Our peers cannot go on before we let go.
        until = self._clock() + self._worker.session_timeout_seconds
        self._commit_early()
        while (inflight := self._inflight) is not None and self._clock() < until:
            self._heartbeat.turned()
            if inflight.wait(min(HOLD_AFTER_SECONDS, max(0.0, until - self._clock()))):
                self._commit_due_at_seconds = 0.0
                self._settle()
                if self._inflight is inflight:
                    break  # stored, and not to be committed now
                self._commit_early()
        self._on_release()
        self._on_lost()
        self._is_fenced = False  # we join again in any case, at the committed offsets

    def _on_lost(self) -> None:
        self._drop()
        self._guard.leave()
        self._lag_monitor.take(())
        self._is_assigned = False

    def _drop(self) -> None:
        if self._uncommitted.batches or len(self._next):
            self._metrics.dropped()
        if self._inflight is not None:
            self._inflight.give_up()
        self._inflight = None
        self._uncommitted = UncommittedBatches(self._limits, self._clock)
        self._next = Batch(self._limits, self._clock)
        self._recovery.leave()
        self._slow_batches.leave()
