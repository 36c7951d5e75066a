"""Installs the capture of the kit: around each runner's call, and by a plugin within."""

from __future__ import annotations

import functools
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trailhouse.capture.google_adk.invocation import SOURCE, Invocation, current
from trailhouse.capture.google_adk.plugin import Hooks, plugin_class
from trailhouse.capture.installation import Undo, install_once
from trailhouse.capture.replaced_methods import replace_methods

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from trailhouse.producer import AuditLogger

METHODS = ("run_async", "run_live")


def install(audit: AuditLogger, *, strict: bool = False) -> Undo:
    """Have every run of the Agent Development Kit recorded in *audit*; return what undoes that.

    Args:
        audit: The log.
        strict: Raise what cannot be recorded; from a plugin it aborts the agent's run. By default it is counted in
            `AuditLogger.stats`, and the agent goes on.

    Raises:
        ConfigError: google-adk is not installed, or is not as it was tried. Permanent.
    """
    return install_once(SOURCE, audit, lambda: _Recording(audit, strict=strict).install())


class _Recording:
    """The methods of `Runner` as they were, and the runners that have our plugin."""

    def __init__(self, audit: AuditLogger, *, strict: bool) -> None:
        self._recorder = audit.recorder
        self._guard = audit.recorder.guard(SOURCE, strict=strict)
        self._plugin: Hooks | None = None
        self._is_recording = True
        self._managers: weakref.WeakSet[Any] = weakref.WeakSet()

    def install(self) -> Undo:
        """Wrap the methods."""
        from google.adk.runners import Runner

        self._plugin = plugin_class()(self._guard)
        put_back = replace_methods(
            [(Runner, name, self._recorded(getattr(Runner, name))) for name in METHODS]
        )

        def undo() -> None:
            self._is_recording = False  # somebody may have put a wrapper around ours
            put_back()
            for manager in list(self._managers):
                manager.plugins[:] = [each for each in manager.plugins if each is not self._plugin]

        return undo

    def _recorded(self, method: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., Any]:
        @functools.wraps(method)
        async def run(runner: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            invocation = None
            with self._guard:
                if self._is_recording:
                    self._put_first(runner.plugin_manager)
                    session = kwargs.get("session_id") or getattr(kwargs.get("session"), "id", None)
                    invocation = Invocation(self._recorder, session)
            stream = method(runner, *args, **kwargs)
            try:
                while True:
                    with _within(invocation):
                        event = await anext(stream, stream)
                    if event is stream:
                        break
                    with self._guard:
                        if invocation is not None:
                            invocation.saw(event)
                    yield event
            except BaseException as error:
                with _within(invocation):
                    await stream.aclose()  # where our own reader has left, it is still open
                self._end(invocation, runner, kwargs, error)
                raise
            self._end(invocation, runner, kwargs, None)

        return run

    def _end(self, invocation: Any, runner: Any, kwargs: Any, error: BaseException | None) -> None:
        with self._guard:
            if invocation is not None:
                signal = kwargs.get("abort_signal")
                invocation.run.name(agent_id=getattr(runner.agent, "name", None))
                invocation.end(error, is_aborted=signal is not None and signal.is_set())

    def _put_first(self, manager: Any) -> None:
        """Put our plugin before the others: one that answers for the agent keeps those after it from being called."""
        if not manager.plugins or manager.plugins[0] is not self._plugin:
            others = [each for each in manager.plugins if not isinstance(each, Hooks)]
            manager.plugins[:] = [self._plugin, *others]
        self._managers.add(manager)


@contextmanager
def _within(invocation: Invocation | None) -> Generator[None]:
    """Bind the invocation while an event is made, and not while its reader has it."""
    if invocation is None:
        yield
        return
    token = current.set(invocation)
    try:
        with invocation.run.bound():
            yield
    finally:
        current.reset(token)
