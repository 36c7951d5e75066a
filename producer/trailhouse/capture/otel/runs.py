"""Runs made of spans: which one is a run, which one the scaffolding of another, and how each one ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trailhouse.capture.otel.ending import ending_of, in_flight, tells_of_error
from trailhouse.capture.otel.kinds import Kind
from trailhouse.capture.otel.messages import log_messages, say_totals
from trailhouse.capture.otel.naming import agent_of, name_run
from trailhouse.capture.otel.node import Held, Node
from trailhouse.capture.otel.reading import attributes_of, text_of
from trailhouse.capture.otel.sessions import session_around
from trailhouse.capture.otel.shapes import shape_of
from trailhouse.capture.otel.times import moment, span_id_of, trace_id_of

if TYPE_CHECKING:
    from trailhouse.capture.otel.approvals import Approvals
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
        node.in_flight = in_flight()
        above = node.nearest()
        if node.kind is Kind.RUN:
            host = self._host(node, above)
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
        bound = self._recorder.bound
        above = node.run_above()
        if above is None:
            return bound
        if above.run is None:  # a chain in which, until now, nothing has happened
            self._open_run(above, parent_context)
        above.has_own = True
        return above.run if bound is None else self._recorder.inner_of(above.run, bound)

    def _host(self, node: Node, above: Node | None) -> Node | None:
        """Return the span whose run is *node*'s too: that of a workflow round it, or of the same agent seen twice."""
        if above is None or above.guest is not None or above.has_own:
            return None
        if above.kind in (Kind.WORKFLOW, Kind.CHAIN):
            return above
        if above.kind is Kind.RUN and above.scope != node.scope:
            agent = agent_of(node)
            return above if agent is not None and agent == agent_of(above) else None
        return None

    def _be_guest(self, node: Node, host: Node, parent_context: Any) -> None:
        if host.run is None and host.host is None:
            self._open_run(host, parent_context)
        node.host, host.guest = host, node
        node.run = host.run

    def _open_run(self, node: Node, parent_context: Any) -> None:
        span, attributes = node.span, attributes_of(node.span)
        over = self._run_above(node, parent_context)
        parent = self._recorder.inner_of(over, self._recorder.bound)
        shape = shape_of(attributes)
        session = text_of(attributes, shape.session)
        around = session_around(parent_context) if session is None and parent is None else None
        remote = {"remote": True} if "server.address" in attributes else None
        node.run = self._recorder.open_run(
            session,
            source=SOURCE,
            run_id=text_of(attributes, shape.run_id) or span_id_of(span),
            parent=parent,
            trace_id=trace_id_of(span),
            span_id=span_id_of(span),
            started_at=moment(span.start_time),
            metadata=remote,
            is_deferred=True,
            before_start=lambda run: name_run(run, node, around),
        )

    def _run_above(self, node: Node, parent_context: Any) -> Run | None:
        above = node.run_above()
        if above is None:
            return None
        if above.run is None:
            self._open_run(above, parent_context)
        return above.run

    def end(self, node: Node, span: Any) -> None:
        """End the run of *node*, which ended as *span*; a guest leaves that to its host."""
        ending, over = ending_of(span, node.in_flight), node.host or node.nearest()
        if over is not None and over.kind in (Kind.WORKFLOW, Kind.CHAIN):
            over.last = ending
        attributes = attributes_of(span)
        shape = shape_of(attributes)
        run = node.run
        if shape.may_tell and run is not None and self._approvals.note_end(run, attributes):
            node.is_paused = True
        if node.host is not None:
            node.host.is_paused = node.host.is_paused or node.is_paused
            log_messages(node, span, attributes, shape)
            if node.run is not None:
                say_totals(node.run, attributes, shape)
            return
        if node.run is None:
            return
        if ending.is_well and node.last is not None and not node.last.is_open:
            ending = node.last  # a workflow's own status stays unset when its agent fails
        at = moment(span.end_time)
        if ending.is_open and (root := node.root()) is not None:
            root.held += (Held(node.run, ending, at),)
            return
        for held in node.held:
            held.end(ending if ending.is_well else held.ending)
        session = text_of(attributes, shape.session)
        if session is not None and session != node.run.session_id:
            node.run.name(session_id=session)
        log_messages(node, span, attributes, shape)
        say_totals(node.run, attributes, shape)
        if node.is_paused and ending.is_well:
            node.run.pause(at=at)
        else:
            node.run.end_as(ending.type, ending.error, at=at)

    def abandon(self, node: Node) -> None:
        """End the run of *node*, whose span did not end."""
        for held in node.held:
            held.end(held.ending)
        if node.run is None or node.host is not None:
            return
        if tells_of_error(node.span):
            ending = ending_of(node.span, in_flight())
            node.run.end_as(ending.type, ending.error)
        else:
            node.run.abandon("its span did not end")
