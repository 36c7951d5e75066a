"""A batch: the records read since the last one closed, sorted into events and bad records. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import methodcaller
from typing import Any, NamedTuple

import msgspec

from trailhouse.broker.placeholder import Placeholder, Received, too_large
from trailhouse.consumer.batch.rows import Coordinates, EventRows, envelope_of, event_columns
from trailhouse.consumer.batch.span import Span, all_coordinates_of, coordinates_of
from trailhouse.consumer.config import WorkerConfig
from trailhouse.schemas.codec import decode_all, parts_of
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.record import Envelope
from trailhouse.schemas.record_hash import record_hashes, record_keys
from trailhouse.store.tables import LATEST_MS

MAX_HEADERS_BYTES = 65_536
MAX_REJECTED_ENVELOPES = 20
"""So many events that fit no row and not one that does: it is the program that is wrong."""


Headers = list[tuple[str, bytes | None]]
# Not called as a method: where a name is not UTF-8, confluent-kafka returns with an error set, and a
# method call that CPython has made quick for its place overlooks it until something else trips on it.
_headers = methodcaller("headers")


class BadRecord(NamedTuple):
    """A record that is not an event, why, and its headers."""

    received: Received
    reason: str
    headers: Headers

    @classmethod
    def of(cls, received: Received, reason: str) -> "BadRecord":
        """Return *received* as a bad record; call it once a record, as `headers()` may be."""
        try:
            headers = _headers(received)
        except (SystemError, UnicodeDecodeError):
            # confluent-kafka reads names as UTF-8, and after one that is not, its next answer
            # crashes whoever looks into it.
            return cls(received, f"{reason}; its headers are lost, a name is not UTF-8", [])
        if not isinstance(headers, list):
            return cls(received, reason, [])
        if sum(len(name) + len(value or b"") for name, value in headers) > MAX_HEADERS_BYTES:
            return cls(received, f"{reason}; its headers are too large to be kept", [])
        return cls(received, reason, list(headers))


class SenderTimed(NamedTuple):
    """Where the records of one partition are that carry their sender's time, and how many."""

    first_offset: int
    last_offset: int
    records: int


class Limits(msgspec.Struct, frozen=True):
    """A batch is full at whichever of the first two it reaches first; a record has a limit of its own."""

    rows: int
    size_bytes: int
    record_bytes: int = 8_388_608

    @classmethod
    def of(cls, config: WorkerConfig) -> "Limits":
        """Return the limits that the worker's settings name."""
        return cls(
            config.batch_rows,
            config.batch_bytes,
            config.max_record_bytes,
        )


class Batch:
    """Records in the order they were read; nothing of it is committed.

    `rows` are those of `events`, in the same order. A null record counts with the hash of no bytes.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._opened_at_seconds = 0.0
        self.rows = EventRows()
        self.events: list[Received] = []
        self.bad: list[BadRecord] = []
        self.spans: dict[int, Span] = {}
        self.size_bytes = 0
        self.sender_times: dict[int, SenderTimed] = {}
        """The records that carry their sender's time: somebody has switched the topic to CreateTime."""
        self._rejected = 0

    def __len__(self) -> int:
        return len(self.rows) + len(self.bad)

    @property
    def is_full(self) -> bool:
        """Whether it has reached its rows or its bytes."""
        return len(self) >= self._limits.rows or self.size_bytes >= self._limits.size_bytes

    @property
    def room_rows(self) -> int:
        """How many records it may still take in before it is full by its rows."""
        return max(0, self._limits.rows - len(self))

    @property
    def age_seconds(self) -> float:
        """How long ago its first record was read; 0 while it holds none."""
        return self._clock() - self._opened_at_seconds if len(self) else 0.0

    def reasons(self) -> Iterator[tuple[str, int]]:
        """Yield the reasons of the bad records, the most frequent first."""
        yield from Counter(bad.reason for bad in self.bad).most_common()

    def add(self, received: Sequence[Received]) -> None:
        """Decode *received* and take each record in, as an event or as a bad record.

        Of a record over the limit only a part is kept.

        Raises:
            TypeError, ValueError, ArithmeticError: No event at all fits its row. A mistake of the program.
        """
        if not received:
            return
        if not len(self):
            self._opened_at_seconds = self._clock()
        records = [message.value() or b"" for message in received]
        size_bytes = sum(map(len, records))
        limit_bytes = self._limits.record_bytes
        # All of them together are rarely over what one may be, so that the sizes are gone through once.
        is_large = size_bytes > limit_bytes and max(map(len, records)) > limit_bytes
        if is_large or isinstance(received[0], Placeholder):  # a placeholder comes alone
            self._add_without_the_large(received, records)
            return
        self.size_bytes += size_bytes
        for part in parts_of(records):
            self._add_some(received[part], records[part])

    def pass_over(self, partition: int, first_offset: int, last_offset: int, at_ms: int) -> None:
        """Take in offsets of *partition* that hold no record, found *at_ms*; nothing else of it is held."""
        span = Span(first_offset, at_ms)
        span.reach(last_offset, at_ms)
        self.spans[partition] = span

    def add_placeholder(self, placeholder: Placeholder) -> None:
        """Take in, as a bad record, what stands for records that cannot be kept."""
        if not len(self):
            self._opened_at_seconds = self._clock()
        self.size_bytes += len(placeholder.kept or b"")
        span = self.spans.get(placeholder.number)
        if span is None:
            _, offset, appended_ms = coordinates_of(placeholder)
            span = Span(offset, appended_ms)
            self.spans[placeholder.number] = span
        span.extend_by(placeholder)
        self.bad.append(BadRecord(placeholder, placeholder.reason, []))

    def _add_without_the_large(self, received: Sequence[Received], records: list[bytes]) -> None:
        begin = 0
        for place, record in enumerate(records):
            message = received[place]
            if isinstance(message, Placeholder):
                placeholder = message
            elif len(record) > self._limits.record_bytes:
                placeholder = too_large(message, self._limits.record_bytes)
            else:
                continue
            self.add(received[begin:place])
            self.add_placeholder(placeholder)
            begin = place + 1
        self.add(received[begin:])

    def _add_some(self, received: Sequence[Received], records: list[bytes]) -> None:
        hashes = record_hashes(records)
        coordinates = all_coordinates_of(received)
        self._note_spans(coordinates, hashes)
        if LATEST_MS in coordinates.appended_ms:
            self._note_sender_times(coordinates)
        envelopes = decode_all(records)
        # One bad record spoils the quick pass over all of them; then each is looked at by itself.
        if envelopes is None:
            received, envelopes, records, hashes, coordinates = self._sort_out(received, hashes)
        if received:
            keys = record_keys(hashes)
            self._take(received, event_columns(envelopes, records, keys, coordinates))

    def _take(self, events: Sequence[Received], columns: list[Sequence[Any]]) -> None:
        """Append *events* and their rows; one with a value that fits no column is a bad record.

        Unless none fits: then it is the columns that are wrong, and the error is raised.
        """
        try:
            self.rows.extend(columns)
        except (TypeError, ValueError, ArithmeticError) as error:
            # Columns are appended as a whole or not at all, so the one that does not fit is searched for one by
            # one.
            if len(events) == 1:
                self._rejected += 1
                if self._rejected >= MAX_REJECTED_ENVELOPES and not self.events:
                    raise
                self.bad.append(BadRecord.of(events[0], cannot_be_stored(type(error).__name__)))
                return
            for number in range(len(events)):
                self._take(
                    events[number : number + 1],
                    [values[number : number + 1] for values in columns],
                )
        else:
            self.events += events

    def _sort_out(
        self, received: Sequence[Received], hashes: list[bytes]
    ) -> tuple[list[Received], list[Envelope], list[bytes], list[bytes], Coordinates]:
        """Look at each of *received*, keep the bad, and return the events among them."""
        events: list[Received] = []
        envelopes: list[Envelope] = []
        kept: list[bytes] = []
        for message, digest in zip(received, hashes, strict=True):
            try:
                envelopes.append(envelope_of(message.value()))
            except InvalidEventError as error:
                self.bad.append(BadRecord.of(message, str(error)))
                if message.value() is None:
                    self.spans[message.partition()].note_null(message.offset())
            else:
                events.append(message)
                kept.append(digest)
        records = [message.value() or b"" for message in events]
        return events, envelopes, records, kept, all_coordinates_of(events)

    def _note_spans(self, coordinates: Coordinates, hashes: list[bytes]) -> None:
        begin = 0
        for partition, run in groupby(coordinates.partitions):
            end = begin + len(list(run))
            span = self.spans.get(partition)
            if span is None:
                span = Span(coordinates.offsets[begin], coordinates.appended_ms[begin])
                self.spans[partition] = span
            span.extend(
                coordinates.offsets[begin:end],
                coordinates.appended_ms[begin:end],
                hashes[begin:end],
            )
            begin = end

    def _note_sender_times(self, coordinates: Coordinates) -> None:
        for partition, offset, appended_ms in zip(*coordinates, strict=True):
            if appended_ms == LATEST_MS:
                before = self.sender_times.get(partition, SenderTimed(offset, offset, 0))
                self.sender_times[partition] = SenderTimed(
                    before.first_offset, offset, before.records + 1
                )


def spans_of(batches: Iterable[Batch]) -> dict[int, Span]:
    """Return each partition's part of *batches*, which follow each other, as one span."""
    spans: dict[int, Span] = {}
    for batch in batches:
        for partition, span in batch.spans.items():
            before = spans.get(partition)
            spans[partition] = span if before is None else before.then(span)
    return spans


def next_offsets(spans: Mapping[int, Span]) -> dict[int, int]:
    """Return each partition's offset to commit: that of the record after the last one of its span."""
    return {partition: span.last_offset + 1 for partition, span in spans.items()}


def rows_of(events: Sequence[Received]) -> EventRows:
    """Return the rows of *events*, known to be some, decoded anew.

    Raises:
        TypeError, ValueError, ArithmeticError: A value does not fit its column.
    """
    rows = EventRows()
    for columns in columns_of(events):
        rows.extend(columns)
    return rows


def columns_of(events: Sequence[Received]) -> Iterator[list[Sequence[Any]]]:
    """Yield the columns of the rows of *events*, known to be some, decoded anew, some at a time."""
    records = [event.value() or b"" for event in events]
    for part in parts_of(records):
        some = records[part]
        coordinates = all_coordinates_of(events[part])
        yield event_columns(_envelopes(some), some, _keys(some), coordinates)


def event_keys(events: Sequence[Received]) -> list[tuple[str, str]]:
    """Return session and id of each of *events*, decoded anew."""
    records = [event.value() or b"" for event in events]
    return [
        (envelope.session_id, envelope.event_id)
        for part in parts_of(records)
        for envelope in _envelopes(records[part])
    ]


def _envelopes(records: Sequence[bytes]) -> list[Envelope]:
    return decode_all(records) or [envelope_of(record) for record in records]


def event_record_keys(events: Sequence[Received]) -> list[bytes]:
    """Return what tells each of *events* from every other, as its row has it."""
    return _keys([event.value() or b"" for event in events])


def _keys(records: Sequence[bytes]) -> list[bytes]:
    return record_keys(record_hashes(records))


def cannot_be_stored(error_name: str) -> str:
    """Return the reason of a record that is an event, and still fits no row."""
    return f"record: cannot be stored ({error_name})"
