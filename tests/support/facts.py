"""Facts of events as the reader finds them in ClickHouse, made from events by the worker's own projection."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from trailhouse.consumer.batch.promoted import promote
from trailhouse.query.steps.event_facts import EventFacts
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.record_hash import record_key

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PROMOTED = (
    "model", "tool_name", "tool_call_id", "error_code", "input_tokens", "output_tokens", "total_tokens", "cost_usd",
    "duration_ms",
)  # fmt: skip


def facts_of(event: AuditEvent, appended_ms: int | None = None) -> EventFacts:
    """Return what a reader finds of *event*."""
    promoted: dict[str, Any] = dict(zip(_PROMOTED, promote(event.data), strict=True))
    return EventFacts(
        session_id=event.session_id,
        type=event.type,
        occurred_us=(event.occurred_at - _EPOCH) // dt.timedelta(microseconds=1),
        event_id=event.event_id,
        record_key=record_key(event.record),
        tenant_id=event.tenant_id or "",
        run_id=event.run_id or "",
        parent_run_id=event.parent_run_id or "",
        agent_id=event.agent_id or "",
        provider=event.provider or "",
        record_bytes=len(event.record),
        appended_ms=appended_ms,
        data=event.data,
        actor_type=event.actor.type if event.actor and event.actor.type else "",
        actor_id=event.actor.id if event.actor and event.actor.id else "",
        **promoted,
    )


def happened(*events: tuple[float, str, dict[str, Any]], **common: Any) -> list[EventFacts]:
    """Return facts of events of one session: each a second, a type, its fields; `data` is what is left."""
    return [
        facts_of(an_event(second, kind, **{**common, **fields})) for second, kind, fields in events
    ]


_ENVELOPE = frozenset(AuditEvent.__struct_fields__)


def an_event(second: float, type: str, **fields: Any) -> AuditEvent:
    """Return an event of session "s" at that second; what is no field of an event goes into its `data`."""
    return AuditEvent(type=type, **_as_fields(second, fields))


def _as_fields(second: float, fields: dict[str, Any]) -> dict[str, Any]:
    at = dt.datetime(2026, 10, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=second)
    envelope = {name: value for name, value in fields.items() if name in _ENVELOPE}
    data = {name: value for name, value in fields.items() if name not in _ENVELOPE}
    return {"session_id": "s", "occurred_at": at, "data": data} | envelope


def in_time(events: Iterable[AuditEvent]) -> list[EventFacts]:
    """Return facts of *events* in occurrence order."""
    return sorted(map(facts_of, events), key=lambda each: (each.occurred_us, each.record_key))
