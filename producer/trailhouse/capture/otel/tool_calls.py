"""Tool calls made of spans: each one once, however many spans tell of it."""

from __future__ import annotations

from sys import exc_info
from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel.calls import ADAPTERS
from trailhouse.capture.otel.content import tool_arguments, tool_result
from trailhouse.capture.otel.kinds import name_in, short_name
from trailhouse.capture.otel.late_call import LateCall
from trailhouse.capture.otel.live_span import hex_ids
from trailhouse.capture.otel.nesting import node_of_call
from trailhouse.capture.otel.reading import attributes_of, text_of
from trailhouse.capture.otel.runs import SOURCE
from trailhouse.capture.otel.shapes import shape_of
from trailhouse.capture.otel.times import moment
from trailhouse.producer.recording.deferred import DEFERRED_STARTS

if TYPE_CHECKING:
    from trailhouse.capture.otel.approvals import Approvals
    from trailhouse.capture.otel.calls import Calls
    from trailhouse.capture.otel.live_span import Said
    from trailhouse.capture.otel.node import Node
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

APPROVAL_REQUIRED = "approval_required"


class ToolCalls:
    """Records the tool calls of one recorder."""

    def __init__(self, recorder: Recorder, calls: Calls, approvals: Approvals) -> None:
        self._recorder = recorder
        self._calls = calls
        self._approvals = approvals

    def start(self, node: Node, parent_context: Any) -> None:
        """Log the start of the tool call of *node*; soon, where its attributes are still to come."""
        if (error := exc_info()[1]) is not None:
            node.in_flight = error
        run = self._calls.run_for(node, parent_context)
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
        call_id = text_of(attributes, shape.call_id) or hex_ids(node.ids)[1]
        above = node.above
        if above is not None and not (above.is_run and not above.is_aside):
            node.within = node_of_call(node, name)
        if (
            node.within is not None
            or run is None
            or (run.source in ADAPTERS and self._is_seen(run, name, call_id))
        ):
            node.is_aside = True
            return
        self._approvals.note_running(run, call_id)
        node.call = call = run.tool_call(
            name, tool_arguments(span, attributes, shape), call_id=call_id
        )
        call.start(at=moment(span.start_time))

    def end(self, node: Node, span: Any, said: Said) -> None:
        """Log the end of the tool call of *node*, which ended as *span*."""
        attributes, shape, ending, at = said
        call = node.call
        if node.within is not None and not ending.is_well:
            # An MCP client's own span does not tell of the server's error.
            node.within.last = ending
        if call is None:
            return
        if ending.is_well and node.last is not None:
            ending = node.last
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

    def _is_seen(self, run: Run, name: str, call_id: str) -> bool:
        """Tell whether the adapter that has *run* has recorded the call."""
        return (
            not self._recorder.claims("tool_call", call_id, SOURCE)
            or self._recorder.open_call(run, name, call_id) is not None
        )
