"""Writes a frame with Python's lock held: for threads that log at once, as long as the disk is quick.

A thread gives Python's lock away for each call of the operating system, and needs it back 2 µs later. With
eight threads that want it, each such call wakes one of them, and takes several times as long as what is
written: 30 µs an event, and milliseconds for one in twenty. For a copy into the page cache that is a bad
trade; for a disk that holds the writer up it is the only right one, since everything else goes on meanwhile.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED_WRITES = 10_000
"""Writes with the lock held after two threads have met."""
SLOW_SECONDS = 0.02
"""A disk that is busy holds a writer up for as long; what the system switches out on a busy machine, for less."""
QUICK_WRITES = 1_000
"""After so many a slow one is the first again."""
LONGEST_PAUSE = 64
"""A slow write is followed by a pause as long, one that follows soon by one twice as long, and so on up to this."""


class HeldWrite:
    """Chooses how frames are written to one spool. Safe for threads, and in signal handlers."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now_seconds = clock.monotonic_seconds
        self._pwrite = c_pwrite()
        self.left_writes = 0
        """How many are still to be done by `write`; with none left, it is `os.pwrite`."""
        self._pause = 1
        self._not_before_seconds = 0.0

    def note_meeting(self) -> None:
        """Note that two calls want to write at once."""
        if self._pwrite is not None and self._now_seconds() >= self._not_before_seconds:
            self.left_writes = SHARED_WRITES

    def write(self, fd: int, content: bytes, offset: int) -> int:
        """Write *content* at *offset*, like `os.pwrite`; return how much of it was taken.

        Raises:
            OSError: It cannot be written.
        """
        pwrite = self._pwrite
        if self.left_writes <= 0 or pwrite is None:
            return os.pwrite(fd, content, offset)
        self.left_writes = left_writes = self.left_writes - 1
        began = self._now_seconds()
        written = pwrite(fd, content, len(content), offset)
        ended = self._now_seconds()
        # Unless this thread was switched out between two instructions, and others have written.
        if ended - began > SLOW_SECONDS and self.left_writes == left_writes:
            self._rest(ended, ended - began)
        # The usual way says why, if it fails again.
        return written if written == len(content) else os.pwrite(fd, content, offset)

    def _rest(self, now_seconds: float, took_seconds: float) -> None:
        is_first = SHARED_WRITES - self.left_writes > QUICK_WRITES
        self._pause = 1 if is_first else min(2 * self._pause, LONGEST_PAUSE)
        self._not_before_seconds = now_seconds + self._pause * took_seconds
        self.left_writes = 0


def c_pwrite() -> Callable[[int, bytes, int, int], int] | None:
    """Return the C library's `pwrite`, called with Python's lock held; None where it cannot be had."""
    if sys.maxsize < 2**32:
        return None  # an offset may take 32 bits or 64 there
    try:
        import ctypes  # lazily: a program that spools nothing needs none

        pwrite = ctypes.PyDLL(None).pwrite
        pwrite.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int64)
        pwrite.restype = ctypes.c_ssize_t
    except (ImportError, AttributeError, OSError):  # or a signal handler has interrupted the import
        return None
    return pwrite
