"""Kafka as a membership's parts see it, without a network: a consumer, an admin client, a ledger in memory.

Each is held by name and by parameters against the real one, in `test_fakes_are_like_the_real.py`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

import pytest
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from trailhouse.broker.admin import Topic
from trailhouse.broker.group_members import GroupMember
from trailhouse.broker.offsets import PartitionLag
from trailhouse.broker.origin import Origin
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership import source as source_module
from trailhouse.consumer.membership.source import KafkaSource, Listener
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Ranges
from trailhouse.schemas.topic import topic_options
from trailhouse.store.block import Block

ORIGIN = Origin("cluster", "trailhouse.events", "topic-id")
APPENDED_MS = 1_790_000_000_000


def record(partition: int, offset: int, value: bytes = b"{}") -> Message:
    """Return a record as confluent-kafka hands it over."""
    return Message(
        topic=ORIGIN.topic,
        partition=partition,
        offset=offset,
        value=value,
        timestamp=(TIMESTAMP_LOG_APPEND_TIME, APPENDED_MS),
    )


def problem(partition: int, name: str, offset: int = 0) -> Message:
    """Return what librdkafka hands over in a record's place, by the name of its error."""
    return Message(topic=ORIGIN.topic, partition=partition, offset=offset, error=error(name))


def error(name: str) -> KafkaError:
    """Return librdkafka's error of this name."""
    return KafkaError(getattr(KafkaError, name))


def failure(name: str) -> KafkaException:
    """Return what a call raises that met librdkafka's error of this name."""
    return KafkaException(error(name))


def lag(
    partition: int, committed: int | None, end: int, *, first: int = 0, holder: str = ""
) -> PartitionLag:
    """Return a partition of which all can be read."""
    return PartitionLag(
        partition=partition,
        first_offset=first,
        readable_end=end,
        end_offset=end,
        committed_offset=committed,
        holder=holder,
    )


def places(parts: Iterable[TopicPartition]) -> dict[int, int]:
    """Return the offset of each partition."""
    return {part.partition: part.offset for part in parts}


class FakeConsumer:
    """Hands over the messages it is given, and remembers what was asked of it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = dict(options)
        self.waiting: list[Message] = []
        self.assigned: dict[int, int] = {}
        self.paused: set[int] = set()
        self.sought: dict[int, int] = {}
        self.commits: list[dict[int, tuple[int, str | None]]] = []
        self.ends: dict[int, int] = {}
        self.wait_seconds: list[float] = []
        """How long each `consume` was ready to wait."""
        self.is_closed = False
        self.raising: KafkaException | None = None
        self.commit_errors: dict[int, KafkaError] = {}
        self.callbacks: dict[str, Callable[..., None]] = {}
        self.meanwhile: Callable[[], None] = lambda: None

    def subscribe(self, topics: list[str], **callbacks: Callable[..., None]) -> None:
        assert topics == [ORIGIN.topic]
        self.callbacks = callbacks

    def tell(self, event: str, numbers: Iterable[int]) -> None:
        """Do as librdkafka does when the group decides something, within a `consume`."""
        parts = [TopicPartition(ORIGIN.topic, number) for number in numbers]
        self.callbacks[event](self, parts)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        assert timeout >= 0, "nothing may wait for ever"
        self.meanwhile()
        self.wait_seconds.append(timeout)
        self._fail()
        taken, self.waiting = self.waiting[:num_messages], self.waiting[num_messages:]
        return taken

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._fail()
        self.assigned = places(partitions)

    def unassign(self) -> None:
        self.assigned = {}

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._fail()
        self.paused |= places(partitions).keys()

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._fail()
        self.paused -= places(partitions).keys()

    def seek(self, partition: TopicPartition) -> None:
        self._fail()
        self.sought[partition.partition] = partition.offset

    def commit(
        self,
        message: Message | None = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> list[TopicPartition] | None:
        assert message is None
        assert offsets is not None
        self._fail()
        self.commits.append({part.partition: (part.offset, part.metadata) for part in offsets})
        if asynchronous:
            return None
        answers = [Answered(part, self.commit_errors.get(part.partition)) for part in offsets]
        return cast("list[TopicPartition]", answers)

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        assert cached, "asking would block"
        return 0, self.ends.get(partition.partition, -1001)

    def close(self) -> None:
        self.is_closed = True

    def _fail(self) -> None:
        if self.raising is not None:
            raise self.raising


class Answered:
    """A partition of a commit's answer: the real one's `error` cannot be set."""

    def __init__(self, part: TopicPartition, problem: KafkaError | None) -> None:
        self.partition = part.partition
        self.offset = part.offset
        self.error = problem


class FakeIdentity:
    """Answers what a membership asks of the cluster, a connection for each question."""

    def __init__(self, parts: Sequence[PartitionLag] = ()) -> None:
        self.parts = parts
        self.who = ORIGIN
        self.found: tuple[GroupMember, ...] = ()
        self.options: dict[str, str] | None = dict(topic_options(KafkaConfig()))
        self.raising: Exception | None = None
        self.members_raising: Exception | None = None
        self.connections = 0

    def ask(self) -> TopicIdentity:
        """Return this, as a new connection."""
        self.connections += 1
        return cast("TopicIdentity", self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def origin(self, kafka: KafkaConfig) -> Origin:
        assert kafka.topic == ORIGIN.topic
        if self.raising is not None:
            raise self.raising
        return self.who

    def lag(self, group_id: str) -> tuple[PartitionLag, ...]:
        assert group_id
        if self.raising is not None:
            raise self.raising
        return tuple(self.parts)

    def members(self, group_id: str) -> tuple[GroupMember, ...]:
        assert group_id
        if self.members_raising is not None:
            raise self.members_raising
        return self.found

    def topic(self) -> Topic | None:
        if self.options is None:
            return None
        return Topic(partitions=1, replication=1, has_leaders=True, options=self.options)


class FakeStore:
    """Takes blocks in, and keeps them."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def insert(self, block: Block) -> None:
        self.blocks.append(block)


class FakeLedger:
    """The ledger of one topic and its incidents, in memory."""

    def __init__(self, stored: Mapping[int, Iterable[tuple[int, int]]] | None = None) -> None:
        self.stored = {number: Ranges(spans) for number, spans in (stored or {}).items()}
        self.earlier_ends: dict[int, int] = {}
        self.incidents: list[Block] = []
        self.raising: Exception | None = None

    def covered(self, wanted: Mapping[int, tuple[int, int]]) -> dict[int, Ranges]:
        self._fail()
        return {
            number: self.stored.get(number, Ranges()) & Ranges([span])
            for number, span in wanted.items()
        }

    def until(self, below: Mapping[int, int | None]) -> dict[int, int]:
        self._fail()
        found: dict[int, int] = {}
        for number, limit in below.items():
            under = 2**64 - 1 if limit is None else limit
            last = (self.stored.get(number, Ranges()) & Ranges([(0, under - 1)])).last
            if last is not None:
                found[number] = last + 1
        return found

    def knows(self, partitions: Iterable[int]) -> set[int]:
        self._fail()
        return {number for number in partitions if self.stored.get(number)}

    def earlier(self, partitions: Iterable[int]) -> dict[int, int]:
        self._fail()
        return {n: self.earlier_ends[n] for n in partitions if n in self.earlier_ends}

    def noted(self, incident: Incident) -> Ranges:
        self._fail()
        return Ranges(
            (first, last)
            for block in self.incidents
            for kind, number, first, last in zip(
                *(
                    block.columns[block.names.index(name)]
                    for name in ("kind", "kafka_partition", "first_offset", "last_offset")
                ),
                strict=True,
            )
            if (kind, number) == (incident.kind, incident.partition)
        )

    def note(self, block: Block) -> None:
        self._fail()
        self.incidents.append(block)

    def _fail(self) -> None:
        if self.raising is not None:
            raise self.raising


def fake_source(
    monkeypatch: pytest.MonkeyPatch, listener: Listener | None = None
) -> tuple[KafkaSource, FakeConsumer]:
    """Return a source, and the fake consumer that it has made; as a rule it takes what it is assigned."""
    made: list[FakeConsumer] = []

    def make(options: Mapping[str, Any]) -> FakeConsumer:
        made.append(FakeConsumer(options))
        return made[-1]

    monkeypatch.setattr(source_module, "Consumer", make)
    silent = Listener(on_assigned=lambda _: None, on_revoked=lambda: None, on_lost=lambda: None)
    source = KafkaSource(KafkaConfig(), WorkerConfig(), listener or silent)
    return source, made[0]
