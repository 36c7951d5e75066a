"""What ended a run: what it raised, or what a stream's reader is told."""

from __future__ import annotations

import asyncio
from typing import Any


def stream_error(result: Any, task: asyncio.Task[Any]) -> BaseException | None:
    """Return what ended the streamed run; None where it came to its own end.

    Some of it only the stream's reader is told, who may have left: what the reader would have been told is read here
    from where the SDK keeps it.
    """
    if task.cancelled():
        guardrails = getattr(result, "_input_guardrails_task", None)
        if guardrails is not None and guardrails.done() and not guardrails.cancelled():
            # A guardrail that raises cancels the run behind the stream.
            return _error_of(guardrails) or asyncio.CancelledError()
        return getattr(result, "_stored_exception", None) or asyncio.CancelledError()
    error = _error_of(task) or getattr(result, "_stored_exception", None)
    if error is not None or result.interruptions or result.final_output is not None:
        return error or _tripped(result)
    if result.max_turns is not None and result.current_turn > result.max_turns:
        from agents.exceptions import MaxTurnsExceeded

        return MaxTurnsExceeded(f"Max turns ({result.max_turns}) exceeded")
    if getattr(result, "_cancel_mode", "none") != "none":
        return asyncio.CancelledError()
    return _tripped(result)


def cause_of(error: BaseException) -> BaseException:
    """Return *error*, or the closing of a coroutine that was thrown away, at which the SDK's own clean-up raises."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, GeneratorExit):
        cause = cause.__context__
    return cause or error


def _tripped(result: Any) -> BaseException | None:
    for found in result.input_guardrail_results:
        if found.output.tripwire_triggered:
            from agents.exceptions import InputGuardrailTripwireTriggered

            return InputGuardrailTripwireTriggered(found)
    return None


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    # Not `task.exception()`: asyncio then holds it for told, and no longer logs what the application never asked for.
    return task._exception if hasattr(task, "_exception") else task.exception()
