"""Events that a search found: small columns of the index, and the records that follow by key, each checked."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

import msgspec

from trailhouse.proof.standing import Standing
from trailhouse.query.budget import Meter
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.codec import decode, decode_events
from trailhouse.schemas.errors import InvalidEventError, StorageLimitError
from trailhouse.schemas.record_hash import record_key
from trailhouse.store import ClickHouse

HEAVY_RECORD_BYTES = 1_048_576
"""A record above this is a row with its size and digest; `get_event` has it whole."""
PAGE_RECORD_BYTES = 8_388_608
"""Of all records of a page: a page that would hold more ends early, and its cursor goes on."""
_VALUE_BYTES_PER_QUERY = 40_000
"""A statement's values travel in its address, which servers and proxies bound."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_OF_NOTHING = sha256(b"").hexdigest()
_FIRST = dt.datetime.min.replace(tzinfo=dt.UTC)
_LAST = dt.datetime.max.replace(tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
T = TypeVar("T")
KEY = "occurred_us, session_id, tenant_id, record_key"


class FoundEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event that was found. Text of an event is whatever its sender wrote: hostile until shown otherwise.

    Attributes:
        occurred_at: When it happened, by its producer's clock.
        session_id: Its session.
        tenant_id: Its tenant; None without one. So for every other field.
        event_id: Its id; None where its row is not in the log.
        type: What happened.
        cost_usd: US dollars, exact. None is unknown, never 0; so for every other number.
        duration_ms: How long it took, milliseconds.
        record_bytes: Size of its record.
        record_sha256: Digest of its record, in hex; None where its row is not in the log, or its record is blank.
        event: The event, with its `record` to the last byte; None where it is too heavy, or `problem` says why.
        problem: What contradicts what, where the row is not what was appended; never a value. None: all is well.
        standing: Who stands behind it, as docs/reads.md says; None where the policy enrols nobody, or nobody knows.
        topic_id: Where Kafka holds its first copy, with `partition` and `offset`.
        appended_at: When Kafka took that, by the broker's clock; the end of 2299 where only the sender's is known.
    """

    occurred_at: dt.datetime
    session_id: str
    tenant_id: str | None
    event_id: str | None = None
    type: str
    run_id: str | None = None
    parent_run_id: str | None = None
    agent_id: str | None = None
    actor_type: str | None = None
    actor_id: str | None = None
    provider: str | None = None
    correlation_id: str | None = None
    trace_id: str | None = None
    model: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    error_code: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: Decimal | None = None
    duration_ms: float | None = None
    record_bytes: int
    record_sha256: str | None = None
    event: AuditEvent | None = None
    problem: str | None = None
    standing: Standing | None = None
    topic_id: str | None = None
    partition: int | None = None
    offset: int | None = None
    appended_at: dt.datetime | None = None


class Row(NamedTuple):
    """One row of the index, in the order of `SMALL_COLUMNS`."""

    occurred_us: int
    session_id: str
    tenant_id: str
    record_key: bytes
    type: str
    run_id: str
    parent_run_id: str
    agent_id: str
    actor_type: str
    actor_id: str
    provider: str
    correlation_id: str
    trace_id: str
    model: str
    tool_name: str
    tool_call_id: str
    error_code: str
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cost_usd: Decimal | None
    duration_ms: float | None
    record_bytes: int

    @property
    def key(self) -> "EventKey":
        return EventKey(*self[:4])


class EventKey(NamedTuple):
    """What tells one event from every other, in the order of time."""

    occurred_us: int
    session_id: str
    tenant_id: str
    record_key: bytes


class _Kept(NamedTuple):
    """What the log holds of one event, in the order of `_KEPT_COLUMNS`."""

    event_id: str
    record: bytes
    digest: str
    topic_id: str
    partition: int
    offset: int
    appended_at: dt.datetime


_Decoded = AuditEvent | InvalidEventError
"""What a record is, or why it is no event."""
SMALL_COLUMNS = ", ".join(Row._fields)
LOG_COLUMNS = SMALL_COLUMNS.replace("record_bytes", "toUInt32(length(record)) AS record_bytes")
"""The same of the log, which has the records."""
_TEXTS = (
    "run_id", "parent_run_id", "agent_id", "actor_type", "actor_id", "provider", "correlation_id", "trace_id",
    "model", "tool_name", "tool_call_id", "error_code",
)  # fmt: skip
_NUMBERS = ("input_tokens", "output_tokens", "total_tokens", "cost_usd", "duration_ms", "record_bytes")  # fmt: skip
_KEPT_COLUMNS = (
    "event_id, if(length(record) <= {heavy:UInt64}, record, '') AS small_record, lower(hex(SHA256(record))),"
    " kafka_topic_id, kafka_partition, kafka_offset, appended_at"
)


_FIRST_OF_COPIES = (
    "ORDER BY notEmpty(record), least(toUnixTimestamp64Milli(appended_at), 4398046511103),"
    f" kafka_offset % 4194304 LIMIT 1 BY {KEY}, event_id"
)
"""The copy that stays when ClickHouse merges, by the log's `ver`; but of any that is blank, the blank one: an order of
erasure stands, whatever was stored after it. To cut copies takes a third less of the engine than FINAL does."""


def moment_of(microseconds: int) -> dt.datetime:
    """Return the time so many microseconds after 1970 UTC, aware; what Python has no date for is its first or last."""
    try:
        return _EPOCH + dt.timedelta(microseconds=microseconds)
    except OverflowError:
        return _FIRST if microseconds < 0 else _LAST


def with_records(
    clickhouse: ClickHouse,
    rows: Sequence[Row],
    meter: Meter,
    heavy_bytes: int = HEAVY_RECORD_BYTES,
) -> list[FoundEvent]:
    """Return what *rows* are, in their order, each with its event: checked against its key and its columns.

    They are fewer than *rows*, the first of them, where the budget did not suffice for more.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    kept: dict[EventKey, _Kept] = {}
    done = 0
    pending = [*by_value_bytes(rows, lambda row: row.key)][::-1]
    while pending:
        part = pending.pop()
        try:
            kept |= _fetch(clickhouse, part, meter, heavy_bytes)
        except StorageLimitError:
            if len(part) == 1 or meter.is_spent:
                break
            half = len(part) // 2
            pending += [part[half:], part[:half]]
        else:
            done += len(part)
    events = _events_of(kept)
    return [_found(row, kept.get(row.key), events.get(row.key), heavy_bytes) for row in rows[:done]]


def light(rows: Sequence[Row]) -> list[Row]:
    """Return the first of *rows* whose records fit into one page; at least one."""
    total, taken = 0, 0
    for row in rows:
        total += row.record_bytes if row.record_bytes <= HEAVY_RECORD_BYTES else 0
        if taken and total > PAGE_RECORD_BYTES:
            break
        taken += 1
    return list(rows[:taken])


def _fetch(
    clickhouse: ClickHouse, rows: Sequence[Row], meter: Meter, heavy_bytes: int
) -> Mapping[EventKey, _Kept]:
    condition, values = keys_where([row.key for row in rows])
    sql = (
        f"SELECT {KEY}, {_KEPT_COLUMNS} FROM events_as_stored WHERE {condition} {_FIRST_OF_COPIES}"  # noqa: S608 - no value in it
    )
    wanted = {row.key for row in rows}
    found = clickhouse.query(
        sql,
        values | {"heavy": heavy_bytes},
        bytes_columns=("small_record",),
        settings=meter.settings(),
    ).rows
    by_key = ((EventKey(*row[:4]), _Kept(*row[4:])) for row in found)
    return {key: kept for key, kept in by_key if key in wanted}


def keys_where(keys: Sequence[EventKey]) -> tuple[str, dict[str, Any]]:
    """Return a condition on `events` that holds the rows of *keys* and hardly any others, and its values.

    The columns that lead the log's key come first. The rest keeps out what another tenant, or anybody, put at the
    same time into a session of that id: its records would be read, and sent, for nothing.
    """
    condition = (
        "session_id IN {sessions:Array(String)} AND tenant_id IN {tenants:Array(String)}"
        " AND occurred_us IN {times:Array(Int64)} AND hex(record_key) IN {keys:Array(String)}"
    )
    return condition, {
        "sessions": list(dict.fromkeys(key.session_id for key in keys)),
        "tenants": list(dict.fromkeys(key.tenant_id for key in keys)),
        "times": list(dict.fromkeys(key.occurred_us for key in keys)),
        "keys": list(dict.fromkeys(key.record_key.hex().upper() for key in keys)),
    }


def by_value_bytes(rows: Sequence[T], key_of: Callable[[T], EventKey]) -> Iterator[Sequence[T]]:
    """Yield *rows* in parts whose keys fit into the address of one statement."""
    start, size_bytes = 0, 0
    for place, row in enumerate(rows):
        # What an address does to it: three signs for each byte that is not plain, and a time and a key.
        key = key_of(row)
        size_bytes += 3 * len((key.session_id + key.tenant_id).encode()) + 75
        if size_bytes > _VALUE_BYTES_PER_QUERY:
            yield rows[start : place + 1]
            start, size_bytes = place + 1, 0
    if start < len(rows):
        yield rows[start:]


def _events_of(kept: Mapping[EventKey, _Kept]) -> Mapping[EventKey, _Decoded]:
    """Return the event that each record is, or why it is none: all at once, for half of what one by one costs."""
    records = {key: each.record for key, each in kept.items() if each.record}
    try:
        return dict(zip(records, decode_events([*records.values()]), strict=True))
    except InvalidEventError:
        return {key: _event_or_why_not(record) for key, record in records.items()}


def _event_or_why_not(record: bytes) -> _Decoded:
    try:
        return decode(record)
    except InvalidEventError as error:
        return error


def _found(row: Row, kept: _Kept | None, decoded: _Decoded | None, heavy_bytes: int) -> FoundEvent:
    fields: dict[str, Any] = {name: getattr(row, name) or None for name in _TEXTS}
    fields |= {name: getattr(row, name) for name in _NUMBERS}
    fields |= {
        "occurred_at": moment_of(row.occurred_us),
        "session_id": row.session_id,
        "tenant_id": row.tenant_id or None,
        "type": row.type,
    }
    if kept is None:
        return FoundEvent(
            **fields, problem="its record is not in the log; `trailhouse reconcile` compares all"
        )
    event, problem = _checked(row, kept, decoded, heavy_bytes)
    return FoundEvent(
        **fields,
        event_id=kept.event_id,
        record_sha256=None if kept.digest.lower() == _OF_NOTHING else kept.digest,
        event=event,
        problem=problem,
        topic_id=kept.topic_id,
        partition=kept.partition,
        offset=kept.offset,
        appended_at=kept.appended_at,
    )


def _checked(
    row: Row, kept: _Kept, decoded: _Decoded | None, heavy_bytes: int
) -> tuple[AuditEvent | None, str | None]:
    if kept.digest.lower() == _OF_NOTHING:
        return None, "its record is blank: it was erased, as the view `erasures` says, or altered"
    if bytes.fromhex(kept.digest)[: len(row.record_key)] != row.record_key:
        return None, "its record contradicts its hash"
    if row.record_bytes > heavy_bytes:
        return None, None
    if decoded is None or record_key(kept.record) != row.record_key:
        return None, "its record contradicts its size"
    if isinstance(decoded, InvalidEventError):
        return None, f"its record is not an event: {decoded}"
    if forged := _contradictions(row, decoded):
        return None, f"its record contradicts the columns {', '.join(forged)}"
    return decoded, None


def _contradictions(row: Row, event: AuditEvent) -> list[str]:
    """Return the columns by which the row was found and which its record does not bear out."""
    actor = event.actor
    true = {
        "session_id": event.session_id,
        "tenant_id": event.tenant_id or "",
        "type": event.type,
        "run_id": event.run_id or "",
        "occurred_us": (event.occurred_at - _EPOCH) // _MICROSECOND,
    }
    forged = [name for name, value in true.items() if getattr(row, name) != value]
    # An empty column finds nothing by itself; one that claims something must be right.
    claims = {
        "parent_run_id": event.parent_run_id,
        "agent_id": event.agent_id,
        "provider": event.provider,
        "correlation_id": event.correlation_id,
        "trace_id": event.trace_id,
        "actor_type": None if actor is None else actor.type,
        "actor_id": None if actor is None else actor.id,
    }
    return forged + [
        name for name, value in claims.items() if getattr(row, name) not in ("", value)
    ]
