"""A run around a block of plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from trailhouse.producer.context import Binding
    from trailhouse.producer.recording.run import Run


class RunBlock:
    """Opens a run at the start of a ``with`` or ``async with`` block and ends it as the block ends.

    Made by `AuditLogger.run`, and entered once.
    """

    def __init__(self, open_run: Callable[[], Run]) -> None:
        self._open_run = open_run
        self._entered: tuple[Run, Binding] | None = None

    def __enter__(self) -> Run:
        if self._entered is not None:
            raise RuntimeError("a run is entered once: call `run` again for another block")
        run = self._open_run()
        bound = run.bound()
        bound.__enter__()
        self._entered = run, bound
        return run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._entered is not None:
            run, bound = self._entered
            bound.__exit__(kind, error, trace)
            run.end(error)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)
