"""The consumers that read a worker's partitions: one, and more while a partition is held up.

librdkafka opens a batch in the thread of its connection to a broker, and nothing stops it: whatever else
that connection brings waits so long. Other partitions are then read by a consumer of their own.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from trailhouse.broker.bounded_consume import BoundedConsumer
from trailhouse.broker.placeholder import Placeholder, Received, too_large
from trailhouse.consumer.batch.batch import Limits

MAX_CONSUMERS = 3
"""Each but the last may have a whole batch in memory."""
PORTION_RECORDS, PORTION_BYTES = 50, 4_194_304


class PartitionConsumer:
    """One consumer, and the partitions that it reads."""

    def __init__(self, consumer: Consumer, topic: str, numbers: Iterable[int]) -> None:
        self.consumer = consumer
        self.numbers = set(numbers)
        self.placeholder: Future[Placeholder] | None = None
        self._topic = topic

    def pause(self, numbers: Iterable[int]) -> None:
        """Fetch nothing of *numbers*, and let go of what was fetched and is not read."""
        self.consumer.pause([TopicPartition(self._topic, number) for number in numbers])

    def resume(self, numbers: Iterable[int]) -> None:
        """Fetch *numbers* again, from where they were read to or sought."""
        self.consumer.resume([TopicPartition(self._topic, number) for number in numbers])

    def seek(self, number: int, offset: int) -> None:
        """Read the partition *number* from *offset* on."""
        self.consumer.seek(TopicPartition(self._topic, number, offset))


class PartitionConsumers:
    """Used by one thread. The first consumer is the member of the group; the others only read.

    Raises:
        KafkaException: Any method, when a consumer fails.
    """

    def __init__(
        self,
        member: Consumer,
        topic: str,
        options: Mapping[str, Any],
        limits: Limits,
        note: Callable[[KafkaError], None],
    ) -> None:
        self._topic = topic
        self._options = dict(options)
        self._note = note
        self._record_bytes = limits.record_bytes
        self._reading = BoundedConsumer(member, limits.size_bytes)
        self._consumers = [PartitionConsumer(member, topic, ())]

    @property
    def are_several(self) -> bool:
        """Whether more than one consumer reads."""
        return len(self._consumers) > 1

    def take(self, records: int, timeout_seconds: float) -> list[Message]:
        """Return up to *records* messages, and one of each partition that is held up."""
        if len(self._consumers) == 1:
            return self._reading.take(records, timeout_seconds)
        *held_up, last = self._consumers
        messages: list[Message] = []
        for reader in held_up:
            if reader.placeholder is None:
                messages += self._bearable(reader, reader.consumer.consume(1, 0))
        if last not in self._consumers:  # a rebalance, which is told while the member is read
            return messages
        portion = last.consumer.consume(1, 0 if messages else timeout_seconds)
        count, size_bytes = 0, 0
        while portion:
            messages += portion
            count += len(portion)
            size_bytes += sum(len(message.value() or b"") for message in portion)
            if count >= records or size_bytes >= PORTION_BYTES:
                break
            portion = last.consumer.consume(min(PORTION_RECORDS, records - count), 0)
        return messages

    def placeholders(self) -> list[Placeholder]:
        """Return what stands for records over the limit, before anything that follows them."""
        ready: list[Placeholder] = []
        for reader in self._consumers[:-1]:
            if reader.placeholder is not None and reader.placeholder.done():
                ready.append(reader.placeholder.result())
                reader.placeholder = None
        return ready

    def _bearable(self, reader: PartitionConsumer, messages: list[Message]) -> list[Message]:
        """Return *messages*, unless it is one over the limit: to hash hundreds of megabytes takes a while."""
        for message in messages:
            if message.error() is None and len(message.value() or b"") > self._record_bytes:
                reader.placeholder = _in_a_thread(cast("Received", message), self._record_bytes)
                return []
        return messages

    def begin(self, numbers: Iterable[int]) -> None:
        """Have the member read *numbers*, and no other consumer anything."""
        self.drop()
        self._consumers[0].numbers = set(numbers)
        self._consumers[0].placeholder = None

    def part(self, number: int, starts: Mapping[int, int]) -> bool:
        """Leave *number* alone with its consumer, and read the others of that one by a new one, from *starts* on.

        Returns whether that was possible: there is a limit, since each consumer may take memory.
        """
        reader = self._reader_of(number)
        others = reader.numbers - {number}
        if not others or len(self._consumers) >= MAX_CONSUMERS:
            return False
        reader.pause(others)
        consumer = Consumer(self._options | {"error_cb": self._note})
        consumer.assign([TopicPartition(self._topic, other, starts[other]) for other in others])
        reader.numbers = {number}
        self._consumers.append(PartitionConsumer(consumer, self._topic, others))
        return True

    def join(self, starts: Mapping[int, int]) -> None:
        """Have the member read all again, what was not its own from *starts* on."""
        member = self._consumers[0]
        others = {number for reader in self._consumers[1:] for number in reader.numbers}
        self.drop()
        for number in others:
            member.seek(number, starts[number])
        member.resume(others)
        member.numbers |= others

    def drop(self) -> None:
        """Let go of every consumer but the member."""
        for reader in self._consumers[1:]:
            # It may be busy with a batch for seconds, and asks Kafka before it goes.
            threading.Thread(
                target=reader.consumer.close, name="trailhouse-consumer-close", daemon=True
            ).start()
        del self._consumers[1:]

    def pause(self) -> None:
        """Fetch nothing of any partition."""
        for reader in self._consumers:
            reader.pause(reader.numbers)

    def resume(self) -> None:
        """Fetch all again."""
        for reader in self._consumers:
            reader.resume(reader.numbers)

    def seek(self, number: int, offset: int) -> None:
        """Read the partition *number* from *offset* on."""
        self._reader_of(number).seek(number, offset)

    def known_ends(self, numbers: Iterable[int]) -> dict[int, int]:
        """Return where each of *numbers* that is read ended at the last answer that was fetched of it."""
        known: dict[int, int] = {}
        for reader in self._consumers:
            for number in reader.numbers.intersection(numbers):
                part = TopicPartition(self._topic, number)
                # Set before the batches of an answer are opened.
                _, end = reader.consumer.get_watermark_offsets(part, cached=True)
                if end >= 0:
                    known[number] = end
        return known

    def close(self) -> None:
        """Let go of all but the member, which its owner closes."""
        self.drop()
        self._reading.close()

    def _reader_of(self, number: int) -> PartitionConsumer:
        return next(
            (reader for reader in self._consumers if number in reader.numbers), self._consumers[0]
        )


def _in_a_thread(message: Received, limit_bytes: int) -> Future[Placeholder]:
    made: Future[Placeholder] = Future()

    def make() -> None:
        try:
            made.set_result(too_large(message, limit_bytes))
        except BaseException as error:  # noqa: BLE001 - raised where the result is taken
            made.set_exception(error)

    threading.Thread(target=make, name="trailhouse-placeholder", daemon=True).start()
    return made
