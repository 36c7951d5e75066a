"""Fetch records by key, and turn them back into the events they are."""

import hashlib
from collections.abc import Sequence

from trailhouse.query.filters import Filter
from trailhouse.query.order import (
    STORED_COLUMNS,
    Key,
    Stored,
    in_append_order,
    keys_in_append_order,
    scope,
    scope_parameters,
)
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.codec import decode_events
from trailhouse.schemas.errors import IntegrityError, InvalidEventError
from trailhouse.store import ClickHouse

KEYS_PER_QUERY = 1_000
HASH_BYTES = 16


def fetch_session(clickhouse: ClickHouse, wanted: Filter) -> list[AuditEvent]:
    """Return every event of a session that the reader may see, in append order: one question.

    Raises:
        IntegrityError, StorageError: As for `fetch_events`.
    """
    sql = f"SELECT {STORED_COLUMNS} FROM events WHERE {scope(wanted)}"  # noqa: S608 - no value in it
    rows = clickhouse.query(sql, scope_parameters(wanted), bytes_columns=("record",)).rows
    ordered = in_append_order(map(Stored._make, rows))
    try:
        return _events([row.record for row in ordered], [row.record_hash for row in ordered])
    except IntegrityError:
        # Read again with what names the event; the usual read is spared that column.
        return fetch_events(clickhouse, wanted, keys_in_append_order(clickhouse, wanted))


def fetch_events(clickhouse: ClickHouse, wanted: Filter, keys: Sequence[Key]) -> list[AuditEvent]:
    """Return the events of *keys* in that order; one that was erased meanwhile is left out.

    Raises:
        IntegrityError: A stored record contradicts its own hash, or is no event. Permanent.
        StorageError: ClickHouse is away or refuses.
    """
    found: dict[Key, bytes] = {}
    for start in range(0, len(keys), KEYS_PER_QUERY):
        found |= _select(clickhouse, wanted, keys[start : start + KEYS_PER_QUERY])
    there = [key for key in keys if key in found]
    try:
        return _events([found[key] for key in there], [key.record_hash for key in there])
    except IntegrityError:
        return [_event_of(wanted, key, found[key]) for key in there]  # which says of which event


def _select(clickhouse: ClickHouse, wanted: Filter, keys: Sequence[Key]) -> dict[Key, bytes]:
    sql = f"""
        SELECT tenant_id, event_id, record_hash, record FROM events
        WHERE {scope(wanted)} AND event_id IN {{event_ids:Array(UUID)}}
    """  # noqa: S608 - no value in it
    event_ids = {"event_ids": list(dict.fromkeys(key.event_id for key in keys))}
    rows = clickhouse.query(
        sql, scope_parameters(wanted) | event_ids, bytes_columns=("record",)
    ).rows
    return {
        Key(tenant_id, event_id, record_hash): record
        for tenant_id, event_id, record_hash, record in rows
    }


def _event_of(wanted: Filter, key: Key, record: bytes) -> AuditEvent:
    try:
        [event] = _events([record], [key.record_hash])
    except IntegrityError as error:
        raise IntegrityError(
            f"session {wanted.session_id!r}: the stored record of event {key.event_id} {error}"
        ) from error
    return event


def _events(records: Sequence[bytes], hashes: Sequence[bytes]) -> list[AuditEvent]:
    for record, record_hash in zip(records, hashes, strict=True):
        if hashlib.sha256(record).digest()[:HASH_BYTES] != record_hash:
            raise IntegrityError("contradicts its hash: it was altered")
    try:
        return decode_events(records)
    except InvalidEventError as error:
        raise IntegrityError(f"is no event: {error}") from error
