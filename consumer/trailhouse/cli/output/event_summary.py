"""What one event says, in a few words: the columns of `trailhouse log` as a table."""

import json
from collections.abc import Mapping
from typing import Any

from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.event_type import EventType

_TOLD_ELSEWHERE = frozenset(
    {"agent_id", "tool_name", "role", "error_code", "stop_reason", "run_status"}
)
_CONTENT_KEYS = ("content", "error_message", "result", "arguments")


def subject(event: AuditEvent) -> str:
    """Return who or what the event is about: tool, error, tokens, cost, on whose behalf; of a read, who read."""
    data = event.data
    if event.type == EventType.AUDIT_READ and event.actor is not None:
        return f"{event.actor.type}:{event.actor.id}: {_word(data.get('operation'))}"
    parts = [
        _word(data.get(name))
        for name in ("tool_name", "role", "error_code", "stop_reason", "run_status")
    ]
    parts += [_tokens(data), _cost(data), _duration(data)]
    if event.actor is not None:
        parts.append(f"for {event.actor.type}:{event.actor.id}")
    return " ".join(part for part in parts if part)


def content(event: AuditEvent) -> str:
    """Return what was said, answered or asked; otherwise the rest of `data` as JSON."""
    # The first of them that says something; which type of event it is does not matter.
    for name in _CONTENT_KEYS:
        value = event.data.get(name)
        if isinstance(value, str) and value:
            return value
        if value:
            return _json(value)
    rest = {name: value for name, value in event.data.items() if name not in _TOLD_ELSEWHERE}
    return _json(rest) if rest else ""


def _tokens(data: Mapping[str, Any]) -> str:
    usage = data.get("token_usage")
    # Runs have their tokens in an object, `token_usage_updated` has them side by side.
    found: Mapping[str, Any] = usage if isinstance(usage, Mapping) else data
    given, made, total = (found.get(f"{name}_tokens") for name in ("input", "output", "total"))
    if given is not None or made is not None:
        return f"{_word(given) or '?'}→{_word(made) or '?'} tokens"
    return f"{_word(total)} tokens" if total is not None else ""


def _cost(data: Mapping[str, Any]) -> str:
    cost = data.get("cost_usd")
    return f"${_word(cost)}" if isinstance(cost, (int, float, str)) else ""


def _duration(data: Mapping[str, Any]) -> str:
    duration_ms = data.get("duration_ms")
    return f"{_word(duration_ms)} ms" if isinstance(duration_ms, (int, float)) else ""


def _word(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
