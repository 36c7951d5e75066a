"""One call of a model whose end is told from elsewhere: by another thread, after its answer is there, or never."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from trailhouse.producer.object_fields import code_and_message
from trailhouse.producer.recording.locks import new_lock
from trailhouse.producer.recording.tool_call import NO_END
from trailhouse.schemas.errors import ProducerClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.producer.recording.registry import Registry
    from trailhouse.producer.recording.usage import Usage

END_AWAITED_SECONDS = 10.0
"""How long a run's end waits for the ends of its model calls."""


class CallingRun(Protocol):
    """What a model call asks of its run."""

    @property
    def recorder(self) -> Registry: ...

    @property
    def is_open(self) -> bool: ...

    @property
    def model_calls(self) -> ModelCalls: ...

    def use(
        self, usage: Usage, *, call_id: str | None = None, source: str | None = None
    ) -> None: ...

    def model_call_failed(self, error: object) -> None: ...


class ModelCall:
    """A model's call within a run; made by `Run.model_call`, which says what the run does for it.

    Attributes:
        run: The run.
    """

    def __init__(self, run: CallingRun) -> None:
        self.run = run
        # Held until its end is logged. May be entered again: a signal handler may record within a call.
        self._lock = new_lock()
        self._is_over = False
        # After the close the run does not wait for it, and what is told of it is a loss. Whoever gives it up at once
        # waits until the run knows of it.
        with self._lock, suppress(ProducerClosedError):
            run.recorder.note_open_call(self)
            run.model_calls.note(self, has_ended=False)

    @property
    def is_open(self) -> bool:
        """Whether its end is not known."""
        return not self._is_over

    def complete(
        self, usage: Usage, *, call_id: str | None = None, source: str | None = None
    ) -> None:
        """Log what it used, as `Run.use` does; nothing when it has ended."""
        with self._lock:
            if self._ends():
                self.run.use(usage, call_id=call_id, source=source)
                self._forget()

    def fail(self, error: object = None, *, code: str | None = None) -> None:
        """Log `model_call_failed` with the error's code, or *code* before it; nothing when it has ended."""
        with self._lock:
            if self._ends():
                found, message = code_and_message(error)
                self.run.model_call_failed({"code": code or found, "message": message})
                self._forget()

    def drop(self) -> None:
        """Log nothing of it: another has recorded it."""
        with self._lock:
            if self._ends():
                self._forget()

    def leave_to_parent(self) -> None:
        """Have its end logged by the parent alone, in a forked child."""
        self._lock, self._is_over = new_lock(), True

    def _ends(self) -> bool:
        has_ended, self._is_over = self._is_over, True
        return not has_ended

    def _forget(self) -> None:
        # Known until then: who closes the recorder meanwhile waits for the run's end, which may be logged here.
        self.run.model_calls.note(self, has_ended=True)
        self.run.recorder.forget_call(self)


class ModelCalls:
    """The model calls of a run that are open, and the run's end that waits for theirs.

    Attributes:
        begun_total: How many have begun: who sees that it grew while its own model call was out knows that another
            tells of that one.
    """

    def __init__(self) -> None:
        self.begun_total = 0
        self._lock = threading.RLock()
        self._open: set[ModelCall] = set()
        self._waiting: Callable[[], None] | None = None
        self._timer: threading.Timer | None = None

    def __bool__(self) -> bool:
        return bool(self._open)

    def note(self, call: ModelCall, *, has_ended: bool) -> None:
        """Know that *call* is open or has ended; with the last of them ends what waits for it."""
        with self._lock:
            (self._open.discard if has_ended else self._open.add)(call)
            self.begun_total += not has_ended
            if self._open or self._waiting is None:
                return
            end, self._waiting, timer = self._waiting, None, self._timer
        if timer is not None:
            timer.cancel()
        end()

    def hold(self, end: Callable[[], None]) -> bool:
        """Tell whether calls are open; *end* is then called when they have ended, or the time of `limit` is over."""
        with self._lock:
            if not self._open:
                return False
            self._waiting = end
            self._timer = threading.Timer(END_AWAITED_SECONDS, self._end_all)
            self._timer.daemon = True
            return True

    def limit(self) -> None:
        """Let what is held wait for ten seconds at most."""
        if (timer := self._timer) is None:
            return
        try:
            timer.start()
        except RuntimeError:  # the interpreter ends, and starts no more threads
            self._end_all()

    def _end_all(self) -> None:
        with self._lock:
            some = next(iter(self._open), None)
        if some is not None:
            some.run.recorder.settle()
        with self._lock:
            calls = list(self._open)
        for call in calls:
            call.fail("its end was not reported", code=NO_END)
