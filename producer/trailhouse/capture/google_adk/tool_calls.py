"""The tools of an invocation: one that waits for a decision, or was refused, has not run."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from trailhouse.capture.google_adk.values import plain

if TYPE_CHECKING:
    from trailhouse.producer.context import Binding
    from trailhouse.producer.recording.run import Run
    from trailhouse.producer.recording.tool_call import ToolCall

APPROVAL_REQUIRED = "approval_required"
PENDING = "pending"


class _OpenCall:
    def __init__(self, call: ToolCall, bound: Binding, *, may_wait: bool) -> None:
        self.call = call
        self.bound = bound
        self.may_wait = may_wait
        self.asked_at = dt.datetime.now(dt.UTC)


class ToolCalls:
    """The calls that are under way, each by the context object that the kit gives all of its hooks."""

    def __init__(self) -> None:
        self._open: dict[int, _OpenCall] = {}

    def begin(self, run: Run, tool: Any, arguments: Any, context: Any) -> None:
        """Start a call, and bind *run* while it lasts: each call has a context of its own.

        The kit asks whether the tool may run only after this hook. One that is made with a confirmation, and has no
        approval yet, is not said to have started before it has answered.
        """
        call = run.tool_call(tool.name, plain(arguments), call_id=context.function_call_id)
        decision = context.tool_confirmation
        is_approved = decision is not None and decision.confirmed
        may_wait = bool(getattr(tool, "_require_confirmation", False)) and not is_approved
        bound = run.bound()
        bound.__enter__()
        self._open[id(context)] = _OpenCall(call, bound, may_wait=may_wait)
        if not may_wait:
            call.start()

    def answer(self, tool: Any, context: Any, result: Any) -> None:
        """End a call that has answered, unless the answer is that it may not run."""
        entry = self._taken(context)
        if entry is None:
            return
        is_asked = context.function_call_id in context.actions.requested_tool_confirmations
        if entry.may_wait and (is_asked or _is_refusal(result, context)):
            return
        entry.call.start(at=entry.asked_at)
        if is_asked:  # the tool itself has asked, in the middle of its work
            entry.call.fail("it waits for a decision", code=APPROVAL_REQUIRED)
        elif tool.is_long_running and not result:
            entry.call.fail("its result comes later, from outside", code=PENDING)
        else:
            entry.call.complete(plain(result))

    def fail(self, context: Any, error: BaseException) -> None:
        """End a call that has raised, or was cancelled."""
        entry = self._taken(context)
        if entry is not None:
            entry.call.start(at=entry.asked_at)
            entry.call.fail(error)

    def break_off(self, error: BaseException | None) -> None:
        """End what is under way as the invocation ends."""
        while self._open:
            _, entry = self._open.popitem()
            if entry.call.is_open:
                entry.call.fail(
                    error or "its end was not reported", code=None if error else "no_end"
                )

    def _taken(self, context: Any) -> _OpenCall | None:
        entry = self._open.pop(id(context), None)
        if entry is not None:
            entry.bound.__exit__(None, None, None)
        return entry


def _is_refusal(result: Any, context: Any) -> bool:
    decision = context.tool_confirmation
    is_error = isinstance(result, dict) and result.keys() == {"error"}
    return decision is not None and not decision.confirmed and is_error
