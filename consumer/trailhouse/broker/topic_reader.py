"""Reads ranges of the topic by offset: outside any consumer group, and without a commit."""

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from trailhouse.broker.batch_headers import batch_at
from trailhouse.broker.bounded_consume import BoundedConsumer
from trailhouse.broker.options import AT_THE_END, UNREADABLE, consumer_options
from trailhouse.broker.placeholder import Placeholder, Received, unreadable, whole_last
from trailhouse.schemas.errors import (
    BrokerError,
    BrokerUnavailableError,
    UnreadableBatchError,
)
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.kafka_errors import broker_error, fault_of, settings_error
from trailhouse.schemas.ranges import Range

READ_RECORDS = 2_000
READ_SECONDS = 0.2
ASK_SECONDS = 10.0
SILENCE_SECONDS = 30.0
NEVER_JOINED = "trailhouse-by-offset"
"""librdkafka wants the name of a group; without `subscribe` and `commit` Kafka never hears of it."""


class TopicReader:
    """Reads what it is asked for, of one topic. Used by one thread; a context manager that closes.

    Raises:
        ConfigError: librdkafka does not take the settings. Permanent.
    """

    def __init__(self, kafka: KafkaConfig, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._topic = kafka.topic
        self._where = kafka.bootstrap_servers
        self._silence_seconds = silence_seconds
        options = consumer_options(kafka, NEVER_JOINED) | {"client.id": NEVER_JOINED}
        self._kafka = kafka
        self._next_offsets: dict[int, int] = {}
        try:
            self._consumer = Consumer(options)
        except KafkaException as error:
            raise settings_error(error.args[0]) from error
        self._reading = BoundedConsumer(self._consumer, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._consumer.close()
        self._reading.close()

    def offsets_at(self, moment_ms: int, ends: Mapping[int, int]) -> dict[int, int]:
        """Return for each partition in *ends* the offset of its first record appended at or after
        *moment_ms*, milliseconds since 1970 UTC; its value in *ends* when there is none.

        Raises:
            BrokerUnavailableError: Kafka does not answer. Retriable.
            BrokerRejectedError: Kafka refuses, or has no such topic. Permanent until mended.
        """
        # Negative times have meanings of their own to Kafka, such as the end of the log.
        wanted = [TopicPartition(self._topic, number, max(moment_ms, 0)) for number in ends]
        try:
            found = self._consumer.offsets_for_times(wanted, ASK_SECONDS)
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error
        for part in found:
            if part.error is not None:
                raise self._mapped(part.error)
        return {
            part.partition: part.offset if part.offset >= 0 else ends[part.partition]
            for part in found
        }

    def read(self, wanted: Mapping[int, Range]) -> Iterator[list[Received]]:
        """Yield the records in one range of each partition, some at a time, in offset order.

        A `Placeholder` comes alone. It ends when each range is through or its partition ends. Offsets without a record
        (transaction markers) are passed over. A batch that cannot be read is one `Placeholder`.

        Raises:
            BrokerUnavailableError: Kafka delivers nothing for a while. Retriable.
            BrokerRejectedError: Topic or permission is missing. Permanent until mended.
            OffsetsExpiredError: Kafka deleted some of the records meanwhile. Retriable: ask again.
            UnreadableBatchError: A batch is damaged so that its end is not to be seen; it was not passed
                over. Retriable once another batch follows.
        """
        left = dict(wanted)
        if not left:
            return
        self._assign(
            [TopicPartition(self._topic, number, part.first) for number, part in left.items()]
        )
        self._next_offsets = {number: part.first for number, part in left.items()}
        heard_at = time.monotonic()
        while left:
            messages = self._consume()
            if messages:
                heard_at = time.monotonic()
            # librdkafka says nothing while brokers are away: it goes on trying.
            elif time.monotonic() - heard_at > self._silence_seconds:
                raise self._away(f"no record within {self._silence_seconds:g} s")
            yield from _runs(self._taken(messages, left))
        self._consumer.unassign()

    def _assign(self, places: list[TopicPartition]) -> None:
        try:
            self._consumer.assign(places)
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error

    def _consume(self) -> list[Message]:
        try:
            return self._reading.take(READ_RECORDS, READ_SECONDS)
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error

    def _taken(self, messages: list[Message], left: dict[int, Range]) -> list[Received]:
        """Return those of *messages* that are wanted; ranges that are through leave *left*."""
        taken: list[Received] = []
        failed: set[int] = set()
        for message in messages:
            number = message.partition()
            if number is None or number not in left or number in failed:
                continue  # what follows a batch that cannot be opened is read again, after it
            if (problem := message.error()) is not None:
                if fault_of(problem) in UNREADABLE:
                    failed.add(number)
                    self._take(self._unreadable(number, problem.name()), left, taken)
                elif problem.name() == AT_THE_END:
                    self._done(number, left)
                else:
                    raise self._mapped(problem, number)
                continue
            record = cast("Received", message)  # without an error, so its place is there
            if record.offset() >= self._next_offsets[number]:  # else it came before a seek
                self._take(record, left, taken)
        return taken

    def _take(self, record: Received, left: dict[int, Range], taken: list[Received]) -> None:
        number, last = record.partition(), whole_last(record)
        self._next_offsets[number] = last + 1
        # A fetch does not stop at the end of a range.
        if record.offset() <= left[number].last:
            taken.append(record)
        if last >= left[number].last:
            self._done(number, left)

    def _unreadable(self, number: int, why: str) -> Placeholder:
        """Return what stands for the batch that cannot be opened, and read on after it."""
        offset = self._next_offsets[number]
        batch = batch_at(self._kafka, number, offset, timeout_seconds=ASK_SECONDS)
        if batch is None or batch.last_offset is None:
            raise UnreadableBatchError(
                f"partition {number} of {self._topic}: the batch at offset {offset} is damaged ({why}), and its"
                " end is not to be seen before another follows; it was not passed over"
            )
        placeholder = unreadable(number, offset, batch, why)
        try:
            self._consumer.seek(TopicPartition(self._topic, number, placeholder.last_offset + 1))
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error
        return placeholder

    def _done(self, number: int, left: dict[int, Range]) -> None:
        del left[number]
        # Else it would go on fetching what nobody takes, at the cost of the other partitions.
        self._consumer.incremental_unassign([TopicPartition(self._topic, number)])

    def _away(self, reason: str) -> BrokerUnavailableError:
        return BrokerUnavailableError(
            f"Kafka at {self._where} does not answer ({reason}): start it, or set TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS"
        )

    def _mapped(self, error: KafkaError, number: int | None = None) -> BrokerError:
        what = "" if number is None else f"partition {number}"
        return broker_error(error, self._where, self._topic, what)


def _runs(taken: list[Received]) -> Iterator[list[Received]]:
    """Yield *taken* in order, a `Placeholder` alone."""
    begin = 0
    for place, record in enumerate(taken):
        if isinstance(record, Placeholder):
            if begin < place:
                yield taken[begin:place]
            yield taken[place : place + 1]
            begin = place + 1
    if begin < len(taken):
        yield taken[begin:]
