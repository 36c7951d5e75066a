"""What CrewAI's events hold, in plain form."""

from __future__ import annotations

from typing import Any


def text(value: object) -> str | None:
    """Return what identifies something, as text; an enum's member by its value."""
    value = getattr(value, "value", value)
    return None if value is None else str(value)


def plain(value: Any) -> object:
    """Return what a model of pydantic holds; anything else as it is."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
