"""The runner in front of the SDK's: opens each run before it begins, and tells how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.openai_agents.approvals import PausedSessions, tell_decisions
from trailhouse.capture.openai_agents.endings import cause_of, stream_error
from trailhouse.capture.openai_agents.hooks import hooks_for
from trailhouse.capture.openai_agents.model_calls import SOURCE
from trailhouse.capture.openai_agents.plain_values import (
    model_of,
    question_of,
    session_of,
    text_of,
    trace_id_of,
)
from trailhouse.capture.openai_agents.watching import SESSION_ATTRIBUTE, Watch

if TYPE_CHECKING:
    from trailhouse.producer import AuditLogger


class RecordingRunner:
    """Runs agents by *inner*, the runner that was there before, and records each run.

    Attributes:
        is_recording: False once it is taken out; it then only passes on.
    """

    def __init__(self, inner: Any, audit: AuditLogger, *, strict: bool = False) -> None:
        self.is_recording = True
        self._inner = inner
        self._recorder = audit.recorder
        self._strict = strict
        self._paused = PausedSessions()

    async def run(self, starting_agent: Any, input: Any, **kwargs: Any) -> Any:
        """Run as `agents.Runner.run` does."""
        watch = self._open(starting_agent, input, kwargs)
        if watch is None:
            return await self._inner.run(starting_agent, input, **kwargs)
        try:
            with watch.bound():
                result = await self._inner.run(starting_agent, input, **kwargs)
        except BaseException as error:
            self._end(watch, error)
            raise
        self._finish(watch, result)
        return result

    def run_sync(self, starting_agent: Any, input: Any, **kwargs: Any) -> Any:
        """Run as `agents.Runner.run_sync` does."""
        watch = self._open(starting_agent, input, kwargs)
        if watch is None:
            return self._inner.run_sync(starting_agent, input, **kwargs)
        try:
            with watch.bound():
                result = self._inner.run_sync(starting_agent, input, **kwargs)
        except BaseException as error:
            self._end(watch, error)
            raise
        self._finish(watch, result)
        return result

    def run_streamed(self, starting_agent: Any, input: Any, **kwargs: Any) -> Any:
        """Run as `agents.Runner.run_streamed` does; the run ends with the task behind the stream."""
        watch = self._open(starting_agent, input, kwargs)
        if watch is None:
            return self._inner.run_streamed(starting_agent, input, **kwargs)
        try:
            with watch.bound():
                result = self._inner.run_streamed(starting_agent, input, **kwargs)
        except BaseException as error:
            self._end(watch, error)
            raise
        with self._recorder.guard("run_streamed", strict=self._strict):
            result.run_loop_task.add_done_callback(
                lambda task: self._end_stream(watch, result, task)
            )
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _open(self, agent: Any, given: Any, kwargs: dict[str, Any]) -> Watch | None:
        """Open the run, and put our hooks into *kwargs*; None where it is not to be recorded."""
        if not self.is_recording:
            return None
        with self._recorder.guard("the start of a run", strict=self._strict):
            watch = self._watch(agent, given, kwargs)
            kwargs["hooks"] = hooks_for(
                watch, self._recorder, kwargs.get("hooks"), strict=self._strict
            )
            return watch
        return None

    def _watch(self, agent: Any, given: Any, kwargs: dict[str, Any]) -> Watch:
        from agents.run_state import RunState
        from agents.tracing import get_current_trace

        state = given if isinstance(given, RunState) else None
        kept = getattr(state, "_trace_state", None)  # private: how a resumed run knows its trace
        trace = get_current_trace() or kept
        config = kwargs.get("run_config")
        session_id = session_of(kwargs, trace) or text_of(kept, "group_id")
        if state is not None:
            context = getattr(state, "_context", None)
            agent = getattr(state, "_current_agent", None) or agent
            session_id = text_of(context, SESSION_ATTRIBUTE) or session_id
            waited = self._paused.session_of(state.get_interruptions())
            session_id = session_id or waited
        run = self._recorder.open_run(
            session_id,
            source=SOURCE,
            agent_id=text_of(agent, "name"),
            provider=model_of(agent, config)[1],
            trace_id=trace_id_of(trace),
            is_deferred=True,
        )
        watch = Watch(self._recorder, run, config)
        if state is not None:
            watch.know(state)
            tell_decisions(run, state)
        elif run.parent is None and (question := question_of(given)) is not None:
            watch.asks(*question)
        return watch

    def _finish(self, watch: Watch, result: Any) -> None:
        with self._recorder.guard("the end of a run", strict=self._strict):
            watch.finished(result)
            self._paused.keep(watch.run, watch.waiting)

    def _end(self, watch: Watch, error: BaseException) -> None:
        with self._recorder.guard(
            "the end of a run"
        ):  # an error of the application's own goes first
            watch.ended(cause_of(error), getattr(error, "run_data", None))

    def _end_stream(self, watch: Watch, result: Any, task: Any) -> None:
        with self._recorder.guard("the end of a streamed run"):
            error = stream_error(result, task)
            if error is None:
                watch.finished(result)
                self._paused.keep(watch.run, watch.waiting)
            else:
                watch.ended(error, result)
