"""Approvals: what a paused run asks for, and what was decided before it was resumed."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from trailhouse.capture.openai_agents.plain_values import arguments_of, read, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trailhouse.producer.recording.run import Run


MAX_PAUSED = 10_000


class PausedSessions:
    """The sessions of paused runs, for those whose state goes through its text, which does not hold them."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[tuple[object, ...], str] = OrderedDict()

    def keep(self, run: Run, waiting: Iterable[Any]) -> None:
        """Remember the session of *run*, which is *waiting*."""
        if run.session_id is not None:
            for item in waiting:
                self._sessions[_key_of(item)] = run.session_id
        while len(self._sessions) > MAX_PAUSED:
            self._sessions.popitem(last=False)

    def session_of(self, waiting: Iterable[Any]) -> str | None:
        """Return the session of the run that was *waiting* for the same."""
        found = [self._sessions.pop(_key_of(item), None) for item in waiting]
        return next((each for each in found if each is not None), None)


def _key_of(item: Any) -> tuple[object, ...]:
    return text_of(item.agent, "name"), text_of(item, "call_id"), item.arguments


class CallbackApprovals:
    """Approvals for an MCP server of the provider that a function of the application decides on within *run*."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._requests: dict[str, Any] = {}

    def note_requests(self, output: Iterable[Any]) -> None:
        """Remember what the model's *output* asks for."""
        for item in output:
            if text_of(item, "type") == "mcp_approval_request":
                self._requests[str(read(item, "id"))] = item

    def tell_decisions(self, input_items: Iterable[Any]) -> None:
        """Tell what was decided, as the next call's *input_items* tell the model."""
        for item in input_items if self._requests else ():
            if text_of(item, "type") != "mcp_approval_response":
                continue
            call_id = str(read(item, "approval_request_id"))
            request = self._requests.pop(call_id, None)
            if request is not None:
                name, arguments = str(read(request, "name")), read(request, "arguments")
                self._run.ask_approval(
                    name, arguments_of(arguments), call_id=call_id, policy_name="needs_approval"
                )
                self._run.decide_approval(
                    is_granted=read(item, "approve") is True,
                    tool_name=name,
                    call_id=call_id,
                    reason=text_of(item, "reason"),
                )


def tell_requests(run: Run, waiting: Iterable[Any], asked: set[str]) -> None:
    """Tell what *run* waits for, but for what a run inside it has asked; *asked* then holds all.

    Args:
        run: The run that is paused.
        waiting: The SDK's items of approval.
        asked: The calls for which somebody has asked.
    """
    for item in waiting:
        call_id = text_of(item, "call_id")
        if call_id is None or call_id not in asked:
            run.ask_approval(
                _name_of(item),
                arguments_of(item.arguments),
                call_id=call_id,
                policy_name="needs_approval",
            )
        if call_id is not None:
            asked.add(call_id)


def tell_decisions(run: Run, state: Any) -> None:
    """Tell what was decided on what *state*, which *run* resumes, waited for.

    What a nested agent waits for is decided in its own state, and told in its own run.
    """
    for item in state.get_interruptions():
        is_granted, reason = _decision(state, item)
        if is_granted is not None:
            run.decide_approval(
                is_granted=is_granted,
                tool_name=_name_of(item),
                call_id=text_of(item, "call_id"),
                reason=reason,
            )


def _decision(state: Any, item: Any) -> tuple[bool | None, str | None]:
    """Return whether *item* was granted, None where that is open, and what a rejection says."""
    context = state._context  # private: the SDK keeps decisions nowhere else
    asked = {
        "tool_namespace": item.tool_namespace,
        "existing_pending": item,
        "tool_lookup_key": item.tool_lookup_key,
    }
    name, call_id = _name_of(item), text_of(item, "call_id") or ""
    try:
        is_granted = context.get_approval_status(name, call_id, **asked)
        reason = context.get_rejection_message(name, call_id, **asked) if not is_granted else None
    except Exception:  # noqa: BLE001 - a nested agent's call may have the id of another one here
        return None, None
    return is_granted, reason


def _name_of(item: Any) -> str:
    return text_of(item, "qualified_name") or text_of(item, "name") or "tool"
