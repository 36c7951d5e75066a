"""Naming a run as its start is about to be logged: by then its spans may say more than as they started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel import names
from trailhouse.capture.otel.kinds import name_in, short_name
from trailhouse.capture.otel.reading import attributes_of, text_of
from trailhouse.capture.otel.sessions import session_in

if TYPE_CHECKING:
    from trailhouse.capture.otel.node import Node
    from trailhouse.producer.recording.run import Run


def agent_of(node: Node) -> str | None:
    """Return the agent that *node*'s span names."""
    attributes = attributes_of(node.span)
    named = text_of(attributes, names.AGENT) or name_in(node.name)
    return named or text_of(attributes, names.ENTITY)


def name_run(run: Run, node: Node, around: str | None) -> None:
    """Give *run*, whose start is about to be logged, what its spans say by now."""
    spans = [node] if node.guest is None else [node.guest, node]
    agents = [agent_of(each) for each in spans]
    sessions = [session_in(attributes_of(each.span)) for each in spans]
    run.name(
        session_id=next((s for s in sessions if s is not None), around),
        agent_id=next((a for a in agents if a is not None), None) or short_name(spans[0].name),
    )


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
