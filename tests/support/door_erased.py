"""A run with usage, an approval and a conflict, of each some records that hold what is to be erased."""

import datetime as dt
import uuid
from typing import Any, NamedTuple

from trailhouse.schemas import AuditEvent

GONE = "ada@example.org"
"""What stands in each record that is erased."""
SESSION, RUN = "s-9", "run-9"
_CALL = {"tool_name": "book", "tool_call_id": "c-1", "approval_id": "a-1"}
TWIN = str(uuid.uuid5(uuid.NAMESPACE_OID, "twin"))
"""The id of two contents, one of which is erased."""
_DATA: tuple[tuple[str, dict[str, Any]], ...] = (
    ("run_started", {}),
    ("token_usage_updated", {"cost_usd": "0.5", "input_tokens": 3, "note": GONE}),
    ("token_usage_updated", {"cost_usd": "0.25", "input_tokens": 4}),
    ("tool_approval_requested", {**_CALL, "arguments": {"to": GONE}}),
    ("tool_approval_granted", {**_CALL, "approver": {"type": "user", "id": GONE}}),
    ("tool_call_started", _CALL),
    ("tool_call_completed", {**_CALL, "result": GONE}),
    ("note_taken", {"text": GONE}),
    ("note_taken", {"text": "another content of that id"}),
    ("note_taken", {"text": GONE, "place": 2}),
    ("run_completed", {"cost_usd": "0.75", "token_usage": {"input_tokens": 7}}),
)
_TWINS = (7, 8)


class Stood(NamedTuple):
    """One record, and whether it is to be erased."""

    event: AuditEvent
    is_erased: bool


def stood() -> list[Stood]:
    """Return them in order of time, which is that of appending."""
    return [
        Stood(
            AuditEvent(
                type=name,
                session_id=SESSION,
                tenant_id="acme",
                run_id=RUN,
                agent_id="agent-9",
                occurred_at=dt.datetime(2026, 10, 1, 12, 0, place, tzinfo=dt.UTC),
                event_id=TWIN
                if place in _TWINS
                else str(uuid.uuid5(uuid.NAMESPACE_OID, f"stood {place}")),
                data=data,
            ),
            GONE in str(data),
        )
        for place, (name, data) in enumerate(_DATA)
    ]


def stood_in_views() -> dict[str, list[tuple[Any, ...]]]:
    """Return statements on the views, and their rows once what is to be erased has been."""
    events = stood()
    left = [each.event for each in events if not each.is_erased]
    of_session = f"WHERE session_id = '{SESSION}'"
    return {
        f"SELECT toString(event_id), type, run_id, agent_id, tool_name FROM events {of_session}"
        " ORDER BY occurred_us": [
            (
                each.event_id, each.type,
                *(("", "", "") if is_erased else (RUN, "agent-9", str(each.data.get("tool_name", "")))),
            )
            for each, is_erased in events
        ],
        f"SELECT count(), countIf(position(data, '{GONE}') > 0) FROM events {of_session}": [
            (len(events), 0)
        ],
        f"SELECT run_id, status, events FROM runs {of_session}": [(RUN, "completed", len(left))],
        f"SELECT events, runs FROM sessions {of_session}": [(len(events), 1)],
        f"SELECT book, count(), countIf(isNull(cost_usd)), toString(sum(cost_usd)) FROM token_usage {of_session}"
        " GROUP BY book ORDER BY book": [("completed", 1, 0, "0.75"), ("updated", 2, 1, "0.25")],
        f"SELECT run_id, status FROM approvals {of_session} ORDER BY status": [("", "granted"), ("", "open")],
        f"SELECT run_id, status, events FROM tool_calls {of_session} ORDER BY run_id": [
            ("", "completed", 1), (RUN, "open", 1),
        ],
        f"SELECT type FROM events WHERE event_id = '{TWIN}'": [("note_taken",)] * 2,
    }  # fmt: skip
