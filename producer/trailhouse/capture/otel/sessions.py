"""Which session a span belongs to, where it or what it was started in says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel import names
from trailhouse.capture.otel.reading import attributes_of, text_of
from trailhouse.capture.otel.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def session_around(parent_context: Any) -> str | None:
    """Return the session that the baggage of *parent_context* names, else the span that is current in it."""
    from opentelemetry import baggage, trace

    if (told := baggage.get_all(parent_context)) and (
        session := text_of(told, names.BAGGAGE_SESSION)
    ):
        return session
    return session_in(attributes_of(trace.get_current_span(parent_context)))


def session_in(attributes: Mapping[str, Any]) -> str | None:
    """Return the session that a span's *attributes* name."""
    return text_of(attributes, shape_of(attributes).session)
