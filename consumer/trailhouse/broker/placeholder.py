"""What is kept of records that are too large or cannot be read: where they stood, their size, a hash, a part. Pure."""

from typing import NamedTuple, Protocol

from trailhouse.broker.batch_headers import RawBatch
from trailhouse.schemas.record_hash import record_hash

KEPT_HEAD_BYTES = 32_768
KEPT_TAIL_BYTES = 32_768
"""Our encoder sorts keys: who numbered an event, and how, stands near its end."""


class Received(Protocol):
    """What a batch asks of a Kafka record; confluent-kafka's `Message` without an error answers it."""

    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> object: ...


class Placeholder(NamedTuple):
    """Stands in a batch for one record, or for a range of them; it answers what a `Received` answers.

    `size_bytes` and `digest`, a `record_hash`, are of all that Kafka holds: of the record's value, or of
    a whole batch as it lies in the log. `kept` is the beginning and the end of those bytes.
    """

    number: int
    first_offset: int
    last_offset: int
    records: int
    appended_ms: int
    size_bytes: int
    digest: bytes
    kept: bytes | None
    kept_key: bytes | None
    reason: str
    is_record: bool = False
    """Whether it stands for one record that Kafka gives, so that `digest` is of its value."""
    timestamp_kind: int = 0

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.first_offset

    def timestamp(self) -> tuple[int, int]:
        return self.timestamp_kind, self.appended_ms

    def key(self) -> bytes | None:
        return self.kept_key

    def value(self) -> bytes | None:
        return self.kept

    def headers(self) -> object:
        return None


def too_large(message: Received, limit_bytes: int) -> Placeholder:
    """Return what is kept of a record over *limit_bytes*."""
    value = message.value() or b""
    return Placeholder(
        number=message.partition(),
        first_offset=message.offset(),
        last_offset=message.offset(),
        records=1,
        appended_ms=message.timestamp()[1],
        size_bytes=len(value),
        digest=record_hash(value),
        kept=cut(value),
        kept_key=cut(message.key()),
        reason=f"record: is of {len(value)} bytes, and TRAILHOUSE_WORKER_MAX_RECORD_BYTES is {limit_bytes};"
        " its beginning and its end are kept",
        is_record=True,
        timestamp_kind=message.timestamp()[0],
    )


def deadly(message: Received, why: str) -> Placeholder:
    """Return what is kept of a record of which it is known that decoding it kills."""
    return too_large(message, 0)._replace(reason=f"record: cannot be decoded ({why})")


def unreadable(partition: int, offset: int, batch: RawBatch, why: str) -> Placeholder:
    """Return what stands for the records of *batch* from *offset* on, which nobody can read.

    Raises:
        ValueError: Its end is not known.
    """
    if batch.last_offset is None:
        raise ValueError("the end of the batch must be known")
    first = max(offset, batch.first_offset)
    return Placeholder(
        number=partition,
        first_offset=first,
        last_offset=batch.last_offset,
        records=min(batch.records, batch.last_offset - first + 1),
        appended_ms=batch.appended_ms,
        size_bytes=batch.size_bytes,
        digest=batch.digest,
        kept=batch.head,
        kept_key=None,
        reason=f"batch: cannot be read ({why}; codec {batch.codec}, {batch.size_bytes} bytes in the log);"
        " the beginning of its bytes is kept",
    )


def cut(content: bytes | None) -> bytes | None:
    """Return *content*, or its beginning and its end where it is long."""
    if content is None or len(content) <= KEPT_HEAD_BYTES + KEPT_TAIL_BYTES:
        return content
    return content[:KEPT_HEAD_BYTES] + content[-KEPT_TAIL_BYTES:]


def whole_last(received: Received) -> int:
    """Return the last offset for which *received* stands."""
    return received.last_offset if isinstance(received, Placeholder) else received.offset()


class Whole(NamedTuple):
    """What Kafka holds for a row of quarantine: up to which offset, how many records and bytes, their hash."""

    last_offset: int
    records: int
    size_bytes: int
    digest: bytes


def whole(received: Received) -> Whole:
    """Return what *received* stands for: itself, unless it is a placeholder."""
    if isinstance(received, Placeholder):
        return Whole(received.last_offset, received.records, received.size_bytes, received.digest)
    value = received.value() or b""
    return Whole(received.offset(), 1, len(value), record_hash(value))
