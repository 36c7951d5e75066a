"""Starts that wait a moment for what they do not know yet: logged late, by one thread, and never lost."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from trailhouse.producer.recording.guard import Guard

DELAY_SECONDS = 0.25
THREAD_NAME = "trailhouse-deferred-starts"


class Guards(Protocol):
    def guard(self, what: str, *, strict: bool = False) -> Guard: ...


class Startable(Protocol):
    """A `Run`."""

    @property
    def recorder(self) -> Guards: ...

    @property
    def has_begun(self) -> bool: ...

    def begin(self) -> None: ...


class DeferredStarts:
    """Begins each run that is left here 250 ms later, unless something else has by then.

    One thread for the process: it is there while a start waits, for 250 ms at least, and ends when none does.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic_seconds
        self._waiting: deque[tuple[float, Startable]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, run: Startable) -> None:
        """Have *run* begin in 250 ms; at once where no thread can be started any more."""
        self._waiting.append((self._now() + DELAY_SECONDS, run))
        if (
            self._thread is None
        ):  # one that ends says so first, and then looks once more: see `_next`
            self._start()

    def _start(self) -> None:
        with self._changed:
            if self._thread is not None or not self._waiting:
                return
            self._thread = threading.Thread(target=self._serve, name=THREAD_NAME, daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter exits, or the system has no more threads
                self._thread = None
            else:
                return
        with suppress(IndexError):  # another takes them, too
            while True:
                _begin(self._waiting.popleft()[1])

    def _serve(self) -> None:
        while (run := self._next()) is not None:
            _begin(run)
            del run  # while this waits for the next it keeps none

    def _next(self) -> Startable | None:
        with self._changed:
            while True:
                if (run := self._next_due()) is not None:
                    return run
                self._thread, this = None, self._thread
                if not self._waiting:
                    return None
                self._thread = this  # a start was left by somebody who has seen this thread

    def _next_due(self) -> Startable | None:
        while self._waiting:
            due, run = self._waiting[0]
            if (wait_seconds := due - self._now()) > 0:
                # Also where it has begun: a thread that ended at once would be started anew for each run.
                del run
                self._changed.wait(wait_seconds)
                while self._waiting and self._waiting[0][1].has_begun:
                    self._waiting.popleft()
            else:
                self._waiting.popleft()
                if not run.has_begun:
                    return run
                del run
        return None

    def leave_to_parent(self) -> None:
        """Forget what waits, in a forked child: the parent begins it, by a thread that is not here."""
        self._waiting = deque()
        self._changed = threading.Condition()
        self._thread = None


def _begin(run: Startable) -> None:
    with run.recorder.guard("run_started"):
        run.begin()


DEFERRED_STARTS = DeferredStarts()
os.register_at_fork(after_in_child=DEFERRED_STARTS.leave_to_parent)
