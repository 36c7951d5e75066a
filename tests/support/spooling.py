"""Programs that log and end in some way, and what they leave in the spool and in the topic."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from producing import marks_of, read_topic
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.delivery.drain import drain
from trailhouse.producer.spool.status import SpoolsStatus, spools_status
from trailhouse.schemas import AuditEvent, KafkaConfig, decode
from waiting import DEADLINE_SECONDS

NOWHERE = "127.0.0.1:1"
LOGS_THEN_DIES = """
import os, signal
from trailhouse.producer import AuditLogger
audit = AuditLogger()
for n in range(300):
    audit.log("tick", session_id="s", data={"n": n})
os.kill(os.getpid(), signal.SIGKILL)
"""


def producer_config(kafka: KafkaConfig, folder: Path, **fields: object) -> ProducerConfig:
    """Return settings of a producer that spools in *folder*."""
    return ProducerConfig(kafka=kafka, spool_dir=str(folder), **fields)  # type: ignore[arg-type]


def environment(kafka: KafkaConfig, folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a program that logs to *kafka* and spools in *folder*."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
    ours = {
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TRAILHOUSE_KAFKA_TOPIC": kafka.topic,
        "TRAILHOUSE_PRODUCER_SPOOL_DIR": str(folder),
    }
    return own | ours | dict(settings)


def run_program(
    program: str, kafka: KafkaConfig, folder: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python program, a file's path or text, to its end, whatever that is."""
    return subprocess.run(
        [sys.executable, program] if program.endswith(".py") else [sys.executable, "-c", program],
        env=environment(kafka, folder, settings),
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def status_of(folder: Path) -> SpoolsStatus:
    """Return what lies in the spools of *folder*."""
    return spools_status(folder)


def drained(config: ProducerConfig, *, any_destination: bool = True) -> int:
    """Send every orphaned spool; return how many events were acknowledged."""
    return drain(
        config, timeout_seconds=DEADLINE_SECONDS, any_destination=any_destination
    ).acknowledged_total


def delivered(kafka: KafkaConfig) -> list[AuditEvent]:
    """Return the topic's events in order, each once: a resend is the same record again."""
    seen: dict[bytes, None] = {}
    for message in read_topic(kafka):
        seen.setdefault(message.value() or b"")
    return [decode(record) for record in seen]


def count_in_topic(kafka: KafkaConfig) -> int:
    """Return how many records the topic holds, resends included."""
    consumer = Consumer(kafka.client_options() | {"group.id": "counter"})
    try:
        return sum(
            marks_of(consumer, TopicPartition(kafka.topic, number))[1]
            for number in range(kafka.partitions)
        )
    finally:
        consumer.close()


def numbers(kafka: KafkaConfig) -> list[int]:
    """Return the numbers that a test's events carry, in the order of the topic."""
    return [event.data["n"] for event in delivered(kafka)]


def spool_without_a_broker(folder: Path, count: int, topic: str, **fields: object) -> None:
    """Leave *count* events in an orphaned spool."""
    away = KafkaConfig(bootstrap_servers=NOWHERE, topic=topic)
    audit = AuditLogger(producer_config(away, folder, **fields))
    for n in range(count):
        audit.log("tick", session_id="s", data={"n": n})
    audit.close(0.0)


def with_partitions(kafka: KafkaConfig, partitions: int) -> KafkaConfig:
    """Return the settings of the same topic, with another number of partitions."""
    return KafkaConfig(
        bootstrap_servers=kafka.bootstrap_servers, topic=kafka.topic, partitions=partitions
    )
