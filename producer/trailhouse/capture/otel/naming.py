"""Naming a run as its start is about to be logged: by then its spans may say more than as they started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel import names
from trailhouse.capture.otel.kinds import name_in, short_name
from trailhouse.capture.otel.reading import attributes_of, text_of
from trailhouse.capture.otel.sessions import session_in
from trailhouse.capture.otel.shapes import shape_of

if TYPE_CHECKING:
    from trailhouse.capture.otel.node import Node
    from trailhouse.producer.recording.run import Run


def agent_of(node: Node) -> str | None:
    """Return the agent that *node*'s span names."""
    attributes = attributes_of(node.span)
    shape = shape_of(attributes)
    named = text_of(attributes, shape.agent) or name_in(node.name)
    return named or text_of(attributes, shape.entity)


def name_run(node: Node, around: str | None, run: Run) -> None:
    """Give *run*, whose start is about to be logged, what its spans say by now."""
    guest, agent, session = node.guest, None, None
    if guest is not None:
        agent, session = agent_of(guest), session_in(attributes_of(guest.span))
    attributes = attributes_of(node.span)
    shape = shape_of(attributes)
    agent = agent or text_of(attributes, shape.agent) or agent_of(node)
    session = session or text_of(attributes, shape.session) or around
    run.name_plainly(session, agent or short_name((guest or node).name))


def created_agent(span: Any) -> dict[str, str]:
    """Return the data of `agent_created`, as the span of the creation tells."""
    attributes = attributes_of(span)
    name = text_of(attributes, ("gen_ai.agent.name",)) or name_in(span.name)
    data = {
        "agent_id": text_of(attributes, ("gen_ai.agent.id",)) or name,
        "agent_name": name,
        "agent_version": text_of(attributes, ("gen_ai.agent.version",)),
        "description": text_of(attributes, ("gen_ai.agent.description",)),
        "model": text_of(attributes, names.MODEL),
    }
    return {key: value for key, value in data.items() if value is not None}
