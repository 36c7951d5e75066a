"""Does the audit log hold exactly what was emitted, in order? The check at the end of the demo."""

from collections.abc import Iterable, Sequence

from trailhouse.schemas.errors import ComparisonError
from trailhouse.schemas.event import AuditEvent


def compare(emitted: Iterable[AuditEvent], read: Iterable[AuditEvent]) -> None:
    """Establish that *read* is *emitted*, session by session, event by event.

    1. Every session that was emitted is read, and no other.
    2. No event is missing, and none is there that was not emitted or stands twice.
    3. The events of a session stand in the order in which they were emitted.
    4. Every event is equal, to the last byte of its record.

    Raises:
        ComparisonError: Names the session, the event and what differs. Permanent.
    """
    before, after = _by_session(emitted), _by_session(read)
    for session_id in [*before, *(after.keys() - before.keys())]:  # 1
        _compare_session(session_id, before.get(session_id, []), after.get(session_id, []))


def _compare_session(
    session_id: str, before: Sequence[AuditEvent], after: Sequence[AuditEvent]
) -> None:
    known = {event.event_id: event for event in before}
    seen: set[str] = set()
    for event in after:
        if event.event_id not in known:  # 2
            raise _difference(session_id, event.event_id, "is in the log and was never emitted")
        # 4
        if event != known[event.event_id] or event.record != known[event.event_id].record:
            raise _difference(session_id, event.event_id, _alteration(known[event.event_id], event))
        if event.event_id in seen:  # 2
            raise _difference(session_id, event.event_id, "is in the log twice")
        seen.add(event.event_id)
    for position, event in enumerate(before):
        if event.event_id not in seen:  # 2
            raise _difference(session_id, event.event_id, "is missing from the log")
        if after[position].event_id != event.event_id:  # 3
            raise _difference(
                session_id,
                event.event_id,
                f"is out of order: emitted as number {position + 1},"
                f" read as number {_position(event, after) + 1}",
            )


def _alteration(before: AuditEvent, after: AuditEvent) -> str:
    names = [
        name
        for name in AuditEvent.__struct_fields__
        if getattr(before, name) != getattr(after, name)
    ]
    what = f"field {', '.join(names)}" if names else "bytes of the record"
    return f"was altered: {what} as read is not as emitted"


def _position(event: AuditEvent, events: Sequence[AuditEvent]) -> int:
    return next(index for index, other in enumerate(events) if other.event_id == event.event_id)


def _by_session(events: Iterable[AuditEvent]) -> dict[str, list[AuditEvent]]:
    sessions: dict[str, list[AuditEvent]] = {}
    for event in events:
        sessions.setdefault(event.session_id, []).append(event)
    return sessions


def _difference(session_id: str, event_id: str, what: str) -> ComparisonError:
    return ComparisonError(f"session {session_id}, event {event_id}: {what}")
