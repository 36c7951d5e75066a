"""A run around a block of plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.producer.context import described
from trailhouse.producer.object_fields import read_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from trailhouse.producer.context import Binding
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

SOURCE = "python"


def open_plain_run(recorder: Recorder, session: object, **named: Any) -> Run:
    """Open a run of plain Python, its *session* in any form.

    Raises:
        EventError, DeliveryError: As `Recorder.open_run`, in strict mode alone.
    """
    session_id = read_id(described(session), "id", "session_id")
    return recorder.open_run(session_id, source=SOURCE, **named)


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
        try:
            bound = run.bound()
            bound.__enter__()
            self._entered = run, bound
        except BaseException as error:  # Ctrl-C, after which nobody leaves the block
            run.end(error)
            raise
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
            end_run(run, error)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def end_run(run: Run, error: BaseException | None) -> None:
    """End *run* as *error* says, which is about to go on; and so it does, whatever happens here.

    Raises:
        EventError, DeliveryError: As `AuditLogger.log`: the end could not be logged; in strict mode, and without an
            *error*, alone.
    """
    try:
        run.end(error)
    except Exception as unlogged:
        if error is None:
            raise
        error.add_note(f"trailhouse: {unlogged}")
    except BaseException as stopped:  # Ctrl-C in the middle
        run.end(error or stopped)
        raise
