"""Wakes the sender: something has come, or somebody waits."""

import contextlib
import threading


class WakeSignal:
    """Wakes one thread. Unlike `threading.Event` it may be sent in a signal handler at any instant."""

    def __init__(self) -> None:
        self._unsent = threading.Lock()
        self._unsent.acquire()

    def send(self) -> None:
        """End a `wait`: one that goes on, or the next."""
        if self._unsent.locked():
            with contextlib.suppress(RuntimeError):  # somebody else has sent it since
                self._unsent.release()

    def wait(self, seconds: float) -> bool:
        """Wait for a signal, and tell whether there was one within *seconds*."""
        return self._unsent.acquire(timeout=seconds)
