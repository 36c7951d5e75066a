"""librdkafka's options for the worker's consumer, each with the reason that it is not the default."""

from typing import Any

from trailhouse.schemas.config import KafkaConfig, WorkerConfig


def consumer_options(kafka: KafkaConfig, worker: WorkerConfig) -> dict[str, Any]:
    """Return librdkafka's options: nothing is committed or skipped by itself, and memory is bounded."""
    return kafka.client_options() | {
        "group.id": worker.group_id,
        "client.id": "trailhouse-worker",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # An offset that does not exist must never be replaced silently; see KafkaSource._assigned.
        "auto.offset.reset": "error",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": int(worker.session_timeout_seconds * 1_000),
        "heartbeat.interval.ms": int(min(worker.session_timeout_seconds / 3, 3.0) * 1_000),
        "socket.timeout.ms": 10_000,
        "reconnect.backoff.max.ms": 2_000,
        # A widened topic: new partitions are read from their beginning, soon.
        "topic.metadata.refresh.interval.ms": 10_000,
        "check.crcs": True,
        "queued.max.messages.kbytes": 8_192,
        "queued.min.messages": 20_000,
        "fetch.max.bytes": 4_194_304,
        "fetch.queue.backoff.ms": 20,
        "fetch.wait.max.ms": 100,
        "log_level": 0,
    }
