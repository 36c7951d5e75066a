"""From a Kafka record to a row: pure, quick, and never raising on what a record may hold."""

import datetime as dt
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from msgspec.structs import astuple

from trailhouse.consumer.batch.promoted import promoted_columns
from trailhouse.schemas.codec import decode_envelope
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.record import Envelope
from trailhouse.store.block import Column
from trailhouse.store.native_format import column_of
from trailhouse.store.tables import EVENT_LOG

MAX_SCHEMA_VERSION = 65_535
MAX_SEQ = 2**64 - 1
EVENT_COLUMNS = (
    "session_id", "tenant_id", "event_id", "record_key", "type", "run_id", "parent_run_id", "agent_id",
    "occurred_us", "actor_type", "actor_id", "provider", "correlation_id", "trace_id",
    "producer_id", "seq", "model", "tool_name", "tool_call_id", "error_code",
    "input_tokens", "output_tokens", "total_tokens", "cost_usd", "duration_ms",
    "schema_version", "record", "kafka_partition", "kafka_offset", "appended_at",
)  # fmt: skip
QUARANTINE_COLUMNS = (
    "kafka_partition", "kafka_offset", "appended_at", "last_offset", "size_bytes", "record_hash", "key", "record",
    "headers", "reason", "worker_version", "quarantined_at",
)  # fmt: skip
LEDGER_COLUMNS = (
    "kafka_partition", "first_offset", "last_offset", "stored_rows", "quarantined_rows", "records_hash",
    "worker_version", "written_at",
)  # fmt: skip
INCIDENT_COLUMNS = (
    "kafka_partition", "first_offset", "last_offset", "kind", "detail", "worker_version", "noticed_at",
)  # fmt: skip

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def envelope_of(record: bytes | None) -> Envelope:
    """Return the envelope that *record* holds.

    Raises:
        InvalidEventError: It is not an event; names the field and the rule, never a value. Permanent.
    """
    if record is None:
        raise InvalidEventError("record", "is null: a Kafka record without a value is not an event")
    try:
        return decode_envelope(record).envelope
    except InvalidEventError:
        raise
    except Exception as error:
        # Whatever bytes may do to a decoder, they must not stop the records after them.
        raise InvalidEventError("record", f"cannot be decoded ({type(error).__name__})") from error


class EventRows:
    """Rows of events, encoded as they come: column by column, in the order of EVENT_COLUMNS."""

    def __init__(self) -> None:
        self._columns = [column_of(EVENT_LOG.columns[name]) for name in EVENT_COLUMNS]

    def __len__(self) -> int:
        return len(self._columns[0])

    def extend(self, columns: Sequence[Sequence[Any]]) -> None:
        """Append rows by *columns*, at least one; all of them or none.

        Raises:
            TypeError, ValueError, ArithmeticError: A value does not fit its column.
        """
        chunks = [
            column.encoded(values) for column, values in zip(self._columns, columns, strict=True)
        ]
        for column, chunk in zip(self._columns, chunks, strict=True):
            column.add(chunk)

    def columns(self) -> dict[str, Column]:
        """Return the columns by name; a block adds ORIGIN_COLUMNS."""
        return dict(zip(EVENT_COLUMNS, self._columns, strict=True))


class Coordinates(NamedTuple):
    """Where in the topic records stood and when the broker took them, in ms since 1970 UTC; a list each."""

    partitions: list[int]
    offsets: list[int]
    appended_ms: list[int]


def event_columns(
    envelopes: Sequence[Envelope],
    records: list[bytes],
    keys: list[bytes],
    coordinates: Coordinates,
) -> list[Sequence[Any]]:
    """Return the rows of the events in *records*, at least one, each with its key in *keys* and its place.

    The values for each of EVENT_COLUMNS.
    """
    of = dict(
        zip(Envelope.__struct_fields__, zip(*map(astuple, envelopes), strict=True), strict=True)
    )
    actors, sources = of["actor"], of["source"]
    return [
        of["session_id"], _texts(of["tenant_id"]), of["event_id"], keys, of["type"], _texts(of["run_id"]),
        _texts(of["parent_run_id"]), _texts(of["agent_id"]), _microseconds(of["occurred_at"]),
        _parts(_actor_type, actors, ""), _parts(_actor_id, actors, ""),
        _texts(of["provider"]), _texts(of["correlation_id"]), _texts(of["trace_id"]),
        _texts(_parts(_producer_id, sources, None)), _seqs(_parts(_seq, sources, None)),
        *promoted_columns(of["data"]), _versions(of["schema_version"]), records, *coordinates,
    ]  # fmt: skip


_actor_type, _actor_id = attrgetter("type"), attrgetter("id")
_producer_id, _seq = attrgetter("producer_id"), attrgetter("seq")

# In most columns all values are there or none is, and to count is far quicker than to look at each.


def _texts(values: Sequence[str | None]) -> Sequence[str]:
    missing = values.count(None)
    if not missing:
        return values  # type: ignore[return-value]  # there is no None
    return [""] * missing if missing == len(values) else [value or "" for value in values]


def _parts(part: Callable[[Any], Any], wholes: Sequence[Any], blank: object) -> list[Any]:
    """Return *part* of each of *wholes*, and *blank* of those that are None."""
    missing = wholes.count(None)
    if not missing:
        return list(map(part, wholes))
    return [blank if whole is None else part(whole) for whole in wholes]


def _microseconds(moments: Sequence[dt.datetime]) -> list[int]:
    since = [moment - _EPOCH for moment in moments]
    return [(each.days * 86_400 + each.seconds) * 1_000_000 + each.microseconds for each in since]


def _seqs(values: list[int | None]) -> list[int | None]:
    """Return the producers' numbers, None where there is none that ClickHouse can hold."""
    known = [value for value in values if value is not None] if None in values else values
    if min(known, default=0) >= 0 and max(known, default=0) <= MAX_SEQ:  # type: ignore[type-var,operator]
        return values
    return [value if value is not None and 0 <= value <= MAX_SEQ else None for value in values]


def _versions(values: Sequence[int]) -> Sequence[int]:
    if max(values, default=0) <= MAX_SCHEMA_VERSION:
        return values
    return [min(value, MAX_SCHEMA_VERSION) for value in values]
