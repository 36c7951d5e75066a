"""What a tool's span tells of its arguments and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel.reading import content_of, events_of, parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse.capture.otel.shapes import Shape


def tool_arguments(span: Any, attributes: Mapping[str, Any], shape: Shape) -> Any:
    """Return a tool's arguments, by name also where its instrumentation tells of a call of a Python function."""
    arguments = content_of(attributes, shape.arguments) if shape.arguments else None
    if arguments is None:
        return event_content(span, "gen_ai.tool.message", "content")
    if isinstance(arguments, dict) and "kwargs" in arguments and not arguments.get("args"):
        named = arguments["kwargs"]
        return named if isinstance(named, dict) else arguments
    return arguments


def tool_result(span: Any, attributes: Mapping[str, Any], shape: Shape) -> Any:
    """Return what a tool answered."""
    result = content_of(attributes, shape.result) if shape.result else None
    return event_content(span, "gen_ai.choice", "message") if result is None else result


def event_content(span: Any, event_name: str, attribute: str) -> Any:
    """Return what the last event of this name in *span* says: content is told so where it is no attribute."""
    for event in reversed(events_of(span)):
        if event.name == event_name:
            return parsed((event.attributes or {}).get(attribute))
    return None
