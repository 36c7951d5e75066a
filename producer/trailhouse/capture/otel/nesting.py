"""Spans within each other that tell of one tool call: an agent's, an MCP client's and an MCP server's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trailhouse.capture.otel.node import Node


def node_of_call(node: Node, name: str) -> Node | None:
    """Return the span above *node*, up to the nearest run, that has recorded its call of the tool *name*."""
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
