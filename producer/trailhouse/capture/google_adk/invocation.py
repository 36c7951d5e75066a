"""One call of a runner: its run, the runs of the agents within it, and what it waits for."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from trailhouse.capture.google_adk.model_calls import ModelCalls
from trailhouse.capture.google_adk.tool_calls import ToolCalls
from trailhouse.capture.google_adk.values import call_asked_about, responses_in, text_of
from trailhouse.schemas import EventType

if TYPE_CHECKING:
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

SOURCE = "google_adk"

current: ContextVar[Invocation | None] = ContextVar("trailhouse_adk_invocation", default=None)
"""The invocation whose events are being made."""


class Invocation:
    """What is known of a runner's call while it lasts.

    Attributes:
        run: The call's run, which is its first agent's too: a runner round one agent is no run of its own.
        models: Its models' calls.
        tools: Its tools' calls.
    """

    def __init__(self, recorder: Recorder, session_id: str | None) -> None:
        self.run = recorder.open_run(
            session_id, source=SOURCE, is_deferred=True, begins_alone=False
        )
        self.models = ModelCalls()
        self.tools = ToolCalls()
        self._recorder = recorder
        self._agents: dict[tuple[str | None, str], Run] = {}
        self._by_name: dict[str, Run] = {}
        self._waits_for: dict[str, str] = {}
        self._is_asking = False
        self._answer = ""
        self._last_error: Any = None

    def described(self, context: Any) -> Run:
        """Name the run from the kit's own context of the invocation, and return it."""
        self.run.name(agent_id=getattr(context.agent, "name", None))
        self.run.note(invocation_id=context.invocation_id, user_id=context.user_id)
        return self.run

    def begin_agent(self, agent: Any, branch: str | None) -> None:
        """Open the run of an agent: the invocation's own for the one it starts with, a child for each other."""
        if not self._by_name and agent.name == self.run.agent_id:
            self._by_name[agent.name] = self.run
            self.run.begin()
            return
        around = getattr(agent.parent_agent, "name", "")
        parent = self._by_name.get(around) or self._recorder.current or self.run
        run = self._recorder.open_run(source=SOURCE, parent=parent, agent_id=agent.name)
        self._agents[branch, agent.name] = self._by_name[agent.name] = run

    def end_agent(self, agent: Any, branch: str | None, error: BaseException | None) -> None:
        """Close the run of an agent; the first one's ends with the runner's call."""
        run = self.run_of(agent.name, branch)
        self.models.settle(run, is_broken_off=error is not None)
        if self._agents.pop((branch, agent.name), None) is not None:
            run.end(error)

    def run_of(self, agent_name: str | None, branch: str | None) -> Run:
        """Return the run of the agent of this name, in this branch of parallel agents."""
        return self._agents.get((branch, agent_name or "")) or self.run

    def saw(self, event: Any) -> None:
        """Read an event that the runner hands out: what it asks for, whom it hands over to, what it answers."""
        if event.partial:
            return
        run = self.run_of(event.author, event.branch)
        waiting = event.long_running_tool_ids or ()
        for call in event.get_function_calls():
            asked = call_asked_about(call)
            if asked is not None:
                run.ask_approval(
                    str(asked.get("name")),
                    asked.get("args"),
                    call_id=asked.get("id"),
                    approval_id=call.id,
                    policy_name="tool_confirmation",
                )
            if call.id in waiting:
                self._waits_for[call.id] = call.name
                self._is_asking = self._is_asking or asked is not None
        for response in responses_in(event.content):
            self._waits_for.pop(response.id, None)
        if event.actions.transfer_to_agent:
            handed = {"from_agent_id": event.author, "to_agent_id": event.actions.transfer_to_agent}
            run.log(EventType.AGENT_HANDED_OFF, handed)
        if event.is_final_response():
            self._answer = text_of(event.content) or self._answer
        self._last_error = event if event.error_code else None

    def end(self, error: BaseException | None, *, is_aborted: bool) -> None:
        """End what is open; a tool, an agent or a model that has not ended by now ends as the invocation does."""
        self.tools.break_off(error)
        self.models.settle_all(is_broken_off=error is not None or is_aborted)
        for run in self._agents.values():
            run.end(error)
        if error is not None:
            self.run.end(error)
        elif is_aborted:
            self.run.end_as(EventType.RUN_CANCELLED, "its abort signal was set")
        else:
            self._complete()

    def _complete(self) -> None:
        if self._last_error is not None and not self._answer:
            self.run.end_as(EventType.RUN_FAILED, self._last_error)
            return
        if self._answer and self.run.parent is None:
            self.run.message(self._answer, role="assistant")
        if not self._waits_for:
            self.run.end()
            return
        if not self._is_asking:
            names = ", ".join(sorted(set(self._waits_for.values())))
            self.run.log(EventType.SESSION_PAUSED, {"reason": f"waits for {names}"})
        self.run.pause()
