"""The record of a new event without the event: what a caller pays for each call of `log`.

Most events hold nothing but text, numbers and plain containers, and their record is then known without
building, copying and checking an `AuditEvent`. Whatever is unusual is left to that, and a test holds the
two against each other.
"""

import datetime as dt
import math
from typing import Any

import msgspec

from trailhouse.schemas.event import MAX_ID_CHARACTERS, SCHEMA_VERSION
from trailhouse.schemas.event_type import is_type_name
from trailhouse.schemas.plain import MAX_DEPTH, MAX_VALUES
from trailhouse.schemas.record import Actor, Source, encode_fields, with_six_digits
from trailhouse.schemas.uuid7 import is_canonical_uuid, uuid7

GIVEN = (
    "type", "session_id", "run_id", "data", "metadata", "tenant_id", "actor", "agent_id", "parent_run_id", "provider",
    "correlation_id", "trace_id", "span_id", "event_id", "occurred_at",
)  # fmt: skip
"""What a caller of `log` may give, in the order in which `new_record` takes it."""

_PLAIN_KINDS = frozenset({str, int, bool, type(None)})
_ALREADY_PLAIN = _PLAIN_KINDS.issuperset
_TEXT_ONLY = frozenset({str}).issuperset
_now, _utc = dt.datetime.now, dt.UTC


class Fields(msgspec.Struct, omit_defaults=True, gc=False):
    """An `Envelope` made by position, for a sixth of what names cost; same fields, same order, same bytes."""

    actor: object = None
    agent_id: object = None
    correlation_id: object = None
    data: object = None
    event_id: object = None
    metadata: object = None
    occurred_at: object = None
    parent_run_id: object = None
    provider: object = None
    run_id: object = None
    schema_version: object = None
    session_id: object = None
    source: object = None
    span_id: object = None
    tenant_id: object = None
    trace_id: object = None
    type: object = None


def new_record(
    source: Source,
    type_: object,
    session_id: object,
    run_id: object = None,
    data: object = None,
    metadata: object = None,
    tenant_id: object = None,
    actor: object = None,
    agent_id: object = None,
    parent_run_id: object = None,
    provider: object = None,
    correlation_id: object = None,
    trace_id: object = None,
    span_id: object = None,
    event_id: object = None,
    occurred_at: object = None,
) -> tuple[str, bytes] | None:
    """Return id and record of an `AuditEvent` with what is given; None where only that can tell.

    None is what is not given. Nothing is raised: what breaks a rule gives None, for the event to refuse.
    """
    if type(session_id) is not str or not 0 < len(session_id) <= MAX_ID_CHARACTERS:
        return None
    for text in (
        run_id, tenant_id, agent_id, parent_run_id, provider, correlation_id, trace_id, span_id
    ):  # fmt: skip
        if text is not None and (type(text) is not str or not 0 < len(text) <= MAX_ID_CHARACTERS):
            return None
    if occurred_at is None:
        occurred_at = _now(_utc)
    if event_id is None:
        event_id = uuid7()
    elif type(event_id) is not str or not is_canonical_uuid(event_id):
        return None
    if (
        not isinstance(type_, str)
        or not is_type_name(type_)
        or type(occurred_at) is not dt.datetime
        or occurred_at.tzinfo is not _utc
        or not (actor is None or (type(actor) is Actor and actor.is_well_typed()))
        or not (data is None or is_plain(data))
        or not (metadata is None or is_plain(metadata))
    ):
        return None
    try:
        record = encode_fields(
            Fields(
                actor, agent_id, correlation_id, {} if data is None else data, event_id,
                {} if metadata is None else metadata, occurred_at, parent_run_id, provider, run_id, SCHEMA_VERSION,
                session_id, source, span_id, tenant_id, trace_id, type_,
            )
        )  # fmt: skip
        return event_id, record if occurred_at.microsecond else with_six_digits(record, occurred_at)
    except (TypeError, ValueError, RecursionError):
        return None


def is_plain(value: object) -> bool:
    """Tell whether *value* is an object whose plain form is itself; see `trailhouse.schemas.plain`.

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
