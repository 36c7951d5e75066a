"""Whether Kafka still has the records that are stored of a partition, or others in their place: a log that was cut off.

After an unclean election the new leader has less than the one before had acknowledged, and what is appended then gets
offsets that were read already: the group's offset says nothing of these. KIP-320 tells it by leader epochs, to a
consumer that has read since; the broker's times, which are stored of each record, tell it to any. They stand in the
headers of batches: none is opened, for it may have been what killed the worker before.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

from trailhouse.broker.batch_headers import RawBatch

LOOK_BACK_OFFSETS = 10_000
"""Nothing is said where no leaf lies among so many offsets."""
LOOKED_AT = 4
"""One of so many of the newest leaves must still have its batch: others may be gone, as by compaction."""


class AppendTimes(Protocol):
    """What is asked of `StoredLog`."""

    def append_times(
        self, partition: int, first: int, end: int, limit: int
    ) -> Mapping[int, Collection[int]]: ...


BatchesAt = Callable[[Mapping[int, int]], Mapping[int, RawBatch]]
"""`batches_at`, of one topic."""


class StoredPart(NamedTuple):
    """What Kafka has of a partition, and up to where that is stored, or was when there was more of it."""

    log_start: int
    log_end: int
    stored_until: int


class _Look(NamedTuple):
    """An offset at which a leaf is stored, and whether Kafka has the record there that was appended then."""

    offset: int
    is_same: bool


class LogTruncation:
    """Of one topic. Its method blocks, and may be called again."""

    def __init__(self, stored: AppendTimes, batches_at: BatchesAt) -> None:
        self._stored = stored
        self._batches_at = batches_at

    def cut_at(self, parts: Mapping[int, StoredPart]) -> dict[int, int]:
        """Return of each partition that was cut off from where on Kafka has others than the stored records, or none.

        A record that is gone without another in its place says nothing, nor does one that has no leaf, or carries its
        sender's time; where nothing is said of an offset, it is taken to be another's if a later one is.

        Raises:
            StorageError, BrokerError: ClickHouse or Kafka is away (retriable) or refuses (permanent). Ask again.
        """
        found: dict[int, int] = {}
        spans = {
            number: (part.log_start, min(part.log_end, part.stored_until))
            for number, part in parts.items()
        }
        for number, look in self._looks(spans).items():
            part = parts[number]
            if not look.is_same:
                found[number] = self._first_other(number, part.log_start, look.offset)
            elif part.log_end < part.stored_until:
                found[number] = part.log_end
        return found

    def _first_other(self, number: int, low: int, high: int) -> int:
        while low < high:
            middle = (low + high) // 2
            look = self._looks({number: (low, middle + 1)}).get(number)
            if look is not None and look.is_same:
                low = look.offset + 1
            else:
                high = middle if look is None else look.offset
        return low

    def _looks(self, spans: Mapping[int, tuple[int, int]]) -> dict[int, _Look]:
        """Return a look at the newest leaf in each span of which Kafka says something; the end is not in a span."""
        left: dict[int, dict[int, Collection[int]]] = {}
        for number, (begin, end) in spans.items():
            first = max(begin, end - LOOK_BACK_OFFSETS)
            if first < end:
                left[number] = dict(self._stored.append_times(number, first, end, LOOKED_AT))
        found: dict[int, _Look] = {}
        while newest := {number: max(times) for number, times in left.items() if times}:
            batches = self._batches_at(newest)
            for number, offset in newest.items():
                times = left[number].pop(offset)
                batch = batches.get(number)
                if batch is not None and _tells(batch, offset):
                    found[number] = _Look(offset, batch.appended_ms in times)
                    del left[number]
        return found


def _tells(batch: RawBatch, offset: int) -> bool:
    return batch.is_sound and batch.is_broker_time and batch.first_offset <= offset
