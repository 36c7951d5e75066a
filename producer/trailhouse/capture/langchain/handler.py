"""What all of our callbacks stand on: the runs, the pauses, and a guard around each."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trailhouse.capture.langchain.pauses import Pauses
from trailhouse.capture.langchain.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.producer.recording.recorder import Recorder

C = TypeVar("C", bound="Callable[..., None]")


class Handler:
    """A handler of LangChain's callbacks.

    Each callback runs on the thread and in the task of what it tells of; the ends of asynchronous steps in a task
    of their own.
    """

    run_inline = True  # else LangChain calls it in other threads, out of order

    def __init__(self, recorder: Recorder, *, strict: bool) -> None:
        self.recorder = recorder
        self.runs = Runs(recorder)
        self.pauses = Pauses()
        self.raise_error = strict

    def guard(self, what: str) -> Any:
        """Return the block in which what goes wrong reaches nobody, unless the adapter is strict."""
        return self.recorder.guard(f"langchain {what}", strict=self.raise_error)


def guarded(callback: C) -> C:
    """Put the handler's guard around *callback*."""

    @wraps(callback)
    def call(self: Handler, *args: Any, **kwargs: Any) -> None:
        with self.guard(callback.__name__):
            callback(self, *args, **kwargs)

    return cast("C", call)
