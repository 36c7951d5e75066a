"""Tool and model calls made of spans: each one once, however many spans tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.installation import FRAMEWORKS
from trailhouse.capture.otel.content import tool_arguments, tool_result
from trailhouse.capture.otel.ending import ending_of, in_flight
from trailhouse.capture.otel.kinds import Kind, name_in, short_name
from trailhouse.capture.otel.late_call import LateCall
from trailhouse.capture.otel.naming import created_agent
from trailhouse.capture.otel.nesting import node_of_call
from trailhouse.capture.otel.reading import attributes_of, text_of, usage_of
from trailhouse.capture.otel.runs import SOURCE
from trailhouse.capture.otel.sessions import session_around, session_in
from trailhouse.capture.otel.shapes import shape_of
from trailhouse.capture.otel.times import moment, span_id_of, trace_id_of
from trailhouse.producer.recording.deferred import DEFERRED_STARTS
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.capture.otel.approvals import Approvals
    from trailhouse.capture.otel.node import Node
    from trailhouse.capture.otel.runs import Runs
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

APPROVAL_REQUIRED = "approval_required"
_ADAPTERS = frozenset(FRAMEWORKS) - {SOURCE}


class Calls:
    """Records the calls of one recorder."""

    def __init__(self, recorder: Recorder, runs: Runs, approvals: Approvals) -> None:
        self._recorder = recorder
        self._runs = runs
        self._approvals = approvals

    def start_tool(self, node: Node, parent_context: Any) -> None:
        """Log the start of the tool call of *node*; soon, where its attributes are still to come."""
        if (error := in_flight()) is not None:
            node.in_flight = error
        run = self._run_for(node, parent_context)
        if node.known:
            self._log_start(node, run)
        else:
            node.late = LateCall(self._recorder, lambda: self._log_start(node, run))
            DEFERRED_STARTS.add(node.late)

    def _log_start(self, node: Node, run: Run | None) -> None:
        """Log the start, unless a span round it, or an adapter, tells of the same call."""
        span, attributes = node.span, attributes_of(node.span)
        shape = shape_of(attributes)
        name = text_of(attributes, shape.tool) or name_in(node.name) or short_name(node.name)
        call_id = text_of(attributes, shape.call_id) or span_id_of(span)
        node.within = node_of_call(node, name)
        if node.within is not None or run is None or self._is_seen(run, name, call_id):
            node.is_aside = True
            return
        self._approvals.note_running(run, call_id)
        node.call = run.tool_call(name, tool_arguments(span, attributes, shape), call_id=call_id)
        node.call.start(at=moment(span.start_time))

    def end_tool(self, node: Node, span: Any) -> None:
        """Log the end of the tool call of *node*, which ended as *span*."""
        call, ending = node.call, ending_of(span, node.in_flight)
        if node.within is not None and not ending.is_well:
            # An MCP client's own span does not tell of the server's error.
            node.within.last = ending
        if call is None:
            return
        if ending.is_well and node.last is not None:
            ending = node.last
        attributes, at = attributes_of(span), moment(span.end_time)
        shape = shape_of(attributes)
        if shape.deferral and (deferral := text_of(attributes, shape.deferral)) is not None:
            self._wait(node, span, deferral)
            call.fail(code=APPROVAL_REQUIRED, at=at)
        elif ending.is_well:
            call.complete(tool_result(span, attributes, shape), at=at)
        else:
            call.fail(ending.error, at=at)

    def _wait(self, node: Node, span: Any, deferral: str) -> None:
        """Note that the call waits, for an approval or for somebody else to run it, and its run with it."""
        call, over = node.call, node.run_above()
        if call is not None and over is not None and over.run is not None:
            over.is_paused = True
            if deferral == "ApprovalRequired":
                attributes = attributes_of(span)
                arguments = tool_arguments(span, attributes, shape_of(attributes))
                self._approvals.ask(over.run, call.name, arguments, call.id)

    def end_model(self, node: Node, span: Any, parent_context: Any = None) -> None:
        """Log what the model call of *node* used; one within another is left to that one."""
        attributes = attributes_of(span)
        shape = shape_of(attributes)
        usage = usage_of(attributes, shape)
        if usage.is_missing and node.inner_usage is not None:
            usage = node.inner_usage
        outer = node.nearest()
        if outer is not None and outer.kind is Kind.MODEL and not outer.has_ended:
            outer.inner_usage = usage if not usage.is_missing else outer.inner_usage
            return
        run = self._run_for(node, parent_context)
        if run is None:
            return
        call_id, at = text_of(attributes, shape.response_id), moment(span.end_time)
        if run.model_calls_open or (call_id is None and run.source in _ADAPTERS):
            return  # nothing tells it from what the adapter has recorded, or is about to
        ending = ending_of(span, node.in_flight)
        if ending.is_well or ending.is_open:
            run.use(usage, call_id=call_id, at=at, source=SOURCE)
        else:
            run.model_call_failed(ending.error, usage, call_id=call_id, at=at)

    def create(self, node: Node, span: Any) -> None:
        """Log that an agent was created, or why not."""
        run, ending = self._run_for(node, None), ending_of(span, node.in_flight)
        at = moment(span.end_time)
        if run is not None and ending.is_well:
            run.log(EventType.AGENT_CREATED, created_agent(span), at=at)
        elif run is not None:
            run.error_occurred(ending.error, at=at)

    def _run_for(self, node: Node, parent_context: Any) -> Run | None:
        """Return what to record a call by; None where an adapter that has its run tells of it."""
        run = self._runs.run_of(node, parent_context)
        if run is not None:
            if run.session_id is None:  # some say it in the spans of calls alone
                run.name(session_id=session_in(attributes_of(node.span)))
            return run
        if any(above.is_aside for above in node.chain()):
            return None
        span = node.span
        session = session_in(attributes_of(span)) or session_around(parent_context)
        return self._recorder.outside_runs(
            session, source=SOURCE, trace_id=trace_id_of(span), span_id=span_id_of(span)
        )

    def _is_seen(self, run: Run, name: str, call_id: str) -> bool:
        """Tell whether the adapter that has *run* has recorded the call."""
        if run.source not in _ADAPTERS:
            return False
        return (
            not self._recorder.claims("tool_call", call_id, SOURCE)
            or self._recorder.open_call(run, name, call_id) is not None
        )
