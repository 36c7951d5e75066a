"""From what a caller names, times or places, to the offsets of each partition that are meant."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trailhouse.broker.admin import PartitionLag
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.schemas.errors import QueryError
from trailhouse.schemas.ranges import Range


class OffsetRef(NamedTuple):
    """One record's place: its partition and its offset."""

    partition: int
    offset: int


Bound = dt.datetime | OffsetRef
"""Where a range begins or ends, inclusive: the time at which Kafka took a record, or its place."""

_MILLISECOND = dt.timedelta(milliseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def wanted_ranges(
    reader: TopicReader,
    marks: Sequence[PartitionLag],
    *,
    begin: Bound | None = None,
    end: Bound | None = None,
    partition: int | None = None,
) -> dict[int, Range]:
    """Return the offsets of each partition from *begin* to *end*, cut to what Kafka still has.

    Args:
        reader: Asked for the offsets of times.
        marks: Where each partition begins and ends, as `KafkaAdmin.lag` gives them.
        begin: The first record; None for the first that Kafka has.
        end: The last record, inclusive; None for the last that Kafka has now.
        partition: This partition alone; None for all, or for the one that a place names.

    Raises:
        QueryError: The partitions contradict each other, or there is none of that number. Permanent.
        BrokerError: Kafka does not answer (retriable) or refuses (permanent).
    """
    chosen = _chosen(marks, begin, end, partition)
    starts = {mark.partition: mark.first_offset for mark in chosen}
    ends = {mark.partition: mark.end_offset for mark in chosen}
    firsts = _offsets(reader, begin, starts, ends, after=0)
    stops = _offsets(reader, end, ends, ends, after=1)
    ranges = {
        number: Range(max(firsts[number], starts[number]), min(stops[number], ends[number]) - 1)
        for number in starts
    }
    return {number: found for number, found in ranges.items() if found.size > 0}


def _chosen(
    marks: Sequence[PartitionLag], begin: Bound | None, end: Bound | None, partition: int | None
) -> list[PartitionLag]:
    named = {place.partition for place in (begin, end) if isinstance(place, OffsetRef)}
    if partition is not None:
        named.add(partition)
    # From 3:100 to 4:50 names no range: offsets of two partitions are in no order.
    if len(named) > 1:
        numbers = " and ".join(str(number) for number in sorted(named))
        raise QueryError(f"partition: one range lies in one partition, got {numbers}")
    if unknown := named - {mark.partition for mark in marks}:
        raise QueryError(
            f"partition: the topic has {len(marks)}, numbered from 0; there is no {unknown.pop()}"
        )
    return [mark for mark in marks if not named or mark.partition in named]


def _offsets(
    reader: TopicReader,
    bound: Bound | None,
    otherwise: Mapping[int, int],
    ends: Mapping[int, int],
    *,
    after: int,
) -> Mapping[int, int]:
    """Return the offset of the record at *bound*, or that many records or milliseconds *after* it."""
    if bound is None:
        return otherwise
    if isinstance(bound, OffsetRef):
        return dict.fromkeys(otherwise, bound.offset + after)
    # Kafka counts in milliseconds: a range begins with the first that is not before its start, and
    # stops with the first that is after its end.
    since = bound - _EPOCH
    moment_ms = since // _MILLISECOND + after if after else -(-since // _MILLISECOND)
    return reader.offsets_at(moment_ms, ends)
