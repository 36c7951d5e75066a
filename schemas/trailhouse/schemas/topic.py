"""The topic: how it is named, keyed and made."""

from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.kafka_config import KafkaConfig

MAX_RECORD_BYTES = 1_048_588
"""`max.message.bytes` of the topic: Kafka's default, above the producer's 900 kB limit and its overhead."""


def key_of(event: AuditEvent) -> bytes:
    """Return the Kafka key: the session, so that one session's events keep their order."""
    return event.session_id.encode()


def topic_options(config: KafkaConfig) -> dict[str, str]:
    """Return the options the topic is made with.

    `LogAppendTime` makes the broker's clock decide the append order (KIP-32); `delete` keeps every
    event until the retention ends, since compaction would keep only a session's last.
    """
    return {
        "cleanup.policy": "delete",
        "compression.type": "producer",
        "max.message.bytes": str(MAX_RECORD_BYTES),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(2 if config.replication >= 3 else 1),
        "retention.ms": str(config.retention_hours * 3_600_000),
        "unclean.leader.election.enable": "false",
    }
