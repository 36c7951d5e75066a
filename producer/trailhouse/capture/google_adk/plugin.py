"""The plugin that tells what happens within an invocation. It answers nothing, so it changes nothing."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from trailhouse.capture.google_adk.answers import record_answer
from trailhouse.capture.google_adk.invocation import Invocation, current
from trailhouse.capture.google_adk.values import responses_in, text_of

if TYPE_CHECKING:
    from trailhouse.producer.recording.guard import Guard
    from trailhouse.producer.recording.run import Run

NAME = "trailhouse"


class Hooks:
    """What the kit calls, each by keyword. Made a plugin by `plugin_class`, where the kit is.

    An exception of a plugin aborts the agent's run, and a result takes the place of the agent's own: nothing is
    raised unless that is asked for, and every hook returns None.
    """

    name = NAME

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def on_user_message_callback(self, *, invocation_context: Any, user_message: Any) -> None:
        """Record what the user says, or decides."""
        with self._guard:
            if (invocation := current.get()) is not None:
                run = invocation.described(invocation_context)
                text = text_of(user_message)
                if text and run.parent is None:
                    run.message(text, role="user")
                for response in responses_in(user_message):
                    record_answer(run, response, invocation_context.session.events)

    async def before_agent_callback(self, *, agent: Any, callback_context: Any) -> None:
        """Open the agent's run."""
        with self._guard:
            if (invocation := current.get()) is not None:
                context = callback_context.get_invocation_context()
                invocation.described(context)
                invocation.begin_agent(agent, context.branch)

    async def after_agent_callback(self, *, agent: Any, callback_context: Any) -> None:
        """Close it; this is called for a cancelled agent too."""
        error = sys.exc_info()[1]
        is_cancelled = isinstance(error, asyncio.CancelledError)
        self._end_agent(agent, callback_context, error if is_cancelled else None)

    async def on_agent_error_callback(
        self, *, agent: Any, callback_context: Any, error: BaseException
    ) -> None:
        """Close it as failed."""
        self._end_agent(agent, callback_context, error)

    def _end_agent(self, agent: Any, context: Any, error: BaseException | None) -> None:
        with self._guard:
            if (invocation := current.get()) is not None:
                invocation.end_agent(agent, context.get_invocation_context().branch, error)

    async def before_model_callback(self, *, callback_context: Any, llm_request: Any) -> None:
        """Note that a model is asked."""
        with self._guard:
            if (found := _found(callback_context)) is not None:
                invocation, run, _ = found
                invocation.models.begin(run, llm_request.model)

    async def after_model_callback(self, *, callback_context: Any, llm_response: Any) -> None:
        """Note what it used: at once, or once a stream is over."""
        with self._guard:
            if (found := _found(callback_context)) is not None:
                invocation, run, context = found
                mode = getattr(context.run_config, "streaming_mode", None)
                is_streamed = getattr(mode, "value", None) is not None
                invocation.models.answer(run, llm_response, is_streamed=is_streamed)

    async def on_model_error_callback(
        self, *, callback_context: Any, llm_request: Any, error: BaseException
    ) -> None:
        """Record that a model failed."""
        with self._guard:
            if (found := _found(callback_context)) is not None:
                invocation, run, _ = found
                invocation.models.fail(run, error)

    async def before_tool_callback(self, *, tool: Any, tool_args: Any, tool_context: Any) -> None:
        """Start a tool's call."""
        with self._guard:
            if (found := _found(tool_context)) is not None:
                invocation, run, _ = found
                invocation.models.settle(run)
                invocation.tools.begin(run, tool, tool_args, tool_context)

    async def after_tool_callback(
        self, *, tool: Any, tool_args: Any, tool_context: Any, result: Any
    ) -> None:
        """End it."""
        with self._guard:
            if (invocation := current.get()) is not None:
                invocation.tools.answer(tool, tool_context, result)

    async def on_tool_error_callback(
        self, *, tool: Any, tool_args: Any, tool_context: Any, error: BaseException
    ) -> None:
        """End it as failed, or as cancelled."""
        with self._guard:
            if (invocation := current.get()) is not None:
                invocation.tools.fail(tool_context, error)


def plugin_class() -> type[Hooks]:
    """Return the class of the kit's plugin."""
    from google.adk.plugins.base_plugin import BasePlugin

    return type("TrailhousePlugin", (Hooks, BasePlugin), {})


def _found(callback_context: Any) -> tuple[Invocation, Run, Any] | None:
    invocation = current.get()
    if invocation is None:
        return None
    context = callback_context.get_invocation_context()
    run = invocation.run_of(getattr(context.agent, "name", None), context.branch)
    return invocation, run, context
