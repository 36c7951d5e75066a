"""The record of a new event without the event: what a caller pays for each call of `log`.

Most events hold nothing but text, numbers and plain containers, and their record is then known without
building, copying and checking an `AuditEvent`. Whatever is unusual is left to that, and a test holds the
two against each other.
"""

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from trailhouse.schemas.event import MAX_ID_CHARACTERS, SCHEMA_VERSION
from trailhouse.schemas.event_type import is_type_name
from trailhouse.schemas.plain import MAX_DEPTH
from trailhouse.schemas.record import Actor, Envelope, Source, encode_fields
from trailhouse.schemas.uuid7 import is_canonical_uuid, uuid7

_ALREADY_PLAIN = frozenset({str, int, bool, type(None)}).issuperset
_TEXT_ONLY = frozenset({str}).issuperset
_OTHERS = frozenset({"type", "data", "metadata", "occurred_at", "actor"})
_now, _utc = dt.datetime.now, dt.UTC


class NewRecord(NamedTuple):
    """What is sent: the event's id, and its canonical bytes."""

    event_id: str
    record: bytes


def new_record(fields: Mapping[str, Any], source: Source) -> NewRecord | None:
    """Return the record of ``AuditEvent(**fields, source=source)``; None where only that can tell.

    *fields* holds no None. Nothing is raised: what breaks a rule gives None, for the event to refuse.
    """
    get = fields.get
    for name, value in fields.items():
        if type(value) is str:
            if not 0 < len(value) <= MAX_ID_CHARACTERS:
                return None
        elif name not in _OTHERS:
            return None
    kind, data, metadata, actor = get("type"), get("data", {}), get("metadata", {}), get("actor")
    occurred_at, event_id = get("occurred_at"), get("event_id")
    if occurred_at is None:
        occurred_at = _now(_utc)
    if event_id is None:
        event_id = uuid7()
    elif not is_canonical_uuid(event_id):
        return None
    if (
        not isinstance(kind, str)
        or not is_type_name(kind)
        or type(occurred_at) is not dt.datetime
        or occurred_at.tzinfo is not _utc
        or not occurred_at.microsecond  # whole seconds are written with their zeros
        or not (actor is None or (type(actor) is Actor and actor.is_well_typed()))
        or not is_plain(data)
        or not is_plain(metadata)
    ):
        return None
    stamped: dict[str, Any] = {
        **fields, "data": data, "metadata": metadata, "occurred_at": occurred_at, "event_id": event_id,
        "source": source, "schema_version": SCHEMA_VERSION,
    }  # fmt: skip
    try:
        return NewRecord(event_id, encode_fields(Envelope(**stamped)))
    except (TypeError, ValueError, RecursionError):
        return None


def is_plain(value: object, depth: int = 1) -> bool:
    """Tell whether *value* is an object whose plain form is itself; see `trailhouse.schemas.plain`."""
    return (
        type(value) is dict
        and depth <= MAX_DEPTH
        and _TEXT_ONLY(map(type, value))
        and (
            _ALREADY_PLAIN(map(type, value.values()))
            or all(_is_plain_item(item, depth) for item in value.values())
        )
    )


def _is_plain_item(item: object, depth: int) -> bool:
    kind = type(item)
    if kind is dict:
        return is_plain(item, depth + 1)
    if kind is list:
        return depth < MAX_DEPTH and all(_is_plain_item(each, depth + 1) for each in item)  # type: ignore[attr-defined]
    return _ALREADY_PLAIN((kind,)) or (kind is float and math.isfinite(item))  # type: ignore[arg-type]
