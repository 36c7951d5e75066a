"""The ingest loop: reach Kafka and ClickHouse, join the group, and join again after every trouble."""

import datetime as dt
import gc
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial

from trailhouse.broker.batch_headers import batches_at
from trailhouse.broker.origin import Origin
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.consumer.batch.contradictions import note_contradictions
from trailhouse.consumer.batch.erasure_orders import ErasureOrders
from trailhouse.consumer.batch.gathering import GatheredStore, Gathering
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.inflight import LONGEST_WAIT_OVERLOADED_SECONDS, BatchInserter
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.batch.log_writer import LogWriter
from trailhouse.consumer.batch.sender_times import SenderTimes
from trailhouse.consumer.batch.watched_store import WatchedStore
from trailhouse.consumer.batch.writer import BatchWriter
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.group_check import GroupCheck
from trailhouse.consumer.membership.log_truncation import LogTruncation
from trailhouse.consumer.membership.offset_check import OffsetCheck
from trailhouse.consumer.membership.poison_pills.inspection import PoisonPillInspection
from trailhouse.consumer.membership.session import GroupSession, Reporters
from trailhouse.consumer.membership.topic_check import TopicCheck
from trailhouse.consumer.monitoring.anchoring import Anchoring
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.monitoring.missing_events import MissingEvents, missing_events
from trailhouse.consumer.monitoring.seal_judging import SealJudging
from trailhouse.consumer.monitoring.stored_ends import StoredEnds
from trailhouse.consumer.monitoring.watchdog import Watchdog
from trailhouse.consumer.proof_log.checkpointer import Checkpointer
from trailhouse.consumer.proof_log.proof_log import ProofLog
from trailhouse.consumer.proof_log.restore import Restored
from trailhouse.consumer.proof_log.signing import Signing
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.backoff import Backoff
from trailhouse.schemas.errors import BrokerError, SchemaMismatchError, StorageError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.store.clickhouse import MAX_CONNECT_SECONDS, ClickHouse
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.migrate import check_with
from trailhouse.store.parts import fullest_table
from trailhouse.store.policies import current_policy

CONNECT_SECONDS = 4.0
LOOK_SECONDS = 30.0
"""At a batch of each partition, one after the other."""
PROBE_SECONDS = 1.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 5.0
TURN_SECONDS = 0.5


class Ingest:
    """Moves records from Kafka into ClickHouse until it is stopped. `run` belongs in a thread."""

    def __init__(
        self,
        *,
        kafka: KafkaConfig,
        clickhouse: ClickHouseConfig,
        worker: WorkerConfig,
        proof: ProofConfig,
        health: Health,
        metrics: WorkerMetrics,
    ) -> None:
        self._kafka = kafka
        self._clickhouse = clickhouse
        self._worker = worker
        self._proof = proof
        self._health = health
        self._metrics = metrics
        self._stop = threading.Event()
        self._heartbeat = Heartbeat()
        # A statement may take its time to connect and to answer, and be waited for before the next
        # attempt: that is not a standstill.
        attempt_seconds = (
            min(clickhouse.timeout_seconds, MAX_CONNECT_SECONDS)
            + clickhouse.timeout_seconds
            + LONGEST_WAIT_OVERLOADED_SECONDS
        )
        self._reach_seconds = 3 * CONNECT_SECONDS + attempt_seconds
        self._watchdog = Watchdog(self._heartbeat, worker.watchdog_seconds, attempt_seconds)

    def stop(self) -> None:
        """Ask `run` to drain and return. Does not block; safe from any thread."""
        self._watchdog.stop()  # a drain has its own deadline
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`: a part that is away is waited for, and nothing is committed meanwhile.

        Delivery:
            Whenever it returns or raises, every committed record is stored or quarantined.

        Raises:
            SchemaMismatchError: The database needs a newer Trailhouse. Permanent.
            ConfigError: librdkafka does not take the settings. Permanent.
            BreakerTrippedError: Most of a batch is bad; it is not committed. Permanent.
            OffsetGapError: Kafka no longer has records that nobody stored, and `on_gap` is ``stop``.
                Permanent.
        """
        self._watchdog.start()
        with ClickHouse(self._clickhouse) as storage:
            inserter = BatchInserter(
                self._health,
                self._metrics,
                storage.ping,
                gathering=Gathering(self._clickhouse.async_insert, self._worker.freshness_seconds),
            )
            try:
                self._work(storage, inserter)
            finally:
                self._watchdog.stop()
                inserter.close()

    def _work(self, storage: ClickHouse, inserter: BatchInserter) -> None:
        backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        while not self._stop.is_set():
            self._heartbeat.turned()
            # Anew at each attempt: after an outage the topic may be another one of the same name.
            origin = self._reach_within(storage)
            if origin is not None:
                backoff.reset()
                self._join(storage, origin, inserter)
            self._pause(backoff.next_seconds())

    def _pause(self, seconds: float) -> None:
        """Wait before the next attempt to reach both parts, unless it is time to stop."""
        for _ in range(max(1, round(seconds / TURN_SECONDS))):
            self._heartbeat.turned()
            if self._stop.wait(TURN_SECONDS):
                return

    def _reach_within(self, storage: ClickHouse) -> Origin | None:
        """Do as `_reach` does, in a thread, so that the watchdog can tell waiting from hanging."""
        with ThreadPoolExecutor(1, thread_name_prefix="trailhouse-reach") as threads:
            reached = threads.submit(self._reach, storage)
            until = time.monotonic() + self._reach_seconds
            while not wait([reached], TURN_SECONDS).done:
                # After that the watchdog is told nothing more: what takes longer than all its deadlines hangs.
                if time.monotonic() < until:
                    self._heartbeat.turned()
            return reached.result()

    def _reach(self, storage: ClickHouse) -> Origin | None:
        """Ask both parts, so that /health names both; None when one of them cannot be worked with."""
        origin = self._reach_kafka()
        if origin is not None:
            self._health.note_waiting(
                "kafka", "not in the consumer group yet: ClickHouse comes first"
            )
        try:
            check_with(storage)
        except SchemaMismatchError:
            raise
        except StorageError as error:
            self._health.note_away("clickhouse", error)
            gc.collect()  # the client's errors hold themselves; see `BatchInserter`
            return None
        self._health.note_ready("clickhouse")
        return origin

    def _reach_kafka(self) -> Origin | None:
        try:
            with TopicIdentity(self._kafka, timeout_seconds=CONNECT_SECONDS) as admin:
                return admin.origin(self._kafka)
        except BrokerError as error:
            self._health.note_away("kafka", error)
            return None

    def _ask_kafka(self) -> None:
        with TopicIdentity(self._kafka, timeout_seconds=PROBE_SECONDS) as admin:
            admin.topic_id()

    def _join(self, storage: ClickHouse, origin: Origin, inserter: BatchInserter) -> None:
        try:
            ask_kafka = partial(TopicIdentity, self._kafka, timeout_seconds=CONNECT_SECONDS)
            # All of it belongs to this membership and this topic: the next one begins with nothing remembered.
            gathered = GatheredStore(storage, inserter.gathering)
            ledger = Ledger(gathered, origin)
            incidents = Incidents(ledger, origin, self._metrics, _now)
            orders = ErasureOrders(storage, self._proof)
            writer = SenderTimes(
                BatchWriter(
                    WatchedStore(gathered, self._heartbeat),
                    origin,
                    _now,
                    orders.among,
                ),
                incidents,
                self._metrics,
            )
            proof_log = self._proof_log(storage, gathered, origin)
            group = GroupCheck(
                ask_kafka=ask_kafka,
                group_id=self._worker.group_id,
                watchdog_seconds=self._worker.watchdog_seconds,
                health=self._health,
                metrics=self._metrics,
                incidents=incidents,
                stored_ends=StoredEnds(gathered, origin, _now, lambda: 0 in session.partitions),
            )

            def begun(logs: Mapping[int, Restored]) -> LogWriter:
                orders.note_assigned()
                return LogWriter(writer, proof_log.begin(logs), incidents)

            session = GroupSession(
                kafka=self._kafka,
                worker=self._worker,
                write=begun,
                inserter=inserter,
                offset_check=OffsetCheck(
                    kafka=self._kafka,
                    worker=self._worker,
                    ask_kafka=ask_kafka,
                    ledger=ledger,
                    origin=origin,
                    incidents=incidents,
                    cut_at=LogTruncation(
                        StoredLog(storage, origin),
                        partial(batches_at, self._kafka, timeout_seconds=LOOK_SECONDS),
                    ).cut_at,
                    restore_logs=proof_log.restored,
                ),
                inspection=PoisonPillInspection(self._kafka, ledger, incidents),
                topic=TopicCheck(self._kafka, ask_kafka, origin, self._health),
                group=group,
                ask_parts=partial(fullest_table, storage),
                missing=MissingEvents(partial(missing_events, storage), self._metrics),
                anchoring=Anchoring.configured(
                    storage,
                    self._proof,
                    self._health,
                    self._metrics,
                    partial(note_contradictions, incidents, origin),
                ),
                ask_kafka=self._ask_kafka,
                on_release=proof_log.release,
                reporters=Reporters(self._health, self._metrics, self._heartbeat),
            )
            judging = SealJudging(storage, self._proof).in_background(
                lambda: 0 in session.partitions
            )
            judging.start()
            try:
                session.run(self._stop)
            finally:
                judging.stop()
                proof_log.close()
                if self._stop.is_set():
                    group.look_last()
                with suppress(StorageError):  # the next worker notes where it goes on
                    writer.end()
        except BrokerError as error:
            self._health.note_away("kafka", error)

    def _proof_log(self, storage: ClickHouse, gathered: GatheredStore, origin: Origin) -> ProofLog:
        stored, signing = StoredLog(gathered, origin), Signing(self._proof)
        checkpointer = Checkpointer(stored, signing, self._health, self._metrics, now=_now)
        return ProofLog(
            stored, signing, checkpointer, _now, partial(current_policy, storage, self._proof)
        )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
