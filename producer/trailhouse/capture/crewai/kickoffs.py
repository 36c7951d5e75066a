"""The runs of CrewAI: crews, flows and agents, from the event that starts each to the one that ends it."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from trailhouse.capture.crewai.usage import Meter
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.producer.context import Binding
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

SOURCE = "crewai"

opened: ContextVar[list[Kickoff] | None] = ContextVar("trailhouse_crewai_opened", default=None)
"""What was begun within the call of a kickoff method that is around."""


class Kickoff:
    """One run, bound in the context that it began in: what CrewAI does within finds it there, in every thread."""

    def __init__(self, kind: str, run: Run, bound: Binding, agents: list[Any]) -> None:
        self.kind = kind
        self.run = run
        self.meter = Meter(agents)
        self.is_one_agent = len(agents) == 1
        self._bound: Binding | None = bound
        bound.__enter__()

    def unbind(self) -> None:
        """Take the run out of its context, from whichever this is called in."""
        bound, self._bound = self._bound, None
        if bound is not None:
            bound.__exit__(None, None, None)


class Kickoffs:
    """Knows the kickoffs that are open, by their runs."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._open: dict[str, Kickoff] = {}

    def start(
        self,
        event: Any,
        kind: str,
        agent_id: str | None,
        *,
        agents: list[Any],
        session_id: str | None = None,
        asked: object = None,
    ) -> Run:
        """Open the run of a kickoff, and bind it. Its id is the event's: a crew's own changes, and a flow's stays."""
        run = self._recorder.open_run(
            source=SOURCE, run_id=event.event_id, agent_id=agent_id, started_at=event.timestamp,
            metadata={"crewai_kind": kind}, is_deferred=True,
        )  # fmt: skip
        run.name(session_id=session_id)
        kickoff = Kickoff(kind, run, run.bound(), agents)
        self._open[run.id] = kickoff
        around = opened.get()
        if around is not None:
            around.append(kickoff)
        run.begin()
        if run.parent is None and asked is not None:
            run.message(asked, role="user")
        return run

    @property
    def current(self) -> Kickoff | None:
        """The innermost kickoff around, whatever else is recorded within it."""
        return self._enclosing(None)

    def _enclosing(self, kind: str | None) -> Kickoff | None:
        run = self._recorder.current
        while run is not None:
            kickoff = self._open.get(run.id)
            if kickoff is not None and kind in (None, kickoff.kind):
                return kickoff
            run = run.parent
        return None

    def finish(self, kind: str, answer: object) -> None:
        """End the innermost kickoff of this *kind*: it has answered."""
        kickoff = self._enclosing(kind)
        if kickoff is not None:
            for usage in kickoff.meter.used():
                kickoff.run.use(usage)
            if kickoff.run.parent is None and answer is not None:
                kickoff.run.message(answer, role="assistant")
            kickoff.run.end()
            self.close(kickoff)

    def fail(self, kind: str, error: object) -> None:
        """End the innermost kickoff of this *kind* by *error*: by the exception itself where it is being handled."""
        kickoff = self._enclosing(kind)
        if kickoff is not None:
            raised = error if isinstance(error, Exception) else sys.exception()
            if raised is None:
                kickoff.run.end_as(EventType.RUN_FAILED, error)
            else:
                kickoff.run.end(raised)
            self.close(kickoff)

    def pause(self, kind: str) -> None:
        """End the innermost kickoff of this *kind*: it waits for somebody."""
        kickoff = self._enclosing(kind)
        if kickoff is not None:
            kickoff.run.pause()
            self.close(kickoff)

    def broke_off(self, begun: list[Kickoff], error: BaseException) -> None:
        """End what *begun* holds and CrewAI has not ended: a cancellation and Ctrl-C have no event."""
        for kickoff in reversed(begun):
            kickoff.run.end(error)
            self.close(kickoff)

    def close(self, kickoff: Kickoff) -> None:
        """Forget a kickoff that has ended."""
        kickoff.unbind()
        self._open.pop(kickoff.run.id, None)

    def note_usage(self) -> None:
        """Remember that models send events in what is around."""
        run = self._recorder.current
        while run is not None:
            if (kickoff := self._open.get(run.id)) is not None:
                kickoff.meter.has_events = True
            run = run.parent
