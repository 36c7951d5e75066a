"""The run hooks that tell a run, before the application's own hooks, which see what they see without."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trailhouse.capture.openai_agents.watching import Watch
    from trailhouse.producer.recording.recorder import Recorder


def hooks_for(watch: Watch, recorder: Recorder, given: Any, *, strict: bool) -> Any:
    """Return hooks that tell *watch*, and then call what the application has *given*."""
    from agents.lifecycle import AgentHooksBase, RunHooks, RunHooksBase

    is_refused = isinstance(given, AgentHooksBase) or not isinstance(given, RunHooksBase)
    if given is not None and is_refused:
        return given  # for the SDK to refuse, in its own words
    return hooks_class()(watch, recorder, given if given is not None else RunHooks(), strict=strict)


class RecordingHooks:
    """The hooks, but for the SDK's own class that they are to be of; see `hooks_class`."""

    def __init__(self, watch: Watch, recorder: Recorder, given: Any, *, strict: bool) -> None:
        self._watch = watch
        self._given = given
        self._guard = functools.partial(recorder.guard, strict=strict)

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        from agents.tracing import get_current_trace

        with self._guard("on_agent_start"):
            self._watch.begin(get_current_trace())
        await self._given.on_agent_start(context, agent)

    async def on_llm_start(
        self, context: Any, agent: Any, system_prompt: Any, input_items: Any
    ) -> None:
        with self._guard("on_llm_start"):
            self._watch.model_called(context, agent, input_items)
        await self._given.on_llm_start(context, agent, system_prompt, input_items)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        with self._guard("on_llm_end"):
            self._watch.model_answered(agent, response)
        await self._given.on_llm_end(context, agent, response)

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        with self._guard("on_handoff"):
            self._watch.handed_off(from_agent, to_agent)
        await self._given.on_handoff(context, from_agent, to_agent)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        with self._guard("on_tool_start"):
            self._watch.tools.start(context, tool)
        await self._given.on_tool_start(context, agent, tool)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        with self._guard("on_tool_end"):
            self._watch.tools.complete(context, tool, result)
        await self._given.on_tool_end(context, agent, tool, result)


@functools.cache
def hooks_class() -> Any:
    """Return the hooks as a class of the SDK's, made when it is first needed.

    What else the SDK calls, now or in a newer version, is passed on to the application's hooks.
    """
    from agents.lifecycle import RunHooksBase

    known = vars(RecordingHooks).keys()
    others = {name for name in dir(RunHooksBase) if name.startswith("on_") and name not in known}
    passing = {name: _passed_on(name) for name in others}
    return type("RunHooks", (RecordingHooks, RunHooksBase), passing)


def _passed_on(name: str) -> Any:
    def pass_on(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._given, name)(*args, **kwargs)

    return pass_on
