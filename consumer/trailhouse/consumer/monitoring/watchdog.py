"""The watchdog: a worker that stands still while records wait ends, so that its supervisor starts it anew.

A part that is away is not a standstill: attempts go on and fail, and end. What counts as standing still
is an ingest thread that hangs, a statement that never ends, a consumer that delivers nothing, be it of
one partition: whatever else goes on, and however many questions are answered meanwhile.
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

import structlog

from trailhouse.consumer.monitoring.heartbeat import Heartbeat

EXIT_STALLED = 70
"""EX_SOFTWARE of sysexits.h: nothing is lost, the next worker reads the rest again."""

LOSES_NOTHING = "what was not committed is read again by the next worker"
INGEST_THREAD = "trailhouse-ingest"
SHOWN_FRAMES = 6
TICKS = 20
LONGEST_TICK_SECONDS = 5.0


class StallTimer:
    """Adds up how long the ingest thread did not turn. Time in which the process itself was stopped
    counts for two ticks."""

    def __init__(self, heartbeat: Heartbeat, tick_seconds: float) -> None:
        self._heartbeat = heartbeat
        self._tick_seconds = tick_seconds
        self._seen = heartbeat.turns
        self._still_seconds = 0.0

    def seconds_after(self, passed_seconds: float) -> float:
        """Return how long nothing turned, *passed_seconds* after the last call."""
        turns = self._heartbeat.turns
        if turns != self._seen:
            self._seen, self._still_seconds = turns, 0.0
        else:
            self._still_seconds += min(passed_seconds, 2 * self._tick_seconds)
        return self._still_seconds


class Watchdog:
    """Watches *heartbeat* in a thread of its own from `start` to `stop`; 0 seconds: never.

    It calls *on_stall* with one line when the ingest thread has not turned for *limit_seconds*, or when
    a partition has stood still for that long, and for longer than *attempt_seconds*, the time between
    the ends of two attempts to store a batch. By default, the line is logged and the process ends with 70.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        limit_seconds: float,
        attempt_seconds: float = 0.0,
        on_stall: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._heartbeat = heartbeat
        self._limit_seconds = limit_seconds
        self._stall_limit_seconds = max(limit_seconds, attempt_seconds)
        self._on_stall = on_stall or end_process
        self._clock = clock
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        if self._limit_seconds > 0:
            threading.Thread(target=self._watch, name="trailhouse-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer: from here on the drain's own deadline holds."""
        self._stop.set()

    def _watch(self) -> None:
        tick_seconds = min(LONGEST_TICK_SECONDS, self._limit_seconds / TICKS)
        stall_timer = StallTimer(self._heartbeat, tick_seconds)
        before = self._clock()
        while not self._stop.wait(tick_seconds):
            now = self._clock()
            hung_seconds = stall_timer.seconds_after(now - before)
            before = now
            if reason := self._standstill(hung_seconds):
                self._on_stall(f"{reason}; {LOSES_NOTHING}")
                return

    def _standstill(self, hung_seconds: float) -> str | None:
        """Say what stands still, if anything has for too long."""
        if hung_seconds >= self._limit_seconds:
            return (
                f"the ingest thread has hung for {hung_seconds:.0f} s in {stack_of(INGEST_THREAD)}"
            )
        stalled = self._heartbeat.stalled_seconds
        worst = max(stalled, key=lambda number: stalled[number], default=None)
        if worst is not None and stalled[worst] >= self._stall_limit_seconds:
            return f"no progress of partition {worst} for {stalled[worst]:.0f} s while records wait"
        return None


def stack_of(thread_name: str) -> str:
    """Return the functions that the thread is in, the innermost first; it names no values."""
    numbers = {thread.name: thread.ident for thread in threading.enumerate()}
    frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]  # documented, in spite of its name
    frame = frames.get(numbers.get(thread_name) or 0)
    names = [entry.name for entry in traceback.extract_stack(frame)] if frame else ["no thread"]
    return " < ".join(reversed(names[-SHOWN_FRAMES:]))


def end_process(reason: str) -> None:
    """Say why, and end the process at once with 70."""
    structlog.get_logger("trailhouse.worker").error("stalled", reason=reason)
    os._exit(EXIT_STALLED)
