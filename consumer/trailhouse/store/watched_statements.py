"""Who wants to see each statement before it is sent, and the values that it names: `trailhouse … --show-sql`."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

Watcher = Callable[[str, Mapping[str, Any]], None]
"""Is given a statement, and its values by name; called by whoever sends it, before it is sent."""

_watcher: ContextVar[Watcher | None] = ContextVar("statement_watcher", default=None)


def watch_statements(watcher: Watcher | None) -> None:
    """Let *watcher* see each query of this context from now on; None ends it.

    Values are what a caller asked for, and may be personal data: show them to that caller alone.
    """
    _watcher.set(watcher)


def show_statement(sql: str, parameters: Mapping[str, Any] | None) -> None:
    """Show a statement to whoever watches this context."""
    if (watcher := _watcher.get()) is not None:
        watcher(sql, parameters or {})
