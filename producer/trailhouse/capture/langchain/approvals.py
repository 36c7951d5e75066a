"""What a person is asked about calls of tools, and decides on them, in each form that LangGraph's users have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from trailhouse.producer.object_fields import read

if TYPE_CHECKING:
    from trailhouse.producer.recording.run import Run

GRANTS = ("approve", "accept", "edit")
REFUSALS = ("reject", "respond", "ignore", "response")


class Asked(NamedTuple):
    """A call of a tool that a person is asked about."""

    tool_name: str
    call_id: str | None
    approval_id: str


def requested_calls(value: Any) -> list[tuple[str, Any, str | None]]:
    """Return name, arguments and id of the calls that an interrupt's value asks about, in each form there is."""
    if read(value, "type") == "tool_approval":
        return [(str(read(value, "name")), read(value, "args"), read(value, "tool_call_id"))]
    requests = read(value, "action_requests")
    if isinstance(requests, list):
        return [(str(read(each, "name", "action")), read(each, "args"), None) for each in requests]
    older = value if isinstance(value, list) else [value]
    actions = [action for each in older if (action := read(each, "action_request")) is not None]
    return [(str(read(each, "action")), read(each, "args"), None) for each in actions]


def take_id(calls: list[Mapping[str, Any]], name: str, arguments: Any) -> str | None:
    """Return the id of the call that is meant, and take it from *calls*: two may be alike."""
    for call in calls:
        if call.get("name") == name and call.get("args") == arguments:
            calls.remove(call)
            return call.get("id")
    return None


def decisions_of(answer: Any) -> list[Any]:
    """Return the decisions that a person's answer holds; none where it is another answer."""
    found = read(answer, "decisions")
    found = found if isinstance(found, list) else answer if isinstance(answer, list) else [answer]
    return found if all(read(each, "type") in GRANTS + REFUSALS for each in found) else []


def decide(run: Run, call: Asked, decision: Any) -> None:
    """Record in *run* what was decided on *call*; a call that was answered in the tool's place was not granted."""
    kind = read(decision, "type")
    reason = read(decision, "message") or (None if kind in ("approve", "accept") else kind)
    run.decide_approval(
        is_granted=kind in GRANTS,
        tool_name=call.tool_name or None,
        call_id=call.call_id,
        approval_id=call.approval_id,
        reason=reason if isinstance(reason, str) else None,
    )
