"""The calls of tools and models, and the guardrails, within a run of CrewAI."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from trailhouse.capture.crewai.usage import is_model_call, usage_of
from trailhouse.capture.crewai.values import plain, text
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.capture.crewai.kickoffs import Kickoffs
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run
    from trailhouse.producer.recording.tool_call import ToolCall

MAX_OPEN_TOOLS = 10_000


class Calls:
    """Records what is called in the run that is bound where the event is sent."""

    def __init__(self, recorder: Recorder, kickoffs: Kickoffs) -> None:
        self._recorder = recorder
        self._kickoffs = kickoffs
        self._tools: OrderedDict[str, ToolCall] = OrderedDict()

    @property
    def _run(self) -> Run | None:
        return self._recorder.current

    def on_tool_usage_started(self, _source: Any, event: Any) -> None:
        if self._run is None:
            return
        call = self._run.tool_call(event.tool_name, event.tool_args, call_id=event.event_id)
        self._tools[event.event_id] = call.start(at=event.timestamp)
        if len(self._tools) > MAX_OPEN_TOOLS:
            self._tools.popitem(last=False)

    def on_tool_usage_finished(self, _source: Any, event: Any) -> None:
        call = self._ended_tool(event)
        if call is not None and event.failure is not None:
            call.fail(event.failure, code=text(getattr(event.failure, "reason", None)))
        elif call is not None:
            call.complete(plain(event.output))

    def on_tool_usage_error(self, _source: Any, event: Any) -> None:
        call = self._ended_tool(event)
        if call is not None:
            call.fail(event.error if isinstance(event.error, Exception) else str(event.error))

    def _ended_tool(self, event: Any) -> ToolCall | None:
        call = self._tools.pop(event.started_event_id or "", None)
        if (
            call is None
        ):  # the bus pairs by its stack, which a model class that runs tools itself unbalances
            named = [
                key
                for key, each in self._tools.items()
                if each.name == event.tool_name and each.run is self._run
            ]
            call = self._tools.pop(named[-1]) if named else None
        return call

    def on_llm_call_completed(self, model: Any, event: Any) -> None:
        if self._run is not None and is_model_call(event):
            self._kickoffs.note_usage()
            self._run.use(usage_of(model, event), call_id=event.response_id or event.event_id)

    def on_llm_call_failed(self, _model: Any, event: Any) -> None:
        if self._run is not None:
            self._run.model_call_failed(sys.exception() or event.error, call_id=event.call_id)

    def on_llm_guardrail_completed(self, _source: Any, event: Any) -> None:
        if self._run is not None:
            data = {"guardrail": event.guardrail_name, "stage": "output", "reason": event.error}
            passed = EventType.GUARDRAIL_PASSED if event.success else EventType.GUARDRAIL_TRIPPED
            self._run.log(
                passed, {name: value for name, value in data.items() if value is not None}
            )
