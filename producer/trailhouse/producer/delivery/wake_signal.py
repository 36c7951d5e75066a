"""Wakes the sender: something has come, or somebody waits."""

import contextlib
import threading


class WakeSignal:
    """Wakes one thread. Unlike `threading.Event` it may be rung in a signal handler at any instant."""

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """End a `wait`: one that goes on, or the next."""
        with contextlib.suppress(RuntimeError):  # it was rung before
            self._silence.release()

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, and tell whether there was one within *seconds*."""
        return self._silence.acquire(timeout=seconds)
