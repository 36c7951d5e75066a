"""The record of a new event without the event: what a caller pays for each call of `log`.

Most events hold nothing but text, numbers and plain containers, and their record is then known without
building, copying and checking an `AuditEvent`. Whatever is unusual is left to that, and a test holds the
two against each other.
"""

import datetime as dt
import math
from operator import attrgetter
from typing import Any

from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.event import MAX_ID_CHARACTERS, SCHEMA_VERSION
from trailhouse.schemas.event_type import EventType, is_type_name
from trailhouse.schemas.json_form import MAX_DEPTH, MAX_VALUES
from trailhouse.schemas.record import Actor, Source, encode_fields, with_six_digits
from trailhouse.schemas.uuid7 import is_canonical_uuid, uuid7

_TYPES = (str, EventType)
_PLAIN_KINDS = frozenset({str, int, bool, type(None)})
_ALREADY_PLAIN = _PLAIN_KINDS.issuperset
_optional_ids = attrgetter(
    "agent_id", "correlation_id", "parent_run_id", "provider", "run_id", "span_id", "tenant_id", "trace_id"
)  # fmt: skip
_TEXT_ONLY = frozenset({str}).issuperset
_now, _utc = dt.datetime.now, dt.UTC


def new_record(draft: EventDraft, source: Source) -> tuple[str, bytes] | None:
    """Return id and record of the `AuditEvent` that *draft* is; None where only that can tell.

    Nothing is raised: what breaks a rule gives None, for the event to refuse.
    """
    session_id = draft.session_id
    if type(session_id) is not str or not 0 < len(session_id) <= MAX_ID_CHARACTERS:
        return None
    ids = _optional_ids(draft)
    for text in ids:
        if text is not None and (type(text) is not str or not 0 < len(text) <= MAX_ID_CHARACTERS):
            return None
    agent_id, correlation_id, parent_run_id, provider, run_id, span_id, tenant_id, trace_id = ids
    type_, actor, data, metadata = draft.type, draft.actor, draft.data, draft.metadata
    occurred_at, event_id = draft.occurred_at, draft.event_id
    if occurred_at is None:
        occurred_at = _now(_utc)
    if event_id is None:
        event_id = uuid7()
    elif type(event_id) is not str or not is_canonical_uuid(event_id):
        return None
    if (
        type(type_) not in _TYPES  # one of another class may have code of its own
        or not is_type_name(type_)
        or type(occurred_at) is not dt.datetime
        or occurred_at.tzinfo is not _utc
        or not (actor is None or (type(actor) is Actor and actor.is_well_typed()))
        or not (data is None or is_json_form(data))
        or not (metadata is None or is_json_form(metadata))
    ):
        return None
    try:
        # Another by position: to set a field of a struct costs as much as to make a third of one.
        record = encode_fields(
            EventDraft(
                actor, agent_id, correlation_id, {} if data is None else data, event_id,
                {} if metadata is None else metadata, occurred_at, parent_run_id, provider, run_id, SCHEMA_VERSION,
                session_id, source, span_id, tenant_id, trace_id, type_,
            )
        )  # fmt: skip
        return event_id, record if occurred_at.microsecond else with_six_digits(record, occurred_at)
    except (TypeError, ValueError, RecursionError):
        return None


def is_json_form(value: object) -> bool:
    """Tell whether *value* is an object whose plain form is itself; see `trailhouse.schemas.json_form`.

    Level by level, which costs less than to go down into each; no may mean that only the long way can tell.
    """
    if type(value) is not dict or not _TEXT_ONLY(map(type, value)):
        return False
    if _ALREADY_PLAIN(map(type, value.values())):
        return True
    level = [item for item in value.values() if type(item) not in _PLAIN_KINDS]
    left_values = MAX_VALUES - len(value)
    for _ in range(1, MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict and _TEXT_ONLY(map(type, item)):
                inner = item.values()
            elif kind is list:
                inner = item
            elif kind is float and math.isfinite(item):
                continue
            else:
                return False
            if (left_values := left_values - len(inner)) < 0:
                return False
            if not _ALREADY_PLAIN(map(type, inner)):
                below += [each for each in inner if type(each) not in _PLAIN_KINDS]
        if not below:
            return True
        level = below
    return False
