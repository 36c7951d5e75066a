"""The worker's membership in its group, as Kafka sees it: read, commit, hold, and read apart what is held up."""

import contextlib
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, cast

import msgspec
from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from trailhouse.broker.options import AT_THE_END, UNREADABLE, consumer_options
from trailhouse.broker.placeholder import Received
from trailhouse.consumer.batch.batch import Limits
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.partition_consumers import PartitionConsumers
from trailhouse.schemas.errors import (
    BrokerError,
    BrokerUnavailableError,
)
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.kafka_errors import (
    REFUSALS,
    broker_error,
    fault_of,
    one_line,
    settings_error,
)
from trailhouse.schemas.ranges import Range

SUSPECT = "read by a worker that died"
HOLDER = f"trailhouse-worker {uuid.uuid4().hex}"
"""Stands beside each offset that this process commits while it reads the partition."""
CommitOutcome = Literal["done", "fenced", "later"]


class Failure(msgspec.Struct):
    """What librdkafka says of a batch that it cannot open, and how often it has tried."""

    name: str
    times: int = 0
    suspect: Range | None = None


class Listener(msgspec.Struct, frozen=True):
    """What the owner of a source is told, in the thread that reads it and during `read` or `close`.

    `on_assigned` gets the partitions that are this worker's from now on; nothing of them is read before
    the owner calls `begin`. `on_revoked` is called while
    they still are: a commit within it counts. `on_lost` is called when they already belong to another.
    """

    on_assigned: Callable[[list[int]], None]
    on_revoked: Callable[[], None]
    on_lost: Callable[[], None]


class KafkaSource:
    """One membership in the consumer group. Used by one thread.

    The assignment is eager: a rebalance takes every partition, so that after one nothing is in hand
    and reading goes on where its owner says, whatever a batch was made of.

    Raises:
        ConfigError: librdkafka does not take the settings. Permanent.
    """

    def __init__(self, kafka: KafkaConfig, worker: WorkerConfig, listener: Listener) -> None:
        self._topic = kafka.topic
        self._where = kafka.bootstrap_servers
        self._listener = listener
        self._positions: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._marked: set[int] = set()
        self._floors: Mapping[int, int] = {}
        self._is_held = False
        self.delivered_records = 0
        """How many records `read` has returned."""
        self.failing: dict[int, Failure] = {}
        """The partitions that cannot be read on, until `go_on`; the others are."""
        self.is_astray = False
        """Whether Kafka has no record at a partition's offset; set by `read`, forgotten by `begin`."""
        self.complaint: str | None = None
        """librdkafka's last complaint about a connection, until a probe has had an answer."""
        try:
            options = consumer_options(kafka, worker.group_id, worker.session_timeout_seconds)
            self._consumer = Consumer(options | {"error_cb": self._note})
            self._consumer.subscribe(
                [kafka.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
        except KafkaException as error:
            raise settings_error(error.args[0]) from error
        self._consumers = PartitionConsumers(
            self._consumer, kafka.topic, options, Limits.of(worker), self._note
        )

    def read(self, records: int, timeout_seconds: float) -> list[Received]:
        """Return up to *records* records, in offset order within a partition.

        It waits for the first alone and adds what lies ready, so that what it returns is never more
        than librdkafka's queue holds (`queued.max.messages.kbytes`), however large the records are.
        Of a partition in `failing` it returns nothing.

        Raises:
            BrokerRejectedError: Topic or permission is missing. Permanent until mended.
            BrokerUnavailableError: Something else stopped the reading. Retriable with a new source.
        """
        placeholders = self._consumers.placeholders() if self._consumers.are_several else []
        try:
            messages = self._consumers.take(records, timeout_seconds)
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error
        if not self._positions:  # what came before a rebalance is read again
            messages = [message for message in messages if message.error()]
            placeholders = []
        if self.failing or any(map(Message.error, messages)):  # an error is true, none is None
            messages = self._readable(messages)
        if self.is_astray:  # nothing of this is committed; its owner calls `withhold`, then `begin`
            return []
        # Without an error, so that partition and offset are there.
        received = [*placeholders, *cast("list[Received]", messages)] if placeholders else messages
        self.delivered_records += len(received)
        return cast("list[Received]", received)

    def _readable(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages before each partition's first failure, and note what the others say."""
        readable: list[Message] = []
        for message in messages:
            problem, number, offset = message.error(), message.partition(), message.offset()
            if problem is not None and fault_of(problem) == "expired":
                self.is_astray = True
            elif problem is not None and fault_of(problem) in UNREADABLE and number is not None:
                self.failing.setdefault(number, Failure(problem.name())).times += 1
                self._ends.pop(number, None)
            elif number in self.failing and (problem is None or problem.name() == AT_THE_END):
                continue  # what follows a batch that cannot be opened is read again, after it
            elif problem is None:
                readable.append(message)
            elif problem.name() == AT_THE_END and number is not None and offset is not None:
                self._ends[number] = offset
            else:
                raise self._mapped(problem, message)
        return readable

    def without_records(self, taken_records: int) -> dict[int, Range]:
        """Return offsets after the committed ones that certainly hold no record: marks that end transactions.

        Call it when nothing is in hand: *taken_records* of all that `read` returned are committed.
        """
        # Something that was read is not committed yet, and may lie before such offsets.
        if taken_records != self.delivered_records:
            return {}
        return {
            number: Range(position, self._ends[number] - 1)
            for number, position in self._positions.items()
            if position < self._ends.get(number, 0)
        }

    def go_on(self, partition: int, offset: int) -> None:
        """Read a failing partition again, from *offset* on.

        Raises:
            BrokerUnavailableError: It cannot be read now. Retriable with a new source.
        """
        self.failing.pop(partition, None)
        try:
            self._consumers.seek(partition, offset)
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error

    def position(self, partition: int) -> int:
        """Return the offset from which *partition* was read, or that was committed since."""
        return self._positions[partition]

    def withhold(self) -> None:
        """Let go of every record in hand and fetch none, while the partitions stay ours."""
        self._consumer.assign([])
        self._forget_positions()

    def begin(
        self,
        starts: Mapping[int, int],
        suspects: Mapping[int, Range] | None = None,
        markable: Collection[int] = (),
        floors: Mapping[int, int] | None = None,
    ) -> None:
        """Read our partitions, from these offsets on, and let the group know who does.

        Those of *suspects* are `failing` from the start: nothing is fetched of them before `go_on`.
        What is committed never falls below *floors*: everything below those is stored, whatever is read again.

        Raises:
            BrokerUnavailableError: The group does not take it. Retriable with a new source.
        """
        self._is_held = False
        self.is_astray = False
        self.failing.clear()
        apart = suspects or {}
        self._marked = set(markable)
        self._floors = floors or {}
        self._mark(starts, HOLDER)  # before anything is fetched: it may be what kills
        places = [
            TopicPartition(self._topic, number, OFFSET_END if number in apart else offset)
            for number, offset in starts.items()
        ]
        self._consumer.assign(places)
        self._consumer.resume(places)  # they may have been held before they were withheld
        self._consumers.begin(starts)
        self._ends.clear()
        self.failing = {number: Failure(SUSPECT, suspect=part) for number, part in apart.items()}
        self._positions = dict(starts)

    def commit(self, next_offsets: Mapping[int, int]) -> CommitOutcome:
        """Commit and wait for the answer: ``fenced`` when the partitions are no longer ours, ``later``
        when the outcome is unknown and the same commit should be tried again.

        Raises:
            BrokerRejectedError: The group may not be used. Permanent until mended.
        """
        wanted = [
            TopicPartition(self._topic, number, max(offset, self._floors.get(number, 0)), HOLDER)
            for number, offset in next_offsets.items()
        ]
        try:
            answers = self._consumer.commit(offsets=wanted, asynchronous=False)
            problems = [part.error for part in answers if part.error is not None]
        except KafkaException as error:
            problems = [error.args[0]]
        # Of several answers the worst counts: one fenced partition means that none is ours.
        for problem in problems:
            if fault_of(problem) == "fenced":
                return "fenced"
            if fault_of(problem) in REFUSALS:
                raise self._mapped(problem)
        if problems:
            return "later"
        self._positions.update(next_offsets)
        self._marked.update(next_offsets)
        return "done"

    def _mark(self, offsets: Mapping[int, int], holder: str, *, is_last: bool = False) -> None:
        """Commit *offsets* as they are with the name of their holder, but for those where a commit would
        say that something is stored below it.
        """
        wanted = [
            TopicPartition(self._topic, number, max(offset, self._floors.get(number, 0)), holder)
            for number, offset in offsets.items()
            if number in self._marked
        ]
        if not wanted:
            return
        try:
            if is_last:  # the consumer waits for it when it leaves
                self._consumer.commit(offsets=wanted, asynchronous=True)
                return
            answers = self._consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as error:
            if fault_of(error.args[0]) == "fenced":
                return
            raise self._mapped(error.args[0]) from error
        for part in answers:
            # Where the group is fenced, the partitions are taken from us in a moment.
            if part.error is not None and fault_of(part.error) != "fenced":
                raise self._mapped(part.error)

    def hold(self) -> None:
        """Fetch nothing more until `resume`; `read` must still be called, or Kafka calls us dead."""
        if not self._is_held:
            self._consumers.pause()
            self._is_held = True

    def resume(self) -> None:
        """Fetch again, from where `read` stopped."""
        if self._is_held:
            self._consumers.resume()
            self._is_held = False

    def known_ends(self) -> dict[int, int]:
        """Return where each partition that is read ended at the last answer that was fetched of it."""
        return self._consumers.known_ends(self._positions)

    def part(self, partition: int, starts: Mapping[int, int]) -> bool:
        """Read what is held up with *partition* apart from it, from *starts* on; False if it cannot be.

        Raises:
            BrokerUnavailableError: Kafka failed. Retriable with a new source.
        """
        try:
            return self._consumers.part(partition, self._places(starts))
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error

    def join(self, starts: Mapping[int, int]) -> None:
        """Read all partitions together again, those that were read apart from *starts* on.

        Raises:
            BrokerUnavailableError: Kafka failed. Retriable with a new source.
        """
        try:
            self._consumers.join(self._places(starts))
        except KafkaException as error:
            raise self._mapped(error.args[0]) from error

    def _places(self, starts: Mapping[int, int]) -> dict[int, int]:
        """Return *starts*, but for suspects, of which nothing is fetched."""
        apart = {number for number, each in self.failing.items() if each.suspect is not None}
        return {n: OFFSET_END if n in apart else start for n, start in starts.items()}

    @property
    def is_parted(self) -> bool:
        """Whether some partitions are read apart from others."""
        return self._consumers.are_several

    @property
    def positions(self) -> Mapping[int, int]:
        """For each partition that is read the offset up to which everything is committed."""
        return self._positions

    @property
    def is_held(self) -> bool:
        """Whether nothing is fetched until `resume`."""
        return self._is_held

    @property
    def partitions(self) -> list[int]:
        """The partitions that are being read."""
        return sorted(self._positions)

    def close(self) -> None:
        """Leave the group; what was not committed is read again by whoever gets the partitions."""
        # The member first: it leaves the group, and its peers need not wait for the other consumers.
        self._consumer.close()
        self._consumers.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take the partitions, and read none of them before `begin`."""
        consumer.assign([])
        self._forget_positions()
        self._listener.on_assigned(sorted(part.partition for part in partitions))

    def _revoked(self, consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._listener.on_revoked()
        self._release()
        self._forget_positions()
        consumer.unassign()

    def _release(self) -> None:
        """Tell whoever reads our partitions next that nobody died of them."""
        with contextlib.suppress(
            BrokerError
        ):  # then they are read with care, which costs time alone
            self._mark(self._positions, "", is_last=True)

    def _lost(self, consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._listener.on_lost()
        self._forget_positions()
        consumer.unassign()

    def _forget_positions(self) -> None:
        self._consumers.begin(())
        self._positions = {}
        self._ends.clear()
        self.failing.clear()

    def _note(self, error: KafkaError) -> None:
        self.complaint = f"{error.name()}: {one_line(error)}"

    def away(self, reason: str) -> BrokerUnavailableError:
        """Return the error that says that Kafka does not answer, and the way out."""
        return BrokerUnavailableError(
            f"Kafka at {self._where} does not answer ({reason}): start it, or set TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS"
        )

    def _mapped(self, error: KafkaError, message: Message | None = None) -> BrokerError:
        what = f"partition {message.partition()}" if message else ""
        return broker_error(error, self._where, self._topic, what)
