"""Where the producers' sequence numbers are at this moment: in spools, in Kafka, in ClickHouse."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from trailhouse.broker.admin import PartitionLag
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.operate.account.seen_sequences import SeenSequences
from trailhouse.schemas.ranges import Range, Ranges
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.sequence_gaps import NOTHING, GapFinder, Holes
from trailhouse.store.sequences import (
    Held,
    held_seqs,
    milliseconds,
)

REPORT_EVERY_RECORDS = 100_000


class ProducerState(NamedTuple):
    """One producer: the range of numbers that is looked at, and where those are that matter.

    ClickHouse has not `unstored`; `absent` of those are in no place at all. All are within `within`.
    In `beyond`, where there are more holes than are told apart, they are counted alone: what is
    on its way there is taken to be unstored.
    """

    within: Range
    held: Held | None
    unstored: Ranges
    spooled: Ranges
    in_kafka: Ranges
    absent: Ranges
    beyond: "Beyond"

    @property
    def is_complete(self) -> bool:
        """Whether nothing is absent."""
        return not self.absent and not self.beyond.absent


class Beyond(NamedTuple):
    """How many numbers of one producer are where, above those that are told apart."""

    within: Range
    unstored: int
    spooled: int
    in_kafka: int
    absent: int


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: a session, a time; None is all."""

    since: dt.datetime | None = None
    session_id: str | None = None


def snapshot(
    storage: ClickHouse,
    gaps: GapFinder,
    reader: TopicReader,
    ask_marks: Callable[[], Iterable[PartitionLag]],
    spooled: Callable[[], Iterable[bytes]],
    scope: Scope,
    report: Callable[[str], None],
    limits: Mapping[str, int] | None = None,
) -> dict[str, ProducerState]:
    """Return where each producer's events are; one that moves on meanwhile does not slip by.

    The places are looked into in the order in which an event goes through them.

    Args:
        storage: ClickHouse.
        gaps: Of the same, from look to look.
        reader: Of the topic.
        ask_marks: Returns where each partition and the group are.
        spooled: Returns the records in the spools.
        scope: What is asked for.
        report: Told what is being done.
        limits: The highest number of each producer that is looked at; none for all there are.

    Raises:
        BrokerError, StorageError: As for `account`.
    """
    report("reading the spools")
    spool = SeenSequences(scope.session_id)
    for record in spooled():
        spool.add(record)
    # After the spools and before ClickHouse: an event that moves on is met in the later place.
    topic = _waiting(reader, ask_marks(), scope, report)
    report("counting in ClickHouse")
    held = {found.producer_id: found for found in held_seqs(storage, scope.since, scope.session_id)}
    within = _ranges(held, spool, topic, scope, limits)
    doubtful = {
        name: part
        for name, part in within.items()
        # Most producers have no holes, which count, first and last tell without looking for any.
        if name not in held or not _is_dense(held[name], part)
    }
    unstored = gaps.holes(doubtful)
    without = Holes(Ranges(), NOTHING, 0)
    return {
        name: _state(part, held.get(name), unstored.get(name, without), name, spool, topic)
        for name, part in within.items()
    }


def _waiting(
    reader: TopicReader,
    marks: Iterable[PartitionLag],
    scope: Scope,
    report: Callable[[str], None],
) -> SeenSequences:
    """Read what the group has not committed yet."""
    found = SeenSequences(scope.session_id)
    waiting = {
        mark.partition: Range(
            max(mark.committed_offset or 0, mark.first_offset), mark.end_offset - 1
        )
        for mark in marks
    }
    waiting = {number: part for number, part in waiting.items() if part.size > 0}
    total = sum(part.size for part in waiting.values())
    since_ms = 0 if scope.since is None else milliseconds(scope.since)
    read, due = 0, 0
    for records in reader.read(waiting):
        for record in records:
            if record.timestamp()[1] >= since_ms:
                found.add(record.value())
        read += len(records)
        if read >= due:
            report(f"reading Kafka: {read} of {total} records that wait")
            due = read + REPORT_EVERY_RECORDS
    return found


def _ranges(
    held: Mapping[str, Held],
    spool: SeenSequences,
    topic: SeenSequences,
    scope: Scope,
    limits: Mapping[str, int] | None,
) -> dict[str, Range]:
    """Return for each producer from which to which number all must be somewhere."""
    is_all = scope.since is None and scope.session_id is None
    found: dict[str, Range] = {}
    for name in {*held, *spool.producers(), *topic.producers()}:
        seen = spool.own(name) | topic.own(name)
        if name in held:
            seen |= Ranges([(held[name].first, held[name].last)])
        if seen.first is None or seen.last is None:
            continue
        last = seen.last if limits is None else min(seen.last, limits.get(name, -1))
        # Each producer counts from 0; of a part of it only what lies between two that are known is expected.
        part = Range(0 if is_all else seen.first, last)
        if part.size > 0:
            found[name] = part
    return found


def _is_dense(held: Held, within: Range) -> bool:
    is_without_holes = held.last - held.first + 1 == held.seqs
    return is_without_holes and held.first <= within.first and held.last >= within.last


def _state(
    within: Range,
    held: Held | None,
    found: Holes,
    name: str,
    spool: SeenSequences,
    topic: SeenSequences,
) -> ProducerState:
    in_spool, in_topic, unstored = spool.of(name), topic.of(name), found.exact
    return ProducerState(
        within=within,
        held=held,
        unstored=unstored,
        # An event counts once, where it has come furthest: it may be in a spool and in Kafka.
        spooled=(spool.own(name) & unstored) - in_topic,
        in_kafka=topic.own(name) & unstored,
        absent=unstored - in_spool - in_topic,
        beyond=_beyond(found, name, spool, topic),
    )


def _beyond(found: Holes, name: str, spool: SeenSequences, topic: SeenSequences) -> Beyond:
    if not found.uncounted:
        return Beyond(NOTHING, 0, 0, 0, 0)
    there = Ranges([found.beyond])
    in_topic = topic.of(name) & there
    on_its_way = (spool.of(name) & there) | in_topic
    in_kafka = min(found.uncounted, (topic.own(name) & there).size)
    spooled = min(found.uncounted - in_kafka, ((spool.own(name) & there) - in_topic).size)
    absent = max(0, found.uncounted - on_its_way.size)
    return Beyond(found.beyond, found.uncounted, spooled, in_kafka, absent)
