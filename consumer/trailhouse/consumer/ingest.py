"""The ingest loop: reach Kafka and ClickHouse, join the group, and join again after every trouble."""

import datetime as dt
import threading

from trailhouse.consumer.flight import Launcher
from trailhouse.consumer.group_session import GroupSession
from trailhouse.consumer.health import Health
from trailhouse.consumer.kafka_origin import KafkaOrigin
from trailhouse.consumer.metrics import WorkerMetrics
from trailhouse.consumer.rows import Origin
from trailhouse.consumer.writer import BatchWriter
from trailhouse.schemas.config import ClickHouseConfig, KafkaConfig, WorkerConfig
from trailhouse.schemas.errors import DeliveryError, StorageError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.migrate import check_with

CONNECT_SECONDS = 4.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 5.0


class Ingest:
    """Moves records from Kafka into ClickHouse until it is stopped. `run` belongs in a thread."""

    def __init__(
        self,
        *,
        kafka: KafkaConfig,
        clickhouse: ClickHouseConfig,
        worker: WorkerConfig,
        health: Health,
        metrics: WorkerMetrics,
    ) -> None:
        self._kafka = kafka
        self._clickhouse = clickhouse
        self._worker = worker
        self._health = health
        self._metrics = metrics
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask `run` to drain and return. Does not block; safe from any thread."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`: a part that is away is waited for, and nothing is committed meanwhile.

        Delivery:
            Whenever it returns or raises, every committed record is stored or quarantined.

        Raises:
            ConfigError: The database needs a newer Trailhouse. Permanent.
            EventError: Most of a batch is bad; it is not committed. Permanent.
            IntegrityError: Kafka no longer has the next records. Permanent.
        """
        with ClickHouse(self._clickhouse) as storage:
            launcher = Launcher(self._health, self._metrics, storage.ping)
            try:
                self._work(storage, launcher)
            finally:
                launcher.close()

    def _work(self, storage: ClickHouse, launcher: Launcher) -> None:
        wait_seconds = FIRST_WAIT_SECONDS
        while not self._stop.is_set():
            origin = self._reach(storage)
            if origin is not None:
                wait_seconds = FIRST_WAIT_SECONDS
                self._join(BatchWriter(storage, origin, _now), launcher)
            self._stop.wait(wait_seconds)
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)

    def _reach(self, storage: ClickHouse) -> Origin | None:
        """Ask both parts, so that /health names both; None when one of them cannot be worked with."""
        origin = self._reach_kafka()
        if origin is not None:
            self._health.note_waiting(
                "kafka", "not in the consumer group yet: ClickHouse comes first"
            )
        try:
            check_with(storage)
        except StorageError as error:
            self._health.note_away("clickhouse", error)
            return None
        self._health.note_ready("clickhouse")
        return origin

    def _reach_kafka(self) -> Origin | None:
        try:
            return KafkaOrigin(self._kafka, timeout_seconds=CONNECT_SECONDS).origin(self._kafka)
        except DeliveryError as error:
            self._health.note_away("kafka", error)
            return None

    def _join(self, writer: BatchWriter, launcher: Launcher) -> None:
        try:
            session = GroupSession(
                kafka=self._kafka,
                worker=self._worker,
                writer=writer,
                launcher=launcher,
                health=self._health,
                metrics=self._metrics,
            )
            session.run(self._stop)
        except DeliveryError as error:
            self._health.note_away("kafka", error)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
