"""What Kafka's administrator, and whoever may write to a topic, can do to it; all of it on a real broker."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.topic import key_of, topic_options
from waiting import DEADLINE_SECONDS, eventually

BROKER_ID = "1"


class Stored(NamedTuple):
    """A record as it lies in Kafka."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class TopicAttacker:
    """Acts on one topic; each call has been answered by the broker when it returns."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self.kafka = kafka
        self._admin = AdminClient(kafka.client_options())

    def create(self, **options: str) -> None:
        """Make the topic as `trailhouse init` does, but for *options*."""
        given = topic_options(self.kafka) | {
            name.replace("_", "."): text for name, text in options.items()
        }
        new = NewTopic(
            self.kafka.topic, self.kafka.partitions, self.kafka.replication, config=given
        )

        def is_made() -> bool:
            try:
                self._admin.create_topics([new])[self.kafka.topic].result(DEADLINE_SECONDS)
            except KafkaException as error:  # the one that was deleted just now is not gone yet
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
                return False
            return True

        eventually(is_made, "a new topic")

    def recreate(self) -> None:
        """Delete the topic with all records, and make another one of its name."""
        self._admin.delete_topics([self.kafka.topic])[self.kafka.topic].result(DEADLINE_SECONDS)
        self.create()

    def configure(self, **options: str) -> None:
        """Change options of the topic, such as cleanup_policy="compact"."""
        self._alter(ResourceType.TOPIC, self.kafka.topic, options)

    def configure_broker(self, **options: str) -> None:
        """Change options of the broker that need no restart."""
        self._alter(ResourceType.BROKER, BROKER_ID, options)

    def _alter(self, kind: ResourceType, name: str, options: Mapping[str, str]) -> None:
        changes = [
            ConfigEntry(option.replace("_", "."), text, incremental_operation=AlterConfigOpType.SET)
            for option, text in options.items()
        ]
        resource = ConfigResource(kind, name, incremental_configs=changes)
        self._admin.incremental_alter_configs([resource])[resource].result(DEADLINE_SECONDS)

    def widen(self, partitions: int) -> None:
        """Give the topic more partitions."""
        wider = NewPartitions(self.kafka.topic, partitions)
        self._admin.create_partitions([wider])[self.kafka.topic].result(DEADLINE_SECONDS)

    def delete_below(self, ends: Mapping[int, int]) -> None:
        """Delete the records below an offset of each partition, as DeleteRecords and a retention do."""
        places = [TopicPartition(self.kafka.topic, number, end) for number, end in ends.items()]
        for future in self._admin.delete_records(places).values():
            future.result(DEADLINE_SECONDS)

    def delete_all(self) -> None:
        """Delete every record that is there now."""
        self.delete_below(self.ends())

    def set_offsets(self, group: str, offsets: Mapping[int, int]) -> None:
        """Say that a group, of which nobody runs, has read up to *offsets*."""
        places = [TopicPartition(self.kafka.topic, number, at) for number, at in offsets.items()]
        change = ConsumerGroupTopicPartitions(group, places)
        for future in self._admin.alter_consumer_group_offsets([change]).values():
            future.result(DEADLINE_SECONDS)

    def forget_group(self, group: str) -> None:
        """Delete a group of which nobody runs, with its offsets."""
        for future in self._admin.delete_consumer_groups([group]).values():
            future.result(DEADLINE_SECONDS)

    def ends(self) -> dict[int, int]:
        """Return the offset after the last record of each partition."""
        return self._marks()[1]

    def _marks(self) -> tuple[dict[int, int], dict[int, int]]:
        consumer = Consumer(self.kafka.client_options() | {"group.id": "looks-at-marks"})
        try:
            topic = consumer.list_topics(self.kafka.topic, DEADLINE_SECONDS)
            marks = {
                number: consumer.get_watermark_offsets(
                    TopicPartition(self.kafka.topic, number), DEADLINE_SECONDS
                )
                for number in sorted(topic.topics[self.kafka.topic].partitions)
            }
        finally:
            consumer.close()
        return {n: begin for n, (begin, _) in marks.items()}, {
            n: end for n, (_, end) in marks.items()
        }

    def read(self) -> list[Stored]:
        """Return every record that the topic has, by partition and offset."""
        consumer = Consumer(
            self.kafka.client_options()
            | {
                "group.id": "reads-all",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_uncommitted",
            }
        )
        found: list[Stored] = []
        try:
            open_ones = set(self._marks()[1])
            consumer.assign(
                [TopicPartition(self.kafka.topic, number, OFFSET_BEGINNING) for number in open_ones]
            )
            deadline = time.monotonic() + DEADLINE_SECONDS
            while open_ones:
                assert time.monotonic() < deadline, "expected every partition read to its end"
                # `consume` waits for as many as it is asked for, or to the end of its time.
                for message in consumer.consume(1_000, 0.05):
                    partition, offset, error = (
                        message.partition(),
                        message.offset(),
                        message.error(),
                    )
                    assert partition is not None
                    if error is not None:
                        assert error.code() == KafkaError._PARTITION_EOF, error
                        open_ones.discard(partition)
                        continue
                    assert offset is not None
                    found.append(Stored(partition, offset, message.key(), message.value()))
        finally:
            consumer.close()
        return sorted(found)

    def write(
        self,
        records: Iterable[AuditEvent | bytes | None],
        *,
        key: bytes | None = None,
        partition: int = -1,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int = 0,
    ) -> None:
        """Write *records* as whoever has a producer's credential can: by their keys, or into *partition*."""
        producer = self._producer()
        for record in records:
            self._write(producer, record, key, partition, headers, timestamp_ms)
        assert producer.flush(DEADLINE_SECONDS) == 0, "expected every record acknowledged"

    def write_again(
        self, stored: Iterable[Stored], edit: Callable[[Stored], Stored | None]
    ) -> None:
        """Write what was *stored* again, each as *edit* makes it; None leaves it out."""
        producer = self._producer()
        for each in stored:
            if (made := edit(each)) is not None:
                producer.produce(self.kafka.topic, made.value, made.key, made.partition)
        assert producer.flush(DEADLINE_SECONDS) == 0, "expected every record acknowledged"

    def transaction(self, records: Iterable[AuditEvent], *, ends: str) -> Producer:
        """Write *records* in a transaction, which is committed, aborted, or left open, as *ends* says."""
        producer = self._producer({"transactional.id": f"{self.kafka.topic}-{ends}"})
        producer.init_transactions(DEADLINE_SECONDS)
        producer.begin_transaction()
        for record in records:
            self._write(producer, record, None, -1, (), 0)
        producer.flush(DEADLINE_SECONDS)
        if ends == "commit":
            producer.commit_transaction(DEADLINE_SECONDS)
        elif ends == "abort":
            producer.abort_transaction(DEADLINE_SECONDS)
        return producer

    def _producer(self, options: Mapping[str, str] | None = None) -> Producer:
        common: dict[str, str | int | float | bool] = {
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 0,
        }
        return Producer(self.kafka.client_options() | common | dict(options or {}))

    def _write(
        self,
        producer: Producer,
        record: AuditEvent | bytes | None,
        key: bytes | None,
        partition: int,
        headers: Sequence[tuple[str, bytes]],
        timestamp_ms: int,
    ) -> None:
        value = record.record if isinstance(record, AuditEvent) else record
        if isinstance(record, AuditEvent) and key is None:
            key = key_of(record)
        producer.produce(
            self.kafka.topic,
            value,
            key,
            partition,
            timestamp=timestamp_ms,
            headers=list(headers),
        )
