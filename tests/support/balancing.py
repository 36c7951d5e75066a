"""A pipeline without a worker process: records into the topic, some stored, offsets committed at will."""

import io
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from trailhouse.broker.admin import KafkaAdmin
from trailhouse.broker.origin import Origin
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.cli.main import main
from trailhouse.consumer import WorkerConfig
from trailhouse.operate.replay.replay import Replay, Replayed
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.ranges import Range
from trailhouse.schemas.record import Source
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS

HEADERS: list[tuple[str, str | bytes | None]] = [("h", b"\xff\x00"), ("n", None)]


class Pipe:
    """One topic and one database, and a group of which nobody is a member."""

    def __init__(self, kafka: KafkaConfig, database: ClickHouseConfig) -> None:
        self.kafka = kafka
        self.database = database
        self.group_id = f"worker-of-{kafka.topic}"

    def send(
        self, records: Sequence[bytes | None], partition: int = 0, key: bytes | None = b"k"
    ) -> None:
        """Put *records* into one partition, in this order."""
        producer = Producer(self.kafka.client_options() | {"enable.idempotence": True})
        for record in records:
            producer.produce(self.kafka.topic, record, key, partition, headers=HEADERS)
        assert producer.flush(DEADLINE_SECONDS) == 0, "expected every record to be acknowledged"

    def store(self, partition: int, first: int, last: int) -> Replayed:
        """Store a range as a worker does."""
        with ClickHouse(self.database) as storage, TopicReader(self.kafka) as reader:
            return Replay(storage, self.origin(), WorkerConfig()).run(
                reader, {partition: Range(first, last)}
            )

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit *offsets* for the group."""
        consumer = Consumer(self.kafka.client_options() | {"group.id": self.group_id})
        try:
            wanted = [TopicPartition(self.kafka.topic, *each) for each in offsets.items()]
            consumer.commit(offsets=wanted, asynchronous=False)
        finally:
            consumer.close()

    def delete_before(self, partition: int, offset: int) -> None:
        """Have Kafka delete a partition's records below *offset*, as its retention would."""
        place = TopicPartition(self.kafka.topic, partition, offset)
        admin = AdminClient(self.kafka.client_options())
        admin.delete_records([place])[place].result(DEADLINE_SECONDS)

    def origin(self) -> Origin:
        """Return the ids of the cluster and the topic."""
        return TopicIdentity(self.kafka).origin(self.kafka)

    def ends(self) -> dict[int, int]:
        """Return where each partition ends."""
        return {
            mark.partition: mark.end_offset for mark in KafkaAdmin(self.kafka).lag(self.group_id)
        }


def run_here(*arguments: str, settings: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run one command in this process, which saves its start; what it printed is bytes."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        code = main(arguments)
        out.flush()
        err.flush()
    return subprocess.CompletedProcess(arguments, code, _bytes_of(out), _bytes_of(err))


def _bytes_of(stream: io.TextIOWrapper) -> bytes:
    stream.seek(0)
    return bytes(stream.buffer.read())


def numbered(
    producer_id: str, numbers: Sequence[int], session_id: str = "s", **fields: object
) -> list[bytes]:
    """Return the records of events that the producer has given these numbers."""
    return [
        AuditEvent(
            type="message_sent",
            session_id=session_id,
            source=Source(
                service="service", host="host", pid=1, producer_id=producer_id, seq=number
            ),
            data={"number": number},
        ).record
        for number in numbers
    ]
