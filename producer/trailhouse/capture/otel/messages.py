"""What a run was asked, what it answered and what it used in all, as its span tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel.approvals import is_waiting
from trailhouse.capture.otel.content import event_content
from trailhouse.capture.otel.reading import events_of, parsed, usage_of
from trailhouse.capture.otel.times import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trailhouse.capture.otel.node import Node
    from trailhouse.capture.otel.shapes import Shape
    from trailhouse.producer.recording.run import Run

_EVENTS = {
    "user": ("gen_ai.user.message", "content"),
    "assistant": ("gen_ai.choice", "message"),
}


def say_more(node: Node, span: Any, attributes: Mapping[str, Any], shape: Shape) -> None:
    """Log what the span of *node*'s run, which ended, says of its messages and totals."""
    run = node.run
    if run is None:
        return
    if run.parent is None and (shape.inputs or shape.outputs or events_of(span)):
        _log_messages(node, run, span, attributes, shape)
    if shape.totals and not run.totals.token_usage:
        _say_totals(run, attributes, shape)


def _log_messages(
    node: Node, run: Run, span: Any, attributes: Mapping[str, Any], shape: Shape
) -> None:
    """Log the input and the answer of *run*, which is a root, if *span* tells of them; each once."""
    owner = node.host or node
    for role, among, at in (
        ("user", shape.inputs, moment(span.start_time)),
        ("assistant", shape.outputs, moment(span.end_time)),
    ):
        content = _said(attributes, among, role)
        if content is None:
            content = event_content(span, *_EVENTS[role])
        if role == "assistant" and is_waiting(attributes):
            continue  # no answer yet: it waits for an approval
        if content is not None and role not in owner.told:
            owner.told |= {role}
            run.message(content, role=role, at=at)


def _say_totals(run: Run, attributes: Mapping[str, Any], shape: Shape) -> None:
    """Take the totals that a run's span tells of, where no model call of it was seen."""
    usage = usage_of(attributes, shape, is_aggregated=True).data()
    tokens = {key: value for key, value in usage.items() if key.endswith("_tokens")}
    if tokens:
        cost = usage.get("cost_usd")
        run.result = {"token_usage": tokens} | ({} if cost is None else {"cost_usd": cost})


def _said(attributes: Mapping[str, Any], among: Iterable[str], role: str) -> Any:
    for name in among:
        value = attributes.get(name)
        if value is None:
            continue
        content = parsed(value)
        said = _last_of(content, role) if name.endswith("messages") else content
        if said is not None:
            return said
    return None


def _last_of(messages: Any, role: str) -> Any:
    """Return what the last of the *messages* in this *role* says: its texts, else its parts."""
    if not isinstance(messages, list):
        return None
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == role:
            parts = message.get("parts", message.get("content"))
            if not isinstance(parts, list):
                return parts
            texts = [_text_of(part) for part in parts]
            told = [text for text in texts if text is not None]
            if told:
                return "\n".join(told)
            if role == "user" and parts and all(_is_tool_part(part) for part in parts):
                continue
            return parts
    return None


def _is_tool_part(part: Any) -> bool:
    return isinstance(part, dict) and str(part.get("type", "")).startswith("tool")


def _text_of(part: Any) -> str | None:
    if isinstance(part, dict) and part.get("type") == "text":
        text = part.get("content", part.get("text"))
        return text if isinstance(text, str) else None
    return None
