"""Fetch records by key, and turn them back into the events they are."""

import hashlib
from collections.abc import Sequence

from trailhouse.query.filters import Filter
from trailhouse.query.order import Key, scope, scope_parameters
from trailhouse.schemas import AuditEvent, decode
from trailhouse.schemas.errors import IntegrityError, InvalidEventError
from trailhouse.store import ClickHouse

KEYS_PER_QUERY = 1_000
HASH_BYTES = 16


def fetch_events(clickhouse: ClickHouse, wanted: Filter, keys: Sequence[Key]) -> list[AuditEvent]:
    """Return the events of *keys* in that order; one that was erased meanwhile is left out.

    Raises:
        IntegrityError: A stored record contradicts its own hash, or is no event. Permanent.
        StorageError: ClickHouse is away or refuses.
    """
    if wanted.takes_all:
        found = _select(clickhouse, wanted, None)
    else:
        found = {}
        for start in range(0, len(keys), KEYS_PER_QUERY):
            found |= _select(clickhouse, wanted, keys[start : start + KEYS_PER_QUERY])
    return [_event(wanted.session_id, key, found[key]) for key in keys if key in found]


def _select(clickhouse: ClickHouse, wanted: Filter, keys: Sequence[Key] | None) -> dict[Key, bytes]:
    sql = f"SELECT tenant_id, event_id, record_hash, record FROM events WHERE {scope(wanted)}"  # noqa: S608 - no value in it
    parameters = scope_parameters(wanted)
    if keys is not None:
        sql += " AND event_id IN {event_ids:Array(UUID)}"
        parameters["event_ids"] = list(dict.fromkeys(key.event_id for key in keys))
    rows = clickhouse.query(sql, parameters, bytes_columns=("record",)).rows
    return {
        Key(tenant_id, event_id, record_hash): record
        for tenant_id, event_id, record_hash, record in rows
    }


def _event(session_id: str, key: Key, record: bytes) -> AuditEvent:
    record_of = f"session {session_id!r}: the stored record of event {key.event_id}"
    if hashlib.sha256(record).digest()[:HASH_BYTES] != key.record_hash:
        raise IntegrityError(f"{record_of} contradicts its hash: it was altered")
    try:
        return decode(record)
    except InvalidEventError as error:
        raise IntegrityError(f"{record_of} is no event: {error}") from error
