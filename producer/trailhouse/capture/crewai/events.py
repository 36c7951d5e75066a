"""What events of CrewAI's bus begin and end runs, and which answers they wait for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from trailhouse.capture.crewai.calls import Calls
from trailhouse.capture.crewai.feedback import Feedback
from trailhouse.capture.crewai.kickoffs import Kickoffs
from trailhouse.capture.crewai.values import plain, text

if TYPE_CHECKING:
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run


class CrewEvents:
    """Records events in the order and the context in which they are sent: handlers on the bus have neither."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.is_recording = True
        """False once it is taken out: an instrumentation that has wrapped `emit` since goes on calling us."""
        self.kickoffs = Kickoffs(recorder)
        self._feedback = Feedback(recorder)
        self._calls = Calls(recorder, self.kickoffs)

    def record(self, source: Any, event: Any) -> None:
        """Record *event*, which *source* has sent."""
        for part in (self, self._calls):
            handler = getattr(part, f"on_{event.type}", None)
            if handler is not None:
                handler(source, event)

    @property
    def _run(self) -> Run | None:
        return self.recorder.current

    def on_crew_kickoff_started(self, crew: Any, event: Any) -> None:
        agents = [*crew.agents, *([crew.manager_agent] if crew.manager_agent else [])]
        # A crew of one agent is that agent, in a frame.
        name = agents[0].role if len(agents) == 1 else event.crew_name
        asked = event.inputs or "\n".join(str(task.description) for task in crew.tasks)
        inputs = event.inputs or {}
        self.kickoffs.start(
            event,
            "crew",
            name,
            agents=agents,
            session_id=text(inputs.get("session_id")),
            asked=asked,
        )

    def on_crew_kickoff_completed(self, _crew: Any, event: Any) -> None:
        self.kickoffs.finish("crew", getattr(event.output, "raw", event.output))

    def on_crew_kickoff_failed(self, _crew: Any, event: Any) -> None:
        self.kickoffs.fail("crew", event.error)

    def on_flow_started(self, flow: Any, event: Any) -> None:
        if _is_inner(flow):
            return
        run = self.kickoffs.start(
            event, "flow", event.flow_name, agents=[], session_id=text(flow.flow_id),
            asked=event.inputs,
        )  # fmt: skip
        self._feedback.resumed(run, flow)

    def on_flow_finished(self, flow: Any, event: Any) -> None:
        if not _is_inner(flow):
            self.kickoffs.finish("flow", plain(event.result))

    def on_flow_failed(self, flow: Any, event: Any) -> None:
        if not _is_inner(flow):
            self.kickoffs.fail("flow", event.error)

    def on_flow_paused(self, flow: Any, event: Any) -> None:
        if not _is_inner(flow):
            self._feedback.waits(self._run, flow, event.method_name, _awaiting_review())
            self.kickoffs.pause("flow")

    def on_method_execution_finished(self, flow: Any, event: Any) -> None:
        if not _is_inner(flow):
            self._feedback.given(self._run, flow, event.method_name)

    def on_human_feedback_requested(self, flow: Any, event: Any) -> None:
        self._feedback.waits(self._run, flow, event.method_name, plain(event.output))

    def on_lite_agent_execution_started(self, agent: Any, event: Any) -> None:
        name = event.agent_info.get("role")
        self.kickoffs.start(event, "agent", name, agents=[agent], asked=event.messages)

    def on_lite_agent_execution_completed(self, _agent: Any, event: Any) -> None:
        self.kickoffs.finish("agent", event.output)

    def on_lite_agent_execution_error(self, _agent: Any, event: Any) -> None:
        self.kickoffs.fail("agent", event.error)

    def on_agent_execution_started(self, _source: Any, event: Any) -> None:
        around = self.kickoffs.current
        if around is None or around.kind != "crew" or not around.is_one_agent:
            asked = event.task_prompt
            self.kickoffs.start(event, "task", event.agent.role, agents=[event.agent], asked=asked)

    def on_agent_execution_completed(self, _source: Any, event: Any) -> None:
        self.kickoffs.finish("task", event.output)

    def on_agent_execution_error(self, _source: Any, event: Any) -> None:
        self.kickoffs.fail("task", event.error)


def _is_inner(flow: Any) -> bool:
    """Tell whether a flow is CrewAI's own, such as the one in which it runs each agent."""
    return bool(getattr(type(flow), "is_crewai_internal", False))


def _awaiting_review() -> object:
    """Return what a flow that is being paused has to show: it is in the exception that pauses it."""
    return plain(getattr(getattr(sys.exception(), "context", None), "method_output", None))
