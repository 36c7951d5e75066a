"""Spans within each other that tell of one thing: of a tool call, or of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse.capture.otel.kinds import Kind
from trailhouse.capture.otel.naming import agent_of

if TYPE_CHECKING:
    from trailhouse.capture.otel.node import Node


def node_of_call(node: Node, name: str) -> Node | None:
    """Return the span above *node*, up to the nearest run, that has recorded its call of the tool *name*.

    An agent's span, an MCP client's and an MCP server's may tell of one call.
    """
    above = node.above
    while above is not None:
        if above.is_run and not above.is_aside:
            return None
        if above.call is not None and not above.has_ended and _is_same(name, above.call.name):
            return above
        above = above.above
    return None


def _is_same(name: str, outer: str) -> bool:
    """Tell whether *outer* is the tool *name*; an agent may put the server's name before it."""
    return name == outer or (outer.endswith(name) and not outer[-len(name) - 1].isalnum())


def host_of(node: Node, above: Node) -> Node | None:
    """Return the span whose run is *node*'s too: that of a workflow round it, or of the same agent seen twice."""
    if above.guest is not None or above.has_own:
        return None
    if above.kind in (Kind.WORKFLOW, Kind.CHAIN):
        return above
    if above.kind is Kind.RUN and above.scope != node.scope:
        agent = agent_of(node)
        return above if agent is not None and agent == agent_of(above) else None
    return None
