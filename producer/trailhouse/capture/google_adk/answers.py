"""What the user's side answers to an earlier run: decisions, and results that were waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.google_adk.values import (
    CONFIRMATION,
    call_asked_about,
    find_call,
    responses_in,
)
from trailhouse.schemas import EventType

if TYPE_CHECKING:
    from trailhouse.producer.recording.run import Run


def record_answer(run: Run, response: Any, events: Any) -> None:
    """Record the function response *response* in the run that it starts.

    Args:
        run: The run.
        response: A decision on a tool's call; or a tool's result, whose call an earlier run left open.
        events: The session until now.
    """
    call = find_call(events, response.id)
    if response.name == CONFIRMATION:
        _decide(run, response, (call_asked_about(call) if call is not None else None) or {})
        return
    run.log(EventType.SESSION_RESUMED, {"reason": f"{response.name} has answered"})
    answered = (each.id for event in events for each in responses_in(event.content))
    if call is not None and call.id not in answered:
        run.tool_call(call.name, call.args, call_id=call.id).start().complete(response.response)


def _decide(run: Run, response: Any, asked: dict[str, Any]) -> None:
    from google.adk.tools.tool_confirmation import ToolConfirmation

    decision = ToolConfirmation.from_response_dict(response.response or {})
    run.decide_approval(
        is_granted=decision.confirmed,
        tool_name=asked.get("name"),
        call_id=asked.get("id"),
        approval_id=response.id,
    )
