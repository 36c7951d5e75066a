"""The spans that are open, each beneath its parent, and the runs and calls that they are."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel.approvals import Approvals
from trailhouse.capture.otel.calls import Calls
from trailhouse.capture.otel.kinds import SCOPES_WITH_AGENT_ROOTS, Kind, kind_of
from trailhouse.capture.otel.live_span import ended, reader_of_ids, said_by, started
from trailhouse.capture.otel.node import LEFT_OPEN_WHEN_FAILED, Node
from trailhouse.capture.otel.runs import Runs
from trailhouse.capture.otel.scopes import adapter_of, is_left_to_adapter
from trailhouse.capture.otel.shapes import shape_of
from trailhouse.capture.otel.tool_calls import ToolCalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.capture.otel.live_span import Said
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

MAX_OPEN_SPANS = 100_000
MAX_ENDED_SPANS = 5_000


class SpanTree:
    """Follows spans, and records by *recorder* what they are. Safe for threads; raises what the recorder raises."""

    def __init__(self, recorder: Recorder) -> None:
        approvals = Approvals()
        self._runs = Runs(recorder, approvals)
        calls = Calls(recorder, self._runs)
        self._tools = tools = ToolCalls(recorder, calls, approvals)
        self._ends: dict[Kind | None, Callable[[Node, Any, Said], None]] = {
            Kind.TOOL: tools.end, Kind.MODEL: calls.end_model, Kind.CREATION: calls.create
        }  # fmt: skip
        self._ids_of = reader_of_ids()
        self._open: dict[int, Node] = {}
        self._ended: OrderedDict[int, Node] = OrderedDict()
        recorder.find_current_by(self.current_run)
        recorder.close_by(lambda: self._runs.tell_known(list(self._open.values())))

    def start(self, span: Any, parent_context: Any) -> None:
        """Take in a span that starts; log what starts with it."""
        context, parent, name, scope, attributes = started(span)
        ids, opened, above = self._ids_of(context), self._open, None
        if (span_id := ids[1]) in opened:
            return  # another processor of this logger has told of it
        if parent is not None:
            parent_id = self._ids_of(parent)[1]
            above = opened.get(parent_id) or self._ended.get(parent_id)
            if above is not None and above.scope in LEFT_OPEN_WHEN_FAILED and above.is_left_open:
                self._give_up(above)
                above = None
        kind = kind_of(name, attributes, scope, shape_of(attributes).kinds)
        if parent is None and kind is Kind.RUN and scope in SCOPES_WITH_AGENT_ROOTS:
            kind = Kind.WORKFLOW  # stands round the agents that work in the trace
        node = opened[span_id] = Node(span, above, kind, len(attributes), scope, ids)
        if kind is not None:
            self._begin(node, parent_context)
        if len(opened) > MAX_OPEN_SPANS:
            for oldest in list(opened)[: MAX_OPEN_SPANS // 10]:
                self._abandon(oldest)

    def end(self, span: Any) -> None:
        """Take in that a span ended; log what ended with it."""
        context, attributes, status, end_ns = ended(span)
        span_id = self._ids_of(context)[1]
        if (node := self._open.pop(span_id, None)) is None:
            return
        node.span = span
        if node.kind is None:
            if not node.judge():
                node.has_ended = True
                return
            self._begin(node, None)
        try:
            if node.late is not None:
                node.late.begin()
            if node.within is not None or not node.is_aside:
                end = self._ends.get(node.kind) or self._runs.end
                end(node, span, said_by(span, attributes, status, end_ns, node.in_flight))
        finally:
            node.has_ended = True
            self._ended[span_id] = node
            if len(self._ended) > MAX_ENDED_SPANS:
                self._ended.popitem(last=False)

    def _give_up(self, node: Node) -> None:
        """End a run whose span is left open though it failed."""
        if self._open.pop(node.ids[1], None) is not None:
            node.has_ended = True
            self._ended[node.ids[1]] = node
            said = said_by(node.span, *ended(node.span)[1:], node.in_flight)
            self._runs.end(node, node.span, said)

    def _begin(self, node: Node, parent_context: Any) -> None:
        above = node.above
        while above is not None:  # attributes may have come since
            if above.late is not None:
                above.late.begin()
            if above.kind is None and not above.has_ended and above.judge():
                self._open_as_is(above, None)
            above = above.above
        if node.kind is not Kind.MODEL or adapter_of(node.scope) is not None:
            self._open_as_is(node, parent_context)

    def _open_as_is(self, node: Node, parent_context: Any) -> None:
        if adapter_of(node.scope) is not None and is_left_to_adapter(node.scope):
            node.is_aside = True
        elif node.kind is Kind.TOOL:
            self._tools.start(node, parent_context)
        elif node.is_run:
            self._runs.open(node, parent_context)

    def run_at(self, span_id: int) -> Run | None:
        """Return the run that what happens in this span belongs to; None where it is not known."""
        node = self._open.get(span_id) or self._ended.get(span_id)
        if node is not None and (node.is_aside or not node.is_run):
            node = node.run_above()
        return None if node is None else node.run

    def current_run(self) -> Run | None:
        """Return the run of the span that is current in this context."""
        from opentelemetry import trace

        run = self.run_at(trace.get_current_span().get_span_context().span_id)
        return run if run is not None and run.is_open else None

    def close(self) -> None:
        """Abandon the runs whose spans have not ended: nobody will tell how they end."""
        for span_id in reversed(list(self._open)):  # children before their parents
            self._abandon(span_id)

    def _abandon(self, span_id: int) -> None:
        if (node := self._open.pop(span_id, None)) is None:
            return
        if node.late is not None:
            node.late.begin()
        if node.call is not None:
            node.call.fail("its span did not end", code="no_end")
        self._runs.abandon(node)

    def forget_all(self) -> None:
        """Forget every span: in a forked child they are the parent's."""
        self._open.clear()
        self._ended.clear()
