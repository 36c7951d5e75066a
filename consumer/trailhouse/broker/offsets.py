"""Where a topic begins and ends and what a group has committed, asked by a consumer that never joins.

Not by the admin client: its `list_offsets` was seen to abort the process, by an assertion within
librdkafka, when a broker was killed meanwhile.
"""

from collections.abc import Callable, Sequence

import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from trailhouse.schemas.kafka_config import KafkaConfig


class PartitionLag(msgspec.Struct, frozen=True, kw_only=True):
    """One partition: where it begins and ends, and the offset the group reads next, if any.

    From `readable_end` on (Kafka's last stable offset) nobody who reads committed records gets any,
    since a transaction is open there; without one it is `end_offset`. `holder` is the worker that reads
    it, or that died of it: whoever stops in order leaves it empty.
    """

    partition: int
    first_offset: int
    readable_end: int
    end_offset: int
    committed_offset: int | None
    holder: str = ""

    @property
    def next_offset(self) -> int:
        """The offset that the group reads next: where the log begins, when it has committed nothing."""
        return max(self.committed_offset or 0, self.first_offset)

    @property
    def lag_records(self) -> int:
        """Offsets that wait for the group, those of open transactions too; all without a commit."""
        return max(0, self.end_offset - self.next_offset)


def group_offsets(
    kafka: KafkaConfig,
    group_id: str,
    *,
    timeout_seconds: float,
    on_error: Callable[[KafkaError], None],
) -> tuple[PartitionLag, ...]:
    """Return the offsets of every partition; each of the questions waits *timeout_seconds* at most.

    What the group has committed is asked first, so that no later mark is below it.

    Raises:
        KafkaException: Kafka does not answer, refuses, or has no such topic. *on_error* has been
            told of refused connections before.
    """
    options = kafka.client_options() | {"group.id": group_id, "error_cb": on_error, "log_level": 0}
    stable = Consumer(options | {"isolation.level": "read_committed"})
    every = Consumer(options | {"isolation.level": "read_uncommitted"})
    try:
        return _asked(stable, every, kafka.topic, timeout_seconds)
    except KafkaException:
        stable.poll(0)  # serves error_cb
        every.poll(0)
        raise
    finally:
        stable.close()
        every.close()


def _asked(
    stable: Consumer, every: Consumer, name: str, timeout_seconds: float
) -> tuple[PartitionLag, ...]:
    topic = stable.list_topics(name, timeout_seconds).topics[name]
    if topic.error is not None:
        raise KafkaException(topic.error)
    numbers = sorted(topic.partitions)
    if not numbers:
        return ()
    committed = stable.committed(
        [TopicPartition(name, number) for number in numbers], timeout_seconds
    )
    offsets = [
        _offsets(committed),
        *(
            _offsets(
                consumer.offsets_for_times(
                    [TopicPartition(name, number, mark) for number in numbers], timeout_seconds
                )
            )
            for consumer, mark in (
                (stable, OFFSET_BEGINNING),
                (stable, OFFSET_END),
                (every, OFFSET_END),
            )
        ),
    ]
    holders = {part.partition: part.metadata or "" for part in committed}
    return tuple(
        PartitionLag(
            partition=number,
            first_offset=first,
            readable_end=readable_end,
            end_offset=end,
            committed_offset=next_one if next_one >= 0 else None,
            holder=holders.get(number, ""),
        )
        for number, next_one, first, readable_end, end in zip(numbers, *offsets, strict=True)
    )


def _offsets(parts: Sequence[TopicPartition]) -> list[int]:
    for part in parts:
        if part.error is not None:
            raise KafkaException(part.error)
    return [part.offset for part in sorted(parts, key=lambda part: part.partition)]
