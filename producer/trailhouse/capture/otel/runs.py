"""Runs made of spans: which one is a run, which one the scaffolding of another, and how each one ended."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from trailhouse.capture.otel.ending import ending_of, in_flight, tells_of_error
from trailhouse.capture.otel.kinds import Kind
from trailhouse.capture.otel.live_span import hex_ids
from trailhouse.capture.otel.messages import say_more
from trailhouse.capture.otel.naming import name_run
from trailhouse.capture.otel.nesting import host_of
from trailhouse.capture.otel.node import Held, Node
from trailhouse.capture.otel.reading import attributes_of, text_of
from trailhouse.capture.otel.sessions import session_around
from trailhouse.capture.otel.shapes import shape_of
from trailhouse.capture.otel.times import moment

if TYPE_CHECKING:
    from trailhouse.capture.otel.approvals import Approvals
    from trailhouse.capture.otel.live_span import Said
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

SOURCE: Final = "otel"


class Runs:
    """Opens and ends the runs of one recorder."""

    def __init__(self, recorder: Recorder, approvals: Approvals) -> None:
        self._recorder = recorder
        self._approvals = approvals

    def open(self, node: Node, parent_context: Any) -> None:
        """Open what *node* stands for: a run, or its part in the run of the workflow that it stands in."""
        if (error := in_flight()) is not None:
            node.in_flight = error
        above = None if node.above is None else node.nearest()
        if node.kind is Kind.RUN:
            host = None if above is None else host_of(node, above)
            if host is None:
                self._open_run(node, parent_context)
            else:
                self._be_guest(node, host, parent_context)
        elif above is not None and above.kind is not Kind.TOOL:
            node.is_aside = True  # a workflow, or one more chain, within a run
        elif node.kind is Kind.WORKFLOW:
            self._open_run(node, parent_context)

    def run_of(self, node: Node, parent_context: Any) -> Run | None:
        """Return the run that what happens in *node* belongs to; None if there is none."""
        bound, above = self._recorder.bound, node.above
        while above is not None and (not above.is_run or above.is_aside):
            above = above.above  # `run_above`, for a call less
        if above is None:
            return bound
        if above.run is None:  # a chain in which, until now, nothing has happened
            self._open_run(above, parent_context)
        above.has_own = True
        return above.run if bound is None else self._recorder.inner_of(above.run, bound)

    def _be_guest(self, node: Node, host: Node, parent_context: Any) -> None:
        if host.run is None and host.host is None:
            self._open_run(host, parent_context)
        node.host, host.guest = host, node
        node.run = host.run

    def _open_run(self, node: Node, parent_context: Any) -> None:
        span, attributes, recorder = node.span, attributes_of(node.span), self._recorder
        parent = recorder.bound
        if node.above is not None:
            parent = recorder.inner_of(self._run_above(node, parent_context), parent)
        shape = shape_of(attributes)
        session = text_of(attributes, shape.session) if shape.session else None
        around = session_around(parent_context) if session is None and parent is None else None
        trace_id, span_id = hex_ids(node.ids)
        node.run = recorder.open_run(
            session,
            source=SOURCE,
            run_id=(text_of(attributes, shape.run_id) if shape.run_id else None) or span_id,
            parent=parent,
            trace_id=trace_id,
            span_id=span_id,
            started_at=moment(span.start_time),
            metadata={"remote": True} if "server.address" in attributes else None,
            is_deferred=True,
            before_start=partial(name_run, node, around),
        )

    def _run_above(self, node: Node, parent_context: Any) -> Run | None:
        above = node.run_above()
        if above is None:
            return None
        if above.run is None:
            self._open_run(above, parent_context)
        return above.run

    def end(self, node: Node, span: Any, said: Said) -> None:
        """End the run of *node*, which ended as *span*; a guest leaves that to its host."""
        attributes, shape, ending, at = said
        if node.above is not None:
            over = node.host or node.nearest()
            if over is not None and over.kind in (Kind.WORKFLOW, Kind.CHAIN):
                over.last = ending
        run = node.run
        if shape.may_tell and run is not None and self._approvals.note_end(run, attributes):
            node.is_paused = True
        if node.host is not None:
            node.host.is_paused = node.host.is_paused or node.is_paused
            say_more(node, span, attributes, shape)
            return
        if run is None:
            return
        if ending.is_well and node.last is not None and not node.last.is_open:
            ending = node.last  # a workflow's own status stays unset when its agent fails
        if ending.is_open and (root := node.root()) is not None:
            root.held += (Held(run, ending, at),)
            return
        for held in node.held:
            held.end(ending if ending.is_well else held.ending)
        if shape.session:
            session = text_of(attributes, shape.session)
            if session is not None and session != run.fields.session_id:
                run.name_plainly(session, None)
        say_more(node, span, attributes, shape)
        if node.is_paused and ending.is_well:
            run.pause(at=at)
        else:
            run.end_as(ending.type, ending.error, at=at)

    def abandon(self, node: Node) -> None:
        """End the run of *node*, whose span did not end."""
        self._end_known(node)
        if node.run is not None and node.host is None:
            node.run.abandon("its span did not end")

    def tell_known(self, nodes: list[Node]) -> None:
        """Log what is known of spans that have not ended, children before their parents: nobody will tell more."""
        for node in reversed(nodes):
            if node.late is not None:
                node.late.begin()
            self._end_known(node)

    def _end_known(self, node: Node) -> None:
        for held in node.held:
            held.end(held.ending)
        if node.run is not None and node.host is None and tells_of_error(node.span):
            node.run.end_as(*ending_of(node.span, in_flight())[:2])
