"""Notes the tools that fail while the model is told a friendly text: run hooks show that as an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from trailhouse.capture.openai_agents.watching import watched

if TYPE_CHECKING:
    from collections.abc import Callable

TIMED_OUT = "ToolTimeoutError"
ANSWERED_FOR = "tool_error"


def watch_tool_failures() -> Callable[[], None]:
    """Watch how tools end until what is returned is called.

    With a version that has not these functions, a tool whose error the SDK turns into text looks completed.
    """
    from agents import tool
    from agents.run_internal import tool_execution

    # Private, but the only places that see a tool's exception before it becomes a text, also where tracing is off.
    replaced = [
        _replace(tool, "maybe_invoke_function_tool_failure_error_function", _noting_error),
        _replace(tool_execution, "maybe_invoke_function_tool_failure_error_function", _noting_error),
        _replace(tool_execution, "_invoke_function_tool_with_metadata", _noting_outcome),
    ]  # fmt: skip

    def undo() -> None:
        for put_back in replaced:
            put_back()

    return undo


def _replace(module: Any, name: str, wrap: Callable[[Any], Any]) -> Callable[[], None]:
    original = getattr(module, name, None)
    if original is None:
        return lambda: None
    ours = wrap(original)
    setattr(module, name, ours)

    def put_back() -> None:
        if getattr(module, name) is ours:
            setattr(module, name, original)

    return put_back


def _noting_error(original: Any) -> Any:
    async def noting(*args: Any, **kwargs: Any) -> Any:
        watch = watched.get()
        if watch is not None:
            watch.tools.fail(kwargs.get("context"), kwargs.get("error"))
        return await original(*args, **kwargs)

    return noting


def _noting_outcome(original: Any) -> Any:
    async def noting(*args: Any, **kwargs: Any) -> Any:
        watch = watched.get()
        if watch is None:
            return await original(*args, **kwargs)
        context, tool = kwargs.get("context"), kwargs.get("function_tool")
        begun_seconds = time.monotonic()
        watch.tools.executes(context, tool)
        try:
            outcome = await original(*args, **kwargs)
        except BaseException as error:
            watch.tools.fail(context, error)
            raise
        code = _failure_of(outcome, tool, time.monotonic() - begun_seconds)
        if code is None:
            watch.tools.returned(context, getattr(outcome, "output", None))
        else:
            watch.tools.fail(context, getattr(outcome, "output", None), code)
        return outcome

    return noting


def _failure_of(outcome: Any, tool: Any, took_seconds: float) -> str | None:
    """Return the code of a failure that the SDK answered for the tool; None where the tool answered itself."""
    limit_seconds = getattr(tool, "timeout_seconds", None)
    is_over_time = isinstance(limit_seconds, (int, float)) and took_seconds >= limit_seconds
    if is_over_time and getattr(tool, "timeout_error_function", None) is not None:
        return TIMED_OUT  # what a function of the application answers bears no mark
    if not getattr(outcome, "is_sdk_generated_error", False):
        return None
    return TIMED_OUT if is_over_time else ANSWERED_FOR
