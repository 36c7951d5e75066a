"""Fetch records by key, and turn them back into the events they are; what was altered is marked."""

import datetime as dt
import uuid
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from trailhouse.query.filtering.conditions import scope, scope_parameters
from trailhouse.query.filtering.filters import SessionFilter
from trailhouse.query.session_log.append_order import (
    STORED_COLUMNS,
    Key,
    Stored,
    in_append_order,
    keys_in_append_order,
)
from trailhouse.query.session_log.erasing_orders import erasing_orders
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.codec import decode_events
from trailhouse.schemas.errors import IntegrityError, InvalidEventError
from trailhouse.schemas.record_hash import record_hashes, record_key, record_keys
from trailhouse.store import ClickHouse

KEYS_PER_QUERY = 1_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_session, _tenant, _run = map(attrgetter, ("session_id", "tenant_id", "run_id"))
_type, _occurred_at = map(attrgetter, ("type", "occurred_at"))


class AlteredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A stored row that is not what was appended: what it says cannot be trusted.

    Attributes:
        session_id: The session that the row claims.
        tenant_id: The tenant that it claims, None for none.
        event_id: The event's id that it claims.
        type: The type that it claims.
        record: The bytes it holds; evidence, and no event.
        reason: What contradicts what; never a value.
        erased_by: The number of the operator's order by which the record was erased; None where none is stored.
    """

    session_id: str
    tenant_id: str | None
    event_id: str
    type: str
    record: bytes
    reason: str
    erased_by: int | None = None


class _Row(NamedTuple):
    """What a row claims to be, in the order of `_CLAIMS`, and its record."""

    tenant_id: str
    event_id: str
    record_key: bytes
    type: str
    run_id: str
    occurred_us: int
    record: bytes

    @property
    def key(self) -> Key:
        return Key(self.tenant_id, self.event_id, self.record_key)


_CLAIMS = "tenant_id, event_id, record_key, type, run_id, occurred_us"


def fetch_session(clickhouse: ClickHouse, wanted: SessionFilter) -> list[AuditEvent | AlteredEvent]:
    """Return every event of a session that the reader may see, in append order: one question.

    Raises:
        StorageError: As for `fetch_events`.
    """
    sql = f"SELECT {STORED_COLUMNS} FROM events WHERE {scope(wanted)}"  # noqa: S608 - no value in it
    rows = clickhouse.query(sql, scope_parameters(wanted), bytes_columns=("record",)).rows
    ordered = in_append_order(map(Stored._make, rows))
    try:
        return [
            *_events(wanted, [row.record for row in ordered], [row.record_key for row in ordered])
        ]
    except IntegrityError:
        # Read again with what names the event; the usual read is spared those columns.
        return _examined(clickhouse, wanted, keys_in_append_order(clickhouse, wanted))


def fetch_events(
    clickhouse: ClickHouse, wanted: SessionFilter, keys: Sequence[Key]
) -> list[AuditEvent | AlteredEvent]:
    """Return the events of *keys* in that order; one that was erased meanwhile is left out.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: dict[Key, bytes] = {}
    for start in range(0, len(keys), KEYS_PER_QUERY):
        found |= _select(clickhouse, wanted, keys[start : start + KEYS_PER_QUERY])
    # What was erased between the two questions is not an error of the reader.
    there = [key for key in keys if key in found]
    try:
        return [*_events(wanted, [found[key] for key in there], [key.record_key for key in there])]
    except IntegrityError:
        return _examined(clickhouse, wanted, keys)


def _select(clickhouse: ClickHouse, wanted: SessionFilter, keys: Sequence[Key]) -> dict[Key, bytes]:
    rows = _rows(clickhouse, wanted, keys, "tenant_id, event_id, record_key, record")
    return {
        Key(tenant_id, event_id, record_key): record
        for tenant_id, event_id, record_key, record in rows
    }


def _rows(
    clickhouse: ClickHouse, wanted: SessionFilter, keys: Sequence[Key], columns: str
) -> list[tuple[Any, ...]]:
    sql = f"""
        SELECT {columns} FROM events
        WHERE {scope(wanted)} AND event_id IN {{event_ids:Array(UUID)}}
    """  # noqa: S608 - no value in it
    event_ids = {"event_ids": list(dict.fromkeys(key.event_id for key in keys))}
    return clickhouse.query(
        sql, scope_parameters(wanted) | event_ids, bytes_columns=("record",)
    ).rows


def _events(wanted: SessionFilter, records: Sequence[bytes], keys: list[bytes]) -> list[AuditEvent]:
    """Return what *records* hold, where all is in order.

    Raises:
        IntegrityError: One of them is not what was appended: look at each.
    """
    if record_keys(record_hashes(records)) != keys:
        raise IntegrityError("a record contradicts its hash")
    # The hash is part of the sorting key, so that a second such row was given another key by hand.
    if len(set(keys)) != len(keys):
        raise IntegrityError("a record stands in two rows that ClickHouse would have merged")
    try:
        events = decode_events(records)
    except InvalidEventError as error:
        raise IntegrityError(f"a record is not an event: {error}") from error
    if not _answers(wanted, events):
        raise IntegrityError("a row was found by a column that contradicts its record")
    return events


def _answers(wanted: SessionFilter, events: Sequence[AuditEvent]) -> bool:
    """Tell whether each of *events* is wanted by what its own record says."""
    return (
        set(map(_session, events)) <= {wanted.session_id}
        and (wanted.tenant_id is None or set(map(_tenant, events)) <= {wanted.tenant_id})
        and (wanted.run_id is None or set(map(_run, events)) <= {wanted.run_id})
        and (wanted.types is None or set(map(_type, events)) <= set(wanted.types))
        and _is_within(wanted, events)
    )


def _is_within(wanted: SessionFilter, events: Sequence[AuditEvent]) -> bool:
    if not events or (wanted.since_us is None and wanted.until_us is None):
        return True
    moments = list(map(_occurred_at, events))
    first_us, last_us = _microseconds(min(moments)), _microseconds(max(moments))
    return (wanted.since_us is None or first_us >= wanted.since_us) and (
        wanted.until_us is None or last_us <= wanted.until_us
    )


def _examined(
    clickhouse: ClickHouse, wanted: SessionFilter, keys: Sequence[Key]
) -> list[AuditEvent | AlteredEvent]:
    """Look at the row of each of *keys*, and mark those that were altered."""
    found: dict[Key, list[AuditEvent | AlteredEvent]] = {}
    for start in range(0, len(keys), KEYS_PER_QUERY):
        for row in _rows(
            clickhouse, wanted, keys[start : start + KEYS_PER_QUERY], f"{_CLAIMS}, record"
        ):
            claimed = _Row._make(row)
            found.setdefault(claimed.key, []).append(_event_of(wanted, claimed))
    blank = [key.record_key for key, same in found.items() if _is_blank(same[0])]
    orders = erasing_orders(clickhouse, blank) if blank else {}
    for key, same in found.items():
        if (number := orders.get(key.record_key)) is not None:
            found[key] = [_erased(each, number) if _is_blank(each) else each for each in same]
    # An honest row first: a forged twin must not take its place in the order.
    for same in found.values():
        same.sort(key=lambda each: isinstance(each, AlteredEvent))
    return [found[key].pop(0) for key in keys if found.get(key)]


def _event_of(wanted: SessionFilter, row: _Row) -> AuditEvent | AlteredEvent:
    if not row.record:
        return _altered(wanted, row, "its record is blank, and no order of erasure names it")
    if record_key(row.record) != row.record_key:
        return _altered(wanted, row, "its record contradicts its hash")
    try:
        [event] = decode_events([row.record])
    except InvalidEventError as error:
        return _altered(wanted, row, f"its record is not an event: {error}")
    if forged := _contradictions(wanted, row, event):
        return _altered(wanted, row, f"its record contradicts the columns {', '.join(forged)}")
    return event


def _contradictions(wanted: SessionFilter, row: _Row, event: AuditEvent) -> list[str]:
    """Return the columns by which readers find a row and which are not as its record says."""
    pairs: dict[str, tuple[object, object]] = {
        "session_id": (wanted.session_id, event.session_id),
        "tenant_id": (row.tenant_id, event.tenant_id or ""),
        "event_id": (uuid.UUID(row.event_id), uuid.UUID(event.event_id)),
        "type": (row.type, event.type),
        "run_id": (row.run_id, event.run_id or ""),
        "occurred_us": (row.occurred_us, _microseconds(event.occurred_at)),
    }
    return [name for name, (claimed, true) in pairs.items() if claimed != true]


def _altered(wanted: SessionFilter, row: _Row, reason: str) -> AlteredEvent:
    return AlteredEvent(
        session_id=wanted.session_id,
        tenant_id=row.tenant_id or None,
        event_id=row.event_id,
        type=row.type,
        record=row.record,
        reason=reason,
    )


def _is_blank(item: AuditEvent | AlteredEvent) -> bool:
    return isinstance(item, AlteredEvent) and not item.record


def _erased(item: AuditEvent | AlteredEvent, number: int) -> AuditEvent | AlteredEvent:
    return msgspec.structs.replace(
        item, reason=f"its record was erased by order {number}", erased_by=number
    )


def _microseconds(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
