"""A proven log without a worker: events, leaves, nodes and checkpoints, stored by the worker's own code."""

import datetime as dt
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from kafka_records import Record
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.batch.log_writer import LogWriter
from trailhouse.consumer.batch.writer import BatchWriter
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.proof_log.checkpointer import Checkpointer
from trailhouse.consumer.proof_log.proof_log import ProofLog
from trailhouse.consumer.proof_log.signing import Signing
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import create_key_file
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse
from waiting import eventually

ORIGIN = Origin("cluster-of-tests", "events", "topic-id-of-tests")
LOG_NAME = "audit.example/tests"
FIRST_MS = 1_790_000_000_000


def log_key(folder: Path, log_name: str = LOG_NAME) -> ProofConfig:
    """Return settings of a log with a new key in *folder*."""
    path = folder / "log.key"
    create_key_file(path)
    return ProofConfig(log_name=log_name, key_file=str(path))


class ProvenLog:
    """A log that grows by `store`; each call is one commit, and has its checkpoints when it returns.

    Another one beside it, or after it, goes on where the first has stopped, as another worker does.
    """

    def __init__(self, clickhouse: ClickHouse, proof: ProofConfig, origin: Origin = ORIGIN) -> None:
        self.clickhouse = clickhouse
        self.origin = origin
        self.health, self.metrics = Health(), WorkerMetrics()
        self._stored = StoredLog(clickhouse, origin)
        self._signing = Signing(proof)
        self._incidents = Incidents(Ledger(clickhouse, origin), origin, self.metrics, _now)
        self._next: dict[int, int] = {}

    def store(
        self,
        values: Mapping[int, Sequence[bytes | AuditEvent | None]],
        *,
        first_offsets: Mapping[int, int] | None = None,
        appended_ms: int | None = None,
    ) -> None:
        """Store what follows in each partition, one record an offset; from *first_offsets* on where it is given."""
        first = {
            number: (first_offsets or {}).get(number, self._next.get(number, 0))
            for number in values
        }
        records = [
            Record(
                value.record if isinstance(value, AuditEvent) else value,
                partition=number,
                offset=first[number] + place,
                appended_ms=FIRST_MS + first[number] + place
                if appended_ms is None
                else appended_ms,
            )
            for number, each in values.items()
            for place, value in enumerate(each)
        ]
        self.write(records, first)
        self._next |= {number: first[number] + len(each) for number, each in values.items()}

    def write(
        self,
        records: Iterable[Record],
        starts: Mapping[int, int],
        log_starts: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """Store *records*, in order within their partitions, which are read from *starts* on; then commit and sign.

        Kafka has of a partition what lies at or above its offset in *log_starts*; all of it where that is not named.
        """
        records = list(records)
        batch = Batch(Limits(rows=10**9, size_bytes=10**12), time.monotonic)
        batch.add(records)
        checkpointer = Checkpointer(
            self._stored, self._signing, self.health, self.metrics, now=_now
        )
        log = ProofLog(self._stored, self._signing, checkpointer, _now)
        logs = log.begin(log.restored(starts, log_starts))
        writer = LogWriter(BatchWriter(self.clickhouse, self.origin, _now), logs, self._incidents)
        writer.enter([batch], [writer.store(batch)])
        writer.note_commit()
        log.close()
        ends: dict[int, int] = {}
        for record in records:
            ends[record.partition()] = max(ends.get(record.partition(), 0), record.offset() + 1)

        def is_written() -> bool:
            checkpointer.step()  # on a busy machine it may have been closed before all was written
            return self._checkpointed(ends)

        eventually(is_written, "checkpoints of all that was stored")

    def _checkpointed(self, ends: Mapping[int, int]) -> bool:
        rows = self.clickhouse.query(
            "SELECT kafka_partition, max(size) FROM log_checkpoints"
            " WHERE kafka_topic_id = {topic_id:String} GROUP BY kafka_partition",
            {"topic_id": self.origin.topic_id},
        ).rows
        sizes = {int(partition): int(size) for partition, size in rows}
        return all(sizes.get(partition, 0) >= end for partition, end in ends.items())


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
