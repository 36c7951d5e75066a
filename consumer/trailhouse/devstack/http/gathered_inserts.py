"""Inserts that a client lets the server gather (`async_insert`): those that come at about the same time are one part.

The engine itself gathers nothing: it stores what each statement brings at once. As of a server, an answer
comes once the part is written (`wait_for_async_insert`); without that wish, and in other formats than Native,
whose blocks may simply follow one another, an insert is stored by itself.
"""

import shutil
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import IO

from trailhouse.devstack.engine import Work
from trailhouse.devstack.engine_error import EngineError

SHORTEST_SECONDS = 0.05
LONGEST_SECONDS = 0.2
"""As `async_insert_busy_timeout_min_ms` and `…_max_ms` by default, which is what a server waits for more."""
LONGER_FACTOR = 1.5
MOST_WAIT_MS = 60_000
"""A thread waits meanwhile."""
MOST_BYTES = 10_485_760
"""As `async_insert_max_data_size`: with so much the insert waits for no more."""
_TRUE = ("1", "true")

Run = Callable[[IO[bytes]], Work]


class _Group:
    """Inserts of one kind that wait for each other; its first member stores them all."""

    def __init__(self) -> None:
        self.rows: list[IO[bytes]] = []
        self.size_bytes = 0
        self.is_large = threading.Event()
        self.is_over = threading.Event()
        self.error: EngineError | None = None
        self.is_stored = False


class GatheredInserts:
    """Shared by all threads that run statements. Which inserts are of one kind, its caller says."""

    def __init__(self, wait_seconds: float = SHORTEST_SECONDS) -> None:
        """Prepare it; *wait_seconds* is how long the first inserts wait for others."""
        self._lock = threading.Lock()
        self._open: dict[Hashable, _Group] = {}
        self._wait_seconds = wait_seconds

    def insert(
        self, kind: Hashable, rows: IO[bytes], run: Run, wait_seconds: float | None = None
    ) -> Work:
        """Return once *rows* are stored, together with what others bring for the same *kind* meanwhile.

        Args:
            kind: The statement and all it depends on: only inserts that are equal in it are stored together.
            rows: An open file of Native blocks, as long as its position says; it is read, not closed.
            run: Stores a file of blocks, and returns what that was. It is called in one of the threads that wait.
            wait_seconds: How long the first of them waits for others; by what was met before where nobody says it.

        Returns:
            What was done for all of them to one of the threads, nothing to the others: sums are right.

        Raises:
            EngineError: The rows of all of them were refused, or none is known to be stored.
        """
        with self._lock:
            group = self._open.get(kind)
            is_first = group is None
            if group is None:
                group = self._open[kind] = _Group()
            group.rows.append(rows)
            group.size_bytes += rows.tell()
            if group.size_bytes >= MOST_BYTES:
                group.is_large.set()
        if is_first:
            return self._store(kind, group, run, wait_seconds)
        group.is_over.wait()
        if not group.is_stored:
            # An error of its own for each thread: raising adds to it.
            error = group.error or EngineError(1001, "STD_EXCEPTION", "The insert was given up")
            raise EngineError(error.code, error.name, error.text)
        return Work()

    def _store(self, kind: Hashable, group: _Group, run: Run, wait_seconds: float | None) -> Work:
        group.is_large.wait(self._wait_seconds if wait_seconds is None else wait_seconds)
        with self._lock:
            del self._open[kind]
            if wait_seconds is None:
                self._adapt(len(group.rows))
        try:
            work = run(_joined(group.rows))
            group.is_stored = True
            return work
        except EngineError as error:
            group.error = error
            raise
        finally:
            group.is_over.set()

    def _adapt(self, inserts: int) -> None:
        """Where nobody else comes, the next one waits less long."""
        factor = LONGER_FACTOR if inserts > 1 else 1 / LONGER_FACTOR
        self._wait_seconds = min(
            LONGEST_SECONDS, max(SHORTEST_SECONDS, self._wait_seconds * factor)
        )


def wait_seconds_of(settings: Mapping[str, str]) -> float | None:
    """Return how long the client wants the first insert to wait for others; None where the server is to find out.

    Raises:
        EngineError: It is no number of milliseconds that a server would take.
    """
    if settings.get("async_insert_use_adaptive_busy_timeout", "1") in _TRUE:
        return None
    text = settings.get("async_insert_busy_timeout_max_ms", f"{LONGEST_SECONDS * 1_000:.0f}")
    if not (
        text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) <= MOST_WAIT_MS
    ):
        raise EngineError(36, "BAD_ARGUMENTS", "async_insert_busy_timeout_max_ms is out of range")
    return int(text) / 1_000


def may_be_gathered(input_format: str, settings: Mapping[str, str]) -> bool:
    """Tell whether an insert in *input_format* under *settings* is one that the client lets the server gather."""
    return (
        input_format == "Native"
        and settings.get("async_insert", "0") in _TRUE
        and settings.get("wait_for_async_insert", "1") in _TRUE
    )


def _joined(rows: list[IO[bytes]]) -> IO[bytes]:
    """Append the rest to the first, and return that."""
    whole, *others = rows
    for each in others:
        each.seek(0)
        shutil.copyfileobj(each, whole)
    whole.flush()
    return whole
