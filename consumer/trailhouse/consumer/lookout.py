"""Looks around once a turn of the ingest loop: lag, time to loss, and whether both parts are there."""

import time
from collections.abc import Callable

from trailhouse.consumer.batch import Batch
from trailhouse.consumer.flight import Launcher
from trailhouse.consumer.health import Health
from trailhouse.consumer.kafka_probe import Ask, KafkaProbe
from trailhouse.consumer.kafka_source import KafkaSource
from trailhouse.consumer.metrics import WorkerMetrics
from trailhouse.consumer.progress import Progress
from trailhouse.consumer.time_to_loss import TimeToLoss
from trailhouse.consumer.topic_watch import TopicWatch
from trailhouse.schemas.errors import DeliveryError

CHECK_SECONDS = 2.0
LAG_EVERY_SECONDS = 1.0
EXACT_EVERY = 10
"""Every so often Kafka is asked for its end, since a consumer that gets nothing knows no newer one."""


class Lookout:
    """Used by the ingest thread; only an exact lag blocks, for about a second while Kafka is there."""

    def __init__(
        self,
        *,
        source: KafkaSource,
        launcher: Launcher,
        health: Health,
        metrics: WorkerMetrics,
        progress: Progress,
        topic: TopicWatch,
        ask_kafka: Ask,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._launcher = launcher
        self._health = health
        self._metrics = metrics
        self._progress = progress
        self._topic = topic
        self._clock = clock
        self._time_to_loss = TimeToLoss()
        self._last_appended_ms: dict[int, int] = {}
        self._lag_asked_times = 0
        self._lag_due_at_seconds = 0.0
        self._is_reading = False
        self._probe = KafkaProbe(
            ask_kafka, progress, on_answer=self._kafka_answers, on_away=self._kafka_is_away
        )
        self._probe_due_at_seconds = 0.0
        self._check_due_at_seconds = 0.0

    def begin(self) -> None:
        """Forget what was, and take in the lag: the source begins to read its partitions."""
        self._time_to_loss.forget()
        self._last_appended_ms.clear()
        self._note_lag(self._source.lag_records(), ())

    def note_commit(self, batch: Batch) -> None:
        """Take in how far *batch* brought its partitions."""
        for number, span in batch.spans.items():
            self._last_appended_ms[number] = span.last_appended_ms
        self._note_lag(self._source.lag_records(), ())

    def look(self, in_hand: tuple[Batch, ...], *, is_reading: bool, is_idle: bool) -> None:
        """Refresh the lag; ask after Kafka when librdkafka complains, after ClickHouse when idle.

        Args:
            in_hand: The batches that are not committed, the oldest first.
            is_reading: Whether the partitions are being read, so that there is a lag.
            is_idle: Whether nothing is being stored.
        """
        now = self._clock()
        self._is_reading = is_reading
        if self._source.complaint is not None and now >= self._check_due_at_seconds:
            self._check_due_at_seconds = now + CHECK_SECONDS
            self._probe.start()
        elif is_reading and now >= self._lag_due_at_seconds:
            self._lag_due_at_seconds = now + LAG_EVERY_SECONDS
            self._lag_asked_times += 1
            is_exact = self._lag_asked_times % EXACT_EVERY == 0 and self._source.complaint is None
            lags = self._source.lag_records(is_exact=is_exact)
            self._note_lag(lags, in_hand)
            if len(lags) == len(self._source.partitions) and not any(lags.values()):
                self._progress.moved()
        elif is_idle and now >= self._probe_due_at_seconds:
            self._probe_due_at_seconds = now + CHECK_SECONDS
            self._launcher.probe()

    def _note_lag(self, lags: dict[int, int], in_hand: tuple[Batch, ...]) -> None:
        self._metrics.lag(lags)
        oldest = {number: at / 1_000 for number, at in self._last_appended_ms.items()}
        for batch in reversed(in_hand):
            for number, span in batch.spans.items():
                oldest[number] = span.first_appended_ms / 1_000
        self._metrics.time_to_loss(
            self._time_to_loss.seconds(lags, oldest, self._topic.retention_seconds, time.time())
        )

    def _kafka_answers(self) -> None:
        self._source.complaint = None
        if self._is_reading:
            self._health.note_ready("kafka")

    def _kafka_is_away(self, error: DeliveryError) -> None:
        self._health.note_away("kafka", error)
