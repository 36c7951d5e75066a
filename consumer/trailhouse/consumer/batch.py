"""A batch: the records read since the last one closed, sorted into events and bad records. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from operator import methodcaller
from typing import NamedTuple, Protocol

import msgspec

from trailhouse.consumer.rows import EventRow, envelope_of, event_row
from trailhouse.schemas.config import WorkerConfig
from trailhouse.schemas.errors import InvalidEventError

HASH_BYTES = 16
MAX_APPENDED_MS = 10_413_791_999_999
"""The end of the year 2299, where ClickHouse's DateTime64 ends."""


class Received(Protocol):
    """What a batch asks of a Kafka record; confluent-kafka's `Message` without an error answers it."""

    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> object: ...


Headers = list[tuple[str, bytes | None]]
# Not called as a method: where a name is not UTF-8, confluent-kafka returns with an error set, and a
# method call that CPython has made quick for its place overlooks it until something else trips on it.
_headers = methodcaller("headers")


class BadRecord(NamedTuple):
    """A record that is no event, why, and its headers."""

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
        return cls(received, reason, list(headers) if isinstance(headers, list) else [])


class Span:
    """One partition's part of a batch."""

    __slots__ = (
        "first_appended_ms",
        "first_offset",
        "last_appended_ms",
        "last_offset",
        "record_hashes",
    )

    def __init__(self, offset: int, appended_ms: int) -> None:
        self.first_offset = offset
        self.last_offset = offset
        self.first_appended_ms = appended_ms
        self.last_appended_ms = appended_ms
        self.record_hashes: list[bytes] = []

    @property
    def records_hash(self) -> bytes:
        """The first half of the SHA-256 over the records' hashes in offset order."""
        return sha256(b"".join(self.record_hashes)).digest()[:HASH_BYTES]


class Limits(msgspec.Struct, frozen=True):
    """A batch closes at whichever of these it reaches first."""

    rows: int
    size_bytes: int
    age_seconds: float

    @classmethod
    def of(cls, config: WorkerConfig) -> "Limits":
        """Return the limits that the worker's settings name."""
        return cls(config.batch_rows, config.batch_bytes, config.batch_age_seconds)


class Batch:
    """Records in the order they were read; nothing of it is committed.

    `rows[i]` is the row of `events[i]`. A null record counts with the hash of no bytes.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._opened_at_seconds = 0.0
        self.rows: list[EventRow] = []
        self.events: list[Received] = []
        self.bad: list[BadRecord] = []
        self.spans: dict[int, Span] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self.rows) + len(self.bad)

    @property
    def is_full(self) -> bool:
        """Whether it has reached its rows or its bytes."""
        return len(self) >= self._limits.rows or self.size_bytes >= self._limits.size_bytes

    @property
    def is_due(self) -> bool:
        """Whether it should be stored now: it is full, or its first record has waited long enough."""
        if not len(self):
            return False
        return self.is_full or self._clock() - self._opened_at_seconds >= self._limits.age_seconds

    @property
    def next_offsets(self) -> dict[int, int]:
        """Each partition's offset to commit: that of the record after the last one held."""
        return {partition: span.last_offset + 1 for partition, span in self.spans.items()}

    def reasons(self) -> Iterator[tuple[str, int]]:
        """Yield the reasons of the bad records, the most frequent first."""
        yield from Counter(bad.reason for bad in self.bad).most_common()

    def add(self, received: Sequence[Received]) -> None:
        """Decode *received* and take each record in, as an event or as a bad record."""
        if received and not len(self):
            self._opened_at_seconds = self._clock()
        for message in received:
            record = message.value()
            content = record or b""
            partition, offset, appended_ms = place_of(message)
            digest = sha256(content).digest()[:HASH_BYTES]
            try:
                self.rows.append(
                    event_row(envelope_of(record), content, digest, partition, offset, appended_ms)
                )
                self.events.append(message)
            except InvalidEventError as error:
                self.bad.append(BadRecord.of(message, str(error)))
            span = self.spans.get(partition)
            if span is None:
                span = self.spans[partition] = Span(offset, appended_ms)
            span.last_offset = offset
            span.last_appended_ms = appended_ms
            span.record_hashes.append(digest)
            self.size_bytes += len(content)


def place_of(message: Received) -> tuple[int, int, int]:
    """Return partition, offset, and the broker's time in milliseconds since 1970 UTC."""
    appended_ms = message.timestamp()[1]
    if not 0 <= appended_ms <= MAX_APPENDED_MS:
        appended_ms = 0 if appended_ms < 0 else MAX_APPENDED_MS
    return message.partition(), message.offset(), appended_ms
