"""Where a topic begins and ends and what a group has committed, asked by a consumer that never joins.

Not by the admin client: its `list_offsets` was seen to abort the process, by an assertion within
librdkafka, when a broker was killed meanwhile.
"""

from collections.abc import Callable

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from trailhouse.schemas.config import KafkaConfig


class PartitionLag(msgspec.Struct, frozen=True, kw_only=True):
    """One partition: where it begins and ends, and the offset the group reads next, if any."""

    partition: int
    first_offset: int
    end_offset: int
    committed_offset: int | None

    @property
    def lag_records(self) -> int:
        """Records that wait for the group; all that are kept when it has committed nothing."""
        begin = (
            self.first_offset
            if self.committed_offset is None
            else max(self.committed_offset, self.first_offset)
        )
        return max(0, self.end_offset - begin)


def group_offsets(
    kafka: KafkaConfig,
    group_id: str,
    *,
    timeout_seconds: float,
    on_error: Callable[[KafkaError], None],
) -> tuple[PartitionLag, ...]:
    """Return the offsets of every partition; each of the questions waits *timeout_seconds* at most.

    Raises:
        KafkaException: Kafka does not answer, refuses, or has no such topic. *on_error* has been
            told of refused connections before.
    """
    consumer = Consumer(
        kafka.client_options() | {"group.id": group_id, "error_cb": on_error, "log_level": 0}
    )
    try:
        return _asked(consumer, kafka.topic, timeout_seconds)
    except KafkaException:
        consumer.poll(0)  # serves error_cb
        raise
    finally:
        consumer.close()


def _asked(consumer: Consumer, name: str, timeout_seconds: float) -> tuple[PartitionLag, ...]:
    topic = consumer.list_topics(name, timeout_seconds).topics[name]
    if topic.error is not None:
        raise KafkaException(topic.error)
    wanted = [TopicPartition(name, number) for number in sorted(topic.partitions)]
    committed = consumer.committed(wanted, timeout_seconds) if wanted else []
    return tuple(_lag_of(consumer, part, timeout_seconds) for part in committed)


def _lag_of(consumer: Consumer, part: TopicPartition, timeout_seconds: float) -> PartitionLag:
    if part.error is not None:
        raise KafkaException(part.error)
    first, end = consumer.get_watermark_offsets(part, timeout_seconds)
    return PartitionLag(
        partition=part.partition,
        first_offset=first,
        end_offset=end,
        committed_offset=part.offset if part.offset >= 0 else None,
    )
