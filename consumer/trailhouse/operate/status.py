"""The state of the pipeline as a value: what Kafka holds, what is stored, which parts are away."""

import datetime as dt
from collections.abc import Callable
from importlib import metadata
from typing import Any

import msgspec

from trailhouse.broker.admin import KafkaAdmin, PartitionLag
from trailhouse.broker.group_members import GroupMember
from trailhouse.consumer.batch.incidents import incident_counts
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.group_warnings import topic_settings, unknown_members
from trailhouse.operate.proof_keys.proof_state import ProofState, proof_state
from trailhouse.proof.config import ProofConfig
from trailhouse.query import AuditReader
from trailhouse.schemas.errors import BrokerRejectedError, TrailhouseError
from trailhouse.schemas.json_form import rfc3339, utc
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.migrations import migrations
from trailhouse.store import ClickHouse
from trailhouse.store.config import ClickHouseConfig

TIMEOUT_SECONDS = 5.0


class KafkaState(msgspec.Struct, frozen=True, kw_only=True):
    """The topic, how far the workers' group is behind its end, and what is wrong around it.

    `open_transactions` names the offset from which on a partition cannot be read; `members` is None
    where Kafka does not tell who is in the group.
    """

    cluster_id: str
    brokers: int
    topic: str
    group_id: str
    lag_records: int
    lag_by_partition: dict[int, int]
    open_transactions: dict[int, int]
    members: tuple[GroupMember, ...] | None
    warnings: tuple[str, ...]


class StoreState(msgspec.Struct, frozen=True, kw_only=True):
    """What ClickHouse holds; times are RFC 3339, None while nothing is stored."""

    version: str
    migration: int
    stored_events: int
    quarantined_records: int
    incidents: dict[str, int]
    last_occurred_at: str | None
    last_appended_at: str | None


class PipelineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Kafka, ClickHouse, how far it is proven, and the version that asked. What is away is None, and in `problems`."""

    trailhouse: str
    kafka: KafkaState | None
    clickhouse: StoreState | None
    problems: dict[str, str]
    proof: ProofState | None = None


def pipeline_status(
    kafka: KafkaConfig,
    clickhouse: ClickHouseConfig,
    worker: WorkerConfig,
    proof: ProofConfig | None = None,
) -> PipelineStatus:
    """Ask each part; one that is away does not hide the others. Of proof nothing is asked without its settings."""
    problems: dict[str, str] = {}

    def ask(name: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except TrailhouseError as error:
            problems[name] = str(error)
            return None

    kafka_found = ask("kafka", lambda: kafka_state(kafka, worker.group_id))
    stored = ask("clickhouse", lambda: store_state(clickhouse))
    proven = None
    if proof is not None and stored is not None:
        proven = ask("proof", lambda: proof_state(clickhouse, proof))
    return PipelineStatus(
        trailhouse=metadata.version("trailhouse"),
        kafka=kafka_found,
        clickhouse=stored,
        proof=proven,
        problems=problems,
    )


def kafka_state(config: KafkaConfig, group_id: str) -> KafkaState:
    """Ask Kafka.

    Raises:
        BrokerError: Kafka does not answer (retriable), refuses, or has no such topic (permanent).
    """
    admin = KafkaAdmin(config, timeout_seconds=TIMEOUT_SECONDS)
    cluster_id, brokers = admin.cluster()
    lag = admin.lag(group_id)
    topic = admin.topic()
    try:
        members = admin.members(group_id)
    except BrokerRejectedError:
        members = None
    unknown = [member for member in members or () if not member.is_worker]
    warnings = (
        unknown_members(group_id, unknown),
        None if topic is None else topic_settings(config, topic.options),
    )
    return KafkaState(
        cluster_id=cluster_id,
        brokers=brokers,
        topic=config.topic,
        group_id=group_id,
        lag_records=total_lag_records(lag),
        lag_by_partition={part.partition: part.lag_records for part in lag},
        open_transactions={
            part.partition: part.readable_end for part in lag if part.readable_end < part.end_offset
        },
        members=members,
        warnings=tuple(warning for warning in warnings if warning),
    )


def total_lag_records(partitions: tuple[PartitionLag, ...]) -> int:
    """Return the records of all partitions that wait for the group."""
    return sum(part.lag_records for part in partitions)


def store_state(config: ClickHouseConfig) -> StoreState:
    """Ask ClickHouse.

    Raises:
        StorageError: ClickHouse does not answer (retriable), or its tables are missing, older or
            newer than this version needs (permanent).
    """
    with ClickHouse(config) as clickhouse:
        version = clickhouse.version()
        with AuditReader(config=config) as reader:
            overview = reader.overview()  # which refuses a database of another migration
        incidents = incident_counts(clickhouse)
    return StoreState(
        version=version,
        migration=migrations()[-1].number,
        stored_events=overview.stored,
        quarantined_records=overview.quarantined or 0,
        incidents=incidents,
        last_occurred_at=_text(overview.last_occurred_at),
        last_appended_at=_text(overview.last_appended_at),
    )


def _text(moment: dt.datetime | None) -> str | None:
    return None if moment is None else rfc3339(utc(moment, "time"))
