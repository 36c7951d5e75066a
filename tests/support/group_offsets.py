"""Where a topic begins and ends and what a group has committed, asked by a consumer that never joins.

librdkafka's `list_offsets` of the admin client can abort its process when a broker dies meanwhile.
"""

import time

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from trailhouse.broker.admin import PartitionLag
from trailhouse.schemas import KafkaConfig

READ_SECONDS = 60.0


class GroupOffsets:
    """Asks one cluster; used by one thread."""

    def __init__(self, kafka: KafkaConfig, group_id: str, timeout_seconds: float = 3.0) -> None:
        self._kafka = kafka
        self._timeout_seconds = timeout_seconds
        self._consumer = Consumer(
            kafka.client_options()
            | {"group.id": group_id, "log_level": 0, "reconnect.backoff.max.ms": 1_000}
        )

    def close(self) -> None:
        """Free the connection."""
        self._consumer.close()

    def lag(self) -> tuple[PartitionLag, ...]:
        """Return each partition's offsets.

        Raises:
            KafkaException: Kafka does not answer, or there is no such topic.
        """
        topic = self._consumer.list_topics(self._kafka.topic, self._timeout_seconds).topics[
            self._kafka.topic
        ]
        if topic.error is not None:
            raise KafkaException(topic.error)
        parts = [TopicPartition(self._kafka.topic, number) for number in sorted(topic.partitions)]
        committed = self._consumer.committed(parts, self._timeout_seconds)
        return tuple(self._lag_of(part) for part in committed)

    def records(self) -> list[Message]:
        """Return every record that the topic still has.

        Raises:
            AssertionError: They do not all come in time.
        """
        marks = self.lag()
        reader = Consumer(self._kafka.client_options() | {"group.id": "oracle"})
        try:
            reader.assign(
                [
                    TopicPartition(self._kafka.topic, part.partition, part.first_offset)
                    for part in marks
                ]
            )
            count = sum(part.end_offset - part.first_offset for part in marks)
            found: list[Message] = []
            end = time.monotonic() + READ_SECONDS
            while len(found) < count:
                assert time.monotonic() < end, f"expected {count} records, got {len(found)}"
                found += [one for one in reader.consume(1_000, 0.2) if one.error() is None]
            return found
        finally:
            reader.close()

    def _lag_of(self, part: TopicPartition) -> PartitionLag:
        if part.error is not None:
            raise KafkaException(part.error)
        first, end = self._consumer.get_watermark_offsets(part, self._timeout_seconds)
        return PartitionLag(
            partition=part.partition,
            first_offset=first,
            readable_end=end,
            end_offset=end,
            committed_offset=part.offset if part.offset >= 0 else None,
        )
