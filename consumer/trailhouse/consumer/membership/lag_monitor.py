"""Looks around once a turn of the ingest loop: lag, standstills, time to loss, and whether both parts are there."""

import time
from collections.abc import Callable, Mapping, Sequence

from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.batch.inflight import BatchInserter
from trailhouse.consumer.batch.span import Span
from trailhouse.consumer.membership.group_check import GroupView
from trailhouse.consumer.membership.source import KafkaSource
from trailhouse.consumer.membership.topic_check import TopicState
from trailhouse.consumer.monitoring.background_query import BackgroundQuery
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.monitoring.partition_stalls import PartitionStalls
from trailhouse.consumer.monitoring.time_to_loss import TimeToLoss
from trailhouse.schemas.errors import TrailhouseError

CHECK_SECONDS = 2.0
IDLE_CHECK_SECONDS = 15.0
"""ClickHouse is asked so seldom when it answered last, nothing is stored, and nobody wants to know."""
LAG_EVERY_SECONDS = 1.0
STALLS_EVERY_SECONDS = 0.25
IDLE_STALLS_EVERY_SECONDS = 1.0


class LagMonitor:
    """Used by the ingest thread; nothing here blocks."""

    def __init__(
        self,
        *,
        source: KafkaSource,
        inserter: BatchInserter,
        health: Health,
        metrics: WorkerMetrics,
        heartbeat: Heartbeat,
        topic: BackgroundQuery[TopicState],
        group: BackgroundQuery[GroupView],
        ask_kafka: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._inserter = inserter
        self._health = health
        self._metrics = metrics
        self._heartbeat = heartbeat
        self._topic = topic
        self._group = group
        self._clock = clock
        self._time_to_loss = TimeToLoss()
        self._last_appended_ms: dict[int, int] = {}
        self._lag_due_at_seconds = 0.0
        self._assigned: Sequence[int] = ()
        self._stalls = PartitionStalls(4 * STALLS_EVERY_SECONDS)
        self._stalls_due_at_seconds = 0.0
        self._signs = (0, 0)
        self._is_reading = False
        # A consumer's own questions overrun their timeouts: measured, `list_topics` with 1 s came back
        # after more than 8 s while a broker was shutting down.
        self._probe = BackgroundQuery(
            ask_kafka,
            name="kafka-probe",
            on_answer=self._kafka_answers,
            on_failure=self._kafka_is_away,
        )
        self._probed_at_seconds = -IDLE_CHECK_SECONDS
        self._asked_times = 0
        self._check_due_at_seconds = 0.0

    def take(self, partitions: Sequence[int]) -> None:
        """Watch *partitions* from now on, and forget those of before."""
        self._assigned = partitions
        self._stalls.forget()
        self._heartbeat.stalled_seconds = {}

    def begin(self) -> None:
        """Forget what was, and take in the lag: the source begins to read its partitions."""
        self._time_to_loss.forget()
        self._last_appended_ms.clear()
        self._note_lag(())

    def note_commit(self, spans: Mapping[int, Span]) -> None:
        """Take in how far a commit brought its partitions."""
        for number, span in spans.items():
            self._last_appended_ms[number] = span.last_appended_ms
        self._note_lag(())

    def look(self, in_hand: tuple[Batch, ...], *, is_reading: bool, is_storing: bool) -> None:
        """Refresh the lag; ask after Kafka when librdkafka complains, after ClickHouse when idle.

        Most of it is done at intervals, and less often while nothing waits and nobody asks.

        Args:
            in_hand: The batches that are not committed, the oldest first.
            is_reading: Whether the partitions are being read, so that there is a lag.
            is_storing: Whether something is being stored; else nothing in hand is due yet.
        """
        now = self._clock()
        self._is_reading = is_reading
        if now >= self._stalls_due_at_seconds:
            self._note_stalls(now, in_hand, is_storing=is_storing)
            is_any = bool(self._heartbeat.stalled_seconds)
            every_seconds = STALLS_EVERY_SECONDS if is_any else IDLE_STALLS_EVERY_SECONDS
            self._stalls_due_at_seconds = now + every_seconds
        # librdkafka complains of each connection; whether Kafka is away is only known by asking.
        if self._source.complaint is not None and now >= self._check_due_at_seconds:
            self._check_due_at_seconds = now + CHECK_SECONDS
            self._probe.start()
        elif is_reading and now >= self._lag_due_at_seconds:
            self._lag_due_at_seconds = now + LAG_EVERY_SECONDS
            self._note_lag(in_hand)
        # While something is being stored, its outcome tells whether ClickHouse is there.
        elif not is_storing and self._is_probe_due(now):
            self._probed_at_seconds = now
            self._asked_times = self._health.times_asked
            self._inserter.probe()

    def _is_probe_due(self, now: float) -> bool:
        """Whether to ask after ClickHouse: soon when it was away, or somebody wants to know; else now and then."""
        is_soon = self._health.times_asked != self._asked_times or not self._health.is_ready
        every_seconds = CHECK_SECONDS if is_soon else IDLE_CHECK_SECONDS
        return now - self._probed_at_seconds >= every_seconds

    def _note_stalls(self, now: float, in_hand: tuple[Batch, ...], *, is_storing: bool) -> None:
        """Add up how long each partition stands still while the group was seen to have records wait.

        Storing a batch, or filling one, excuses the partitions that have records in hand, a hold the others,
        a batch that cannot be opened its own, and a part that is away all of them. What was seen too long
        ago says nothing, so nothing waits then.
        """
        before, self._signs = self._signs, (self._heartbeat.writes, self._heartbeat.waits)
        view = self._group.latest()
        if self._signs[1] != before[1]:
            self._stalls.forget()
        busy = {number for batch in in_hand for number in batch.spans}
        excused = set(self._source.failing)  # what cannot be opened is no nearer after a restart
        if self._signs[0] != before[0] or not is_storing:
            excused |= busy
        if self._source.is_held:
            excused |= set(self._assigned) - busy
        waiting = {} if view is None else self._waiting(view)
        self._heartbeat.stalled_seconds = self._stalls.seconds(now, waiting, excused)

    def _waiting(self, view: GroupView) -> dict[int, int]:
        """Return the partitions of ours with records that can be read, and how far each is committed."""
        waiting: dict[int, int] = {}
        for number in self._assigned:
            part = view.partitions.get(number)
            if part is not None:
                position = self._source.positions.get(number, part.next_offset)
                if position < part.readable_end:
                    waiting[number] = position
        return waiting

    def _lags(self) -> dict[int, int]:
        """Return the lag of each partition that is read, but of those of which no end is known yet.

        What the consumer knows is as old as the last answer it fetched, so what was seen of the group counts too.
        """
        view = self._group.latest()
        ends = self._source.known_ends()
        begins: dict[int, int] = {}
        if view is not None:
            for number, part in view.partitions.items():
                ends[number] = max(ends.get(number, 0), part.end_offset)
                begins[number] = part.first_offset
        return {
            number: max(0, ends[number] - max(position, begins.get(number, 0)))
            for number, position in self._source.positions.items()
            if number in ends
        }

    def _note_lag(self, in_hand: tuple[Batch, ...]) -> None:
        lags = self._lags()
        self._metrics.lag(lags)
        oldest = {number: at / 1_000 for number, at in self._last_appended_ms.items()}
        for batch in reversed(in_hand):
            for number, span in batch.spans.items():
                oldest[number] = span.first_appended_ms / 1_000
        topic = self._topic.latest() or TopicState()
        self._metrics.time_to_loss(
            self._time_to_loss.seconds(lags, oldest, topic.retention_seconds, time.time())
        )

    def _kafka_answers(self, _: None) -> None:
        self._source.complaint = None
        if self._is_reading:
            self._health.note_ready("kafka")

    def _kafka_is_away(self, error: TrailhouseError) -> None:
        self._health.note_away("kafka", error)
        self._heartbeat.waited()
