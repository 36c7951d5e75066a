"""Whether Kafka still has the records that are stored of a partition, or others in their place: a log that was cut off.

After an unclean election the new leader has less than the one before had acknowledged, and what is appended then gets
offsets that were read already: the group's offset says nothing of these. KIP-320 tells it by leader epochs, to a
consumer that has read since; the digests that are stored tell it to any, at any time.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple, Protocol

from trailhouse.broker.placeholder import Placeholder
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.schemas.errors import UnreadableBatchError
from trailhouse.schemas.ranges import Range
from trailhouse.schemas.record_hash import record_hash

LOOK_BACK_OFFSETS = 10_000
"""Nothing is said where no leaf lies among so many offsets."""
LOOKED_AT = 4
"""One of so many of the newest leaves must still have a record: others may be gone, as by compaction."""


class StoredDigests(Protocol):
    """What is asked of `StoredLog`."""

    def digests(
        self, partition: int, first: int, end: int, limit: int
    ) -> Mapping[int, Collection[bytes]]: ...


class StoredPart(NamedTuple):
    """What Kafka has of a partition, and up to where that is stored, or was when there was more of it."""

    log_start: int
    log_end: int
    stored_until: int


class _Look(NamedTuple):
    """An offset at which a leaf is stored, and whether Kafka has that record there."""

    offset: int
    is_same: bool


class LogTruncation:
    """Of one topic. Its method blocks, and may be called again."""

    def __init__(self, stored: StoredDigests, open_reader: Callable[[], TopicReader]) -> None:
        self._stored = stored
        self._open_reader = open_reader

    def cut_at(self, parts: Mapping[int, StoredPart]) -> dict[int, int]:
        """Return of each partition that was cut off from where on Kafka has others than the stored records, or none.

        A record that is gone without another in its place says nothing, and so does one that has no leaf; where
        nothing is said of an offset, it is taken to be another's if a later one is.

        Raises:
            StorageError, BrokerError: ClickHouse or Kafka is away (retriable) or refuses (permanent). Ask again.
        """
        found: dict[int, int] = {}
        spans = {
            number: (part.log_start, min(part.log_end, part.stored_until))
            for number, part in parts.items()
        }
        with self._open_reader() as reader:
            for number, look in self._looks(reader, spans).items():
                part = parts[number]
                if not look.is_same:
                    found[number] = self._first_other(reader, number, part.log_start, look.offset)
                elif part.log_end < part.stored_until:
                    found[number] = part.log_end
        return found

    def _first_other(self, reader: TopicReader, number: int, low: int, high: int) -> int:
        while low < high:
            middle = (low + high) // 2
            look = self._looks(reader, {number: (low, middle + 1)}).get(number)
            if look is not None and look.is_same:
                low = middle + 1
            else:
                high = middle if look is None else look.offset
        return low

    def _looks(self, reader: TopicReader, spans: Mapping[int, tuple[int, int]]) -> dict[int, _Look]:
        """Return a look at the newest leaf in each span of which Kafka has the offset; the end is not in a span."""
        digests = {
            number: self._stored.digests(
                number, max(begin, end - LOOK_BACK_OFFSETS), end, LOOKED_AT
            )
            for number, (begin, end) in spans.items()
            if begin < end
        }
        wanted = {number: Range(min(each), max(each)) for number, each in digests.items() if each}
        found: dict[int, _Look] = {}
        # In order, so that of each partition the newest stays.
        for number, offset, digest in _records(reader, wanted):
            if (stored := digests[number].get(offset)) is not None:
                found[number] = _Look(offset, digest in stored)
        return found


def _records(reader: TopicReader, wanted: Mapping[int, Range]) -> Iterator[tuple[int, int, bytes]]:
    """Yield partition, offset and digest of each record that can be read."""
    try:
        records = [each for some in reader.read(wanted) for each in some]
    except UnreadableBatchError:
        if len(wanted) > 1:
            for number, span in wanted.items():
                yield from _records(reader, {number: span})
        return
    for each in records:
        if not isinstance(each, Placeholder):
            yield each.partition(), each.offset(), record_hash(each.value() or b"")
