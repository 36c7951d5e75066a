"""librdkafka's options for the worker's consumer, each with the reason that it is not the default."""

from typing import Any

from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.kafka_errors import Fault

WORKER_CLIENT_ID = "trailhouse-worker"
AT_THE_END = "_PARTITION_EOF"
"""A message that holds no record: its offset is the one that a partition's next record will have."""
UNREADABLE: frozenset[Fault] = frozenset({"unreadable", "record"})
"""What librdkafka says, again and again, of a batch that it cannot open; it never gets past it."""


SESSION_TIMEOUT_SECONDS = 10.0


def consumer_options(
    kafka: KafkaConfig, group_id: str, session_timeout_seconds: float = SESSION_TIMEOUT_SECONDS
) -> dict[str, Any]:
    """Return librdkafka's options: nothing is committed or skipped by itself, and memory is bounded.

    Members are dynamic, with a short session timeout, and not static (KIP-345). Measured on Kafka
    4.3.1: after kill -9 a successor has the partitions within the session timeout (6.0 s with 6 s,
    10.0 s with 10 s), whoever it is. A static member that comes back under its name has them after
    0.1 s, but needs a name that no other worker has, and one that does not come back, or that was
    stopped in order, keeps its partitions from its peers for the whole timeout, which is then made
    long (31.9 s with 30 s). Heartbeats come from librdkafka's own thread: a busy worker misses none.
    """
    return kafka.client_options() | {
        "group.id": group_id,
        "client.id": WORKER_CLIENT_ID,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # An offset that does not exist must never be replaced silently: the worker's offset check decides.
        "auto.offset.reset": "error",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": int(session_timeout_seconds * 1_000),
        "heartbeat.interval.ms": int(min(session_timeout_seconds / 3, 3.0) * 1_000),
        "socket.timeout.ms": 10_000,
        "reconnect.backoff.max.ms": 2_000,
        # A widened topic: new partitions are read from their beginning, soon.
        "topic.metadata.refresh.interval.ms": 10_000,
        # Told apart from silence: after the last record there may be offsets that hold none.
        "enable.partition.eof": True,
        "check.crcs": True,
        "queued.max.messages.kbytes": 8_192,
        "queued.min.messages": 20_000,
        # These count compressed bytes, and text of a model may shrink to a hundredth.
        "fetch.max.bytes": 1_048_576,
        "max.partition.fetch.bytes": 65_536,
        "fetch.queue.backoff.ms": 20,
        # Bounds the empty answer alone: a record ends the wait at once. But one request at a time goes to a
        # broker, so partitions that are assigned anew are first asked for when the open one has ended.
        "fetch.wait.max.ms": 500,
        "log_level": 0,
    }
