# pyright: reportMissingImports=false
"""Installs our callbacks as LangChain's default ones, for every thread and task of the process."""

from __future__ import annotations

import importlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from trailhouse.capture.installation import Undo, install_once
from trailhouse.capture.langchain.callbacks import Callbacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.producer import AuditLogger

LIFECYCLE_MANAGERS = (
    "get_sync_graph_callback_manager_for_config",
    "get_async_graph_callback_manager_for_config",
)


def install(audit: AuditLogger, *, strict: bool = False) -> Undo:
    """Have what LangChain and LangGraph do recorded in *audit* from now on; return what ends that.

    Recorded are agents, graphs and chains as runs, with their input, answer, tool calls, model calls and pauses.
    What runs already is not, and what runs when it is undone is recorded to its end.

    Args:
        audit: Whose log it is.
        strict: Raise what could not be logged into the application, from the callback where it happened.

    Raises:
        ConfigError: langchain-core is not installed, or has not what this stands on. Permanent.
    """
    return install_once("langchain", audit, lambda: _install(audit, strict))


def _install(audit: AuditLogger, strict: bool) -> Undo:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.tracers import context

    handler_class: Any = type("TrailhouseCallbacks", (Callbacks, BaseCallbackHandler), {})
    handler = handler_class(audit.recorder, strict=strict)
    # As the variable's default the handler is seen by every thread; a value that is set would not be.
    variable: ContextVar[Any] = ContextVar("trailhouse_langchain", default=handler)
    context.register_configure_hook(variable, inheritable=True)
    undo_lifecycle = _watch_graphs(handler)

    def undo() -> None:
        undo_lifecycle()
        hooks = context._configure_hooks  # there is no public way to take one out
        hooks[:] = [hook for hook in hooks if hook[0] is not variable]

    return undo


def _watch_graphs(handler: Any) -> Undo:
    """Have *handler* told which steps are graphs, and where breakpoints stop them.

    LangGraph tells its graphs' interrupts and resumptions only to handlers in the configuration of a call, never
    to global ones. Without this, with LangChain alone or an unknown LangGraph, nested graphs without an agent's
    name are part of the run around them, and a breakpoint looks like an end.
    """
    try:
        pregel: Any = importlib.import_module("langgraph.pregel.main")
        base: Any = importlib.import_module("langgraph.callbacks").GraphCallbackHandler
        before = {name: getattr(pregel, name) for name in LIFECYCLE_MANAGERS}
    except (ImportError, AttributeError):
        return lambda: None
    listener_class: Any = type("TrailhouseLifecycle", (_Lifecycle, base), {"run_inline": True})

    def watched(make_manager: Callable[..., Any]) -> Callable[..., Any]:
        def make(config: Any, *, run_id: Any = None) -> Any:
            manager = make_manager(config, run_id=run_id)
            handler.on_graph(run_id)
            if not any(isinstance(each, listener_class) for each in manager.handlers):
                manager.add_handler(listener_class(handler), inherit=False)
            return manager

        return make

    ours = {name: watched(make_manager) for name, make_manager in before.items()}
    for name, make in ours.items():
        setattr(pregel, name, make)

    def undo() -> None:
        for name, make in ours.items():
            if (
                getattr(pregel, name) is make
            ):  # else another has wrapped it since, and goes on calling us
                setattr(pregel, name, before[name])

    return undo


class _Lifecycle:
    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def on_interrupt(self, event: Any) -> None:
        self._handler.on_graph_interrupt(event)

    def on_resume(self, event: Any) -> None:
        """Nothing: what a graph is resumed with is in its input."""
