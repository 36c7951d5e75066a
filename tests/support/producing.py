"""What the tests of the producer share: receipts that must be there, and the records of a topic."""

import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from trailhouse.producer import Receipt
from trailhouse.schemas import AuditEvent, KafkaConfig, decode
from waiting import DEADLINE_SECONDS

_NO_LEADER_YET = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)


def given(receipt: Receipt | None) -> Receipt:
    """Return *receipt*, which an enabled logger gives."""
    assert receipt is not None, "expected a receipt, got None: the logger is disabled"
    return receipt


def read_topic(kafka: KafkaConfig) -> list[Message]:
    """Return every record of the topic, by partition and offset."""
    consumer = Consumer(
        kafka.client_options() | {"group.id": "reader", "enable.auto.commit": False}
    )
    try:
        places = [TopicPartition(kafka.topic, number, 0) for number in range(kafka.partitions)]
        marks = [marks_of(consumer, place) for place in places]
        count = sum(end - begin for begin, end in marks)
        consumer.assign(places)
        messages: list[Message] = []
        end = time.monotonic() + DEADLINE_SECONDS
        while len(messages) < count:
            assert time.monotonic() < end, f"expected {count} records, got {len(messages)}"
            messages += [
                message for message in consumer.consume(1_000, 0.2) if message.error() is None
            ]
        return sorted(messages, key=lambda message: (message.partition(), message.offset()))
    finally:
        consumer.close()


def marks_of(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """Return where a partition begins and ends; one that was made just now may have no leader yet."""
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return consumer.get_watermark_offsets(place, DEADLINE_SECONDS)
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > end:
                raise
            threading.Event().wait(0.1)


def events_of(kafka: KafkaConfig, count: int) -> list[AuditEvent]:
    """Return the events of the topic, which are exactly *count*."""
    messages = read_topic(kafka)
    assert len(messages) == count, f"expected {count} records in the topic, got {len(messages)}"
    return [decode(message.value() or b"") for message in messages]
