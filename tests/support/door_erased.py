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
