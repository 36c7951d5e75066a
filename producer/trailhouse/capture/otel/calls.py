"""Model calls and creations of agents made of spans: each one once, however many spans tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.installation import FRAMEWORKS
from trailhouse.capture.otel.kinds import Kind
from trailhouse.capture.otel.live_span import hex_ids
from trailhouse.capture.otel.naming import created_agent
from trailhouse.capture.otel.reading import attributes_of, text_of, usage_of
from trailhouse.capture.otel.runs import SOURCE
from trailhouse.capture.otel.sessions import session_around, session_in
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.capture.otel.live_span import Said
    from trailhouse.capture.otel.node import Node
    from trailhouse.capture.otel.runs import Runs
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

ADAPTERS = frozenset(FRAMEWORKS) - {SOURCE}


class Calls:
    """Records the model calls of one recorder, and says whose run a call is."""

    def __init__(self, recorder: Recorder, runs: Runs) -> None:
        self._recorder = recorder
        self._runs = runs

    def end_model(self, node: Node, span: Any, said: Said) -> None:
        """Log what the model call of *node* used; one within another is left to that one."""
        attributes, shape, ending, at = said
        usage = usage_of(attributes, shape)
        if node.inner_usage is not None and usage.is_missing:
            usage = node.inner_usage
        outer = node.above
        if outer is not None and (outer.kind is None or outer.is_aside):
            outer = node.nearest()
        if outer is not None and outer.kind is Kind.MODEL and not outer.has_ended:
            outer.inner_usage = usage if not usage.is_missing else outer.inner_usage
            return
        run = self.run_for(node, None)
        if run is None:
            return
        call_id = text_of(attributes, shape.response_id) if shape.response_id else None
        if run.model_calls_open or (call_id is None and run.source in ADAPTERS):
            return  # nothing tells it from what the adapter has recorded, or is about to
        if ending.is_well or ending.is_open:
            run.use(usage, call_id=call_id, at=at, source=SOURCE)
        else:
            run.model_call_failed(ending.error, usage, call_id=call_id, at=at)

    def create(self, node: Node, span: Any, said: Said) -> None:
        """Log that an agent was created, or why not."""
        _, _, ending, at = said
        run = self.run_for(node, None)
        if run is not None and ending.is_well:
            run.log(EventType.AGENT_CREATED, created_agent(span), at=at)
        elif run is not None:
            run.error_occurred(ending.error, at=at)

    def run_for(self, node: Node, parent_context: Any) -> Run | None:
        """Return what to record the call of *node* by; None where an adapter that has its run tells of it."""
        run = self._runs.run_of(node, parent_context)
        if run is not None:
            if run.fields.session_id is None:  # some say it in the spans of calls alone
                run.name(session_id=session_in(attributes_of(node.span)))
            return run
        if any(above.is_aside for above in node.chain()):
            return None
        span = node.span
        session = session_in(attributes_of(span)) or session_around(parent_context)
        trace_id, span_id = hex_ids(node.ids)
        return self._recorder.outside_runs(
            session, source=SOURCE, trace_id=trace_id, span_id=span_id
        )
