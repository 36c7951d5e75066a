"""What one run of the SDK is seen doing, told to the recorder."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from trailhouse.capture.openai_agents.approvals import CallbackApprovals, tell_requests
from trailhouse.capture.openai_agents.guardrails import Guardrails
from trailhouse.capture.openai_agents.model_calls import ModelCalls
from trailhouse.capture.openai_agents.plain_values import (
    plain,
    text_of,
    trace_id_of,
)
from trailhouse.capture.openai_agents.tool_calls import ToolCalls
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from collections.abc import Generator

    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

SESSION_ATTRIBUTE = "_trailhouse_session_id"
"""Where a run's context keeps its session: the SDK copies it into the state that the run is resumed from."""

TIMEOUTS = ("ModelTimeoutError", "ToolTimeoutError", "APITimeoutError")
"""Errors of time limits that are no `TimeoutError`."""


watched: ContextVar[Watch | None] = ContextVar("trailhouse_openai_agents", default=None)
"""The run of the SDK that this context is in."""


class Watch:
    """Tells one run. For the thread of its event loop; what it raises is for its caller to guard.

    Attributes:
        run: As it is recorded.
        tools: Its tool calls.
        models: Its model calls.
        guardrails: What its guardrails found.
        waiting: What it waits for, once it is paused.
        asked: The calls for whose approval this run, or one inside it, has asked.
    """

    def __init__(self, recorder: Recorder, run: Run, run_config: Any) -> None:
        self.run = run
        self.tools = ToolCalls(recorder, run)
        self.guardrails = Guardrails(run)
        self.models = ModelCalls(run, run_config)
        self.asked: set[str] = set()
        self._callbacks = CallbackApprovals(run)
        self._around = watched.get()
        self.waiting: list[Any] = []
        self._question: tuple[str, Any] | None = None

    @contextmanager
    def bound(self) -> Generator[None]:
        """Make this the run that tools, nested runs and other frameworks are in."""
        token = watched.set(self)
        try:
            with self.run.bound():
                yield
        finally:
            with suppress(ValueError):  # a coroutine that is thrown away ends in another context
                watched.reset(token)

    def know(self, state: Any) -> None:
        """Take what *state*, which the run is resumed from, already holds as told."""
        self.guardrails.know(state)
        self.models.know(state)

    def asks(self, role: str, content: object) -> None:
        """Tell with the start what the run is asked."""
        self._question = role, content

    def begin(self, trace: Any = None) -> None:
        """Tell the start, with the *trace* that the SDK has opened by then."""
        self.run.name(session_id=text_of(trace, "group_id"), trace_id=trace_id_of(trace))
        self.run.begin()
        if self._question is not None:
            (role, content), self._question = self._question, None
            self.run.message(content, role=role)

    def model_called(self, context: Any, agent: Any, input_items: Any) -> None:
        """Note that a call of *agent*'s model with *input_items* goes out; `model_answered` ends it."""
        self.begin()
        self._callbacks.tell_decisions(input_items)
        self.models.begin(agent)
        setattr(context, SESSION_ATTRIBUTE, self.run.session_id)

    def model_answered(self, agent: Any, response: Any) -> None:
        """Tell what a model call used, and the tools that its provider ran for it."""
        self.models.answered(agent, response)
        self._callbacks.note_requests(response.output)
        self.tools.tell_hosted(response.output)

    def handed_off(self, from_agent: Any, to_agent: Any) -> None:
        """Tell a handoff; the run goes on with the other agent."""
        handed = {"from_agent_id": from_agent.name, "to_agent_id": to_agent.name}
        self.run.log(EventType.AGENT_HANDED_OFF, handed)

    def finished(self, result: Any) -> None:
        """Tell the end of a run that returned *result*: its answer, or that it waits for approvals."""
        self.begin()
        self.guardrails.tell(result)
        self.models.end_open(None, result)
        last_agent = text_of(getattr(result, "last_agent", None), "name")
        if last_agent != self.run.agent_id:
            self.run.note(last_agent_id=last_agent)
        self.waiting = list(getattr(result, "interruptions", None) or ())
        if not self.waiting:
            if self.run.parent is None and result.final_output is not None:
                self.run.message(plain(result.final_output), role="assistant")
            self.tools.end_open(None)
            self.run.end()
            return
        tell_requests(self.run, self.waiting, self.asked)
        if self._around is not None:
            self._around.asked |= self.asked
        self.tools.end_open(None, code="approval_required")
        self.run.pause()

    def ended(self, error: BaseException, data: Any) -> None:
        """Tell the end of a run that raised *error*; *data* is what the SDK kept of the run, if anything."""
        self.begin()
        self.guardrails.tell(data)
        self.guardrails.tell_tripped(error)
        self.models.end_open(error, data)
        self.tools.end_open(error)
        is_timeout = any(kind.__name__ in TIMEOUTS for kind in type(error).__mro__)
        if is_timeout:
            self.run.end_as(EventType.RUN_TIMEOUT, error)
        else:
            self.run.end(error)
