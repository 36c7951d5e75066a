"""The guard around a handler of ours: what goes wrong in it reaches nobody, unless that is asked for."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    NamedTuple,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    cast,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")


class Seen(NamedTuple):
    """What is lost within a strict guard, and the strict guard around that."""

    errors: list[Exception]
    around: Seen | None


losses_seen: ContextVar[Seen | None] = ContextVar("trailhouse_losses", default=None)
"""Where `Losses.note` leaves what is lost, within a strict guard."""


class CountsLosses(Protocol):
    """Counts and tells losses; a `Losses`."""

    def note(self, what: str, error: Exception) -> None: ...


class Guard:
    """A block, or by decoration a function, that no `Exception` leaves: it is counted and told as a loss.

    What is no `Exception` is not ours to stop: a cancellation, Ctrl-C and an exit go on. With *strict*, for whoever
    must not act without a record, what the block raises goes on too; and where it raises nothing, the first loss
    within it is raised at its end: until then all goes on as without, so that an adapter's books stay whole.

    Made by `Recorder.guard`. May be entered again, also within itself, and by many threads at once.
    """

    __slots__ = ("_losses", "_strict", "_what")

    def __init__(self, losses: CountsLosses, what: str, *, strict: bool = False) -> None:
        self._losses = losses
        self._what = what
        self._strict = strict

    def __enter__(self) -> Self:
        if self._strict:
            losses_seen.set(Seen([], losses_seen.get()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self._strict:
            return self._raise_losses(error)
        if not isinstance(error, Exception):
            return False
        self._losses.note(self._what, error)
        return True

    def _raise_losses(self, error: BaseException | None) -> bool:
        seen = losses_seen.get() or Seen([], None)
        losses_seen.set(seen.around)
        if error is None and seen.errors:
            raise seen.errors[0]
        if isinstance(error, Exception):
            self._losses.note(self._what, error)
        return False

    def __call__(self, function: Callable[P, T]) -> Callable[P, T | None]:
        """Return *function* guarded; it returns None where it raised. A coroutine function stays one."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self:
                    return await cast("Any", function)(*args, **kwargs)

            return cast("Callable[P, T | None]", guarded_async)

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T | None:
            with self:
                return function(*args, **kwargs)
            return None

        return guarded


class NotesLosses(Protocol):
    """Where losses are noted; a `Recorder`."""

    def note_loss(self, what: str, error: Exception) -> None: ...


class Recorded(Protocol):
    """What is recorded by a recorder: a run, a tool call."""

    @property
    def recorder(self) -> NotesLosses: ...

    @property
    def is_strict(self) -> bool: ...


R = TypeVar("R", bound=Recorded)


def harmless(method: Callable[Concatenate[R, P], None]) -> Callable[Concatenate[R, P], None]:
    """Make a method that records note what goes wrong in it, whatever it is given, unless it is strict."""
    what = method.__name__

    @functools.wraps(method)
    def noting(recorded: R, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(recorded, *args, **kwargs)
        except Exception as error:
            if recorded.is_strict:
                raise
            recorded.recorder.note_loss(what, error)

    return noting
