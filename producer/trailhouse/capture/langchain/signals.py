"""What LangGraph raises that is no error: interrupts, handoffs and drains; told by name, it need not be installed."""

from __future__ import annotations


def is_signal(error: object, name: str) -> bool:
    """Tell whether *error* is of LangGraph's exception class *name*, or of one derived from it."""
    return isinstance(error, BaseException) and any(
        kind.__name__ == name and kind.__module__.startswith("langgraph.")
        for kind in type(error).__mro__
    )
