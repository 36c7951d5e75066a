"""Hold rows against their records in several processes: Python computes in one thread of each at a time."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread

import msgspec

from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.rows.process import (
    Answer,
    Order,
    frame_from,
    framed,
    order_bytes,
)
from trailhouse.operate.verify.rows.shares import SAMPLE_SQL, SHARES_EACH, shares
from trailhouse.operate.verify.rows.stream import Rows, Wanted, rows_of
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.config import ClickHouseConfig

MOST_BY_DEFAULT = 4
ROWS_FOR_PROCESSES = 200_000
"""Fewer are looked at sooner than a process has started."""
MODULE = "trailhouse.operate.verify.rows.process"
_HELD_EACH = 2
_WAKE_SECONDS = 0.2
_decode = msgspec.msgpack.Decoder(Answer).decode


def usual_jobs() -> int:
    """Return how many processes a run has unless it is told: one a processor but one, and no more than four.

    With two, beside ClickHouse, processes gain nothing (`python -m benchmarks.verifying`).
    """
    return max(1, min((os.cpu_count() or 1) - 1, MOST_BY_DEFAULT))


def _go_on() -> None:
    """Nobody ends it."""


class RowReaders:
    """Reads rows in *jobs* processes, which end with the reading; in this one where *jobs* is 1 or rows are few.

    Args:
        jobs: How many.
        go_on: Raises once nobody wants the rows any more.
    """

    def __init__(self, jobs: int = 1, go_on: Callable[[], None] = _go_on) -> None:
        self._jobs = jobs
        self._go_on = go_on

    def rows_of(self, clickhouse: ClickHouse, wanted: Wanted, count: int) -> Iterator[Rows]:
        """Yield the rows that are *wanted*, about *count*, copies and all, in no order.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
            CannotCheckError: A process ended that should not, as where memory is short.
        """
        if self._jobs < 2 or count < ROWS_FOR_PROCESSES:
            return rows_of(clickhouse, wanted)
        return self._of_processes(clickhouse, wanted)

    def _of_processes(self, clickhouse: ClickHouse, wanted: Wanted) -> Iterator[Rows]:
        [(sample,)] = clickhouse.query(
            SAMPLE_SQL.format(wanted.condition), dict(wanted.parameters)
        ).rows
        left = list(shares(wanted, sample, self._jobs * SHARES_EACH))
        readers = _Readers(clickhouse.config, left, min(self._jobs, len(left)))
        try:
            yield from readers.rows(self._go_on)
        finally:
            readers.end()


class _Readers:
    """Threads that each have a process; what these find is taken from one queue."""

    def __init__(self, config: ClickHouseConfig, left: list[Wanted], count: int) -> None:
        self._config = config
        self._left = left
        self._lock = Lock()
        self._ended = Event()
        self._found: Queue[Rows | BaseException | None] = Queue(_HELD_EACH * count)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads = [
            Thread(target=self._read, name="trailhouse verify rows", daemon=True)
            for _ in range(count)
        ]

    def rows(self, go_on: Callable[[], None]) -> Iterator[Rows]:
        """Yield what they find, until all shares are read; *go_on* raises where nobody wants it any more."""
        for thread in self._threads:
            thread.start()
        running = len(self._threads)
        while running:
            go_on()
            try:
                found = self._found.get(timeout=_WAKE_SECONDS)
            except Empty:
                continue
            if isinstance(found, BaseException):
                raise found
            if found is None:
                running -= 1
            else:
                yield found

    def end(self) -> None:
        """End all processes; returns when they are gone."""
        self._ended.set()
        with self._lock:
            for process in self._processes:
                process.kill()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _read(self) -> None:
        try:
            process = self._started()
            try:
                while (share := self._next_share()) is not None:
                    self._ask(process, share)
            finally:
                _end(process)
        except Exception as error:  # noqa: BLE001 - raised where rows are waited for
            self._put(error)
        else:
            self._put(None)

    def _started(self) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        with self._lock:
            if self._ended.is_set():
                raise CannotCheckError("the run was ended")
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE],
                stdin=pipe,
                stdout=pipe,
                stderr=subprocess.DEVNULL,
            )
            self._processes.append(process)
        return process

    def _next_share(self) -> Wanted | None:
        with self._lock:
            return self._left.pop(0) if self._left and not self._ended.is_set() else None

    def _ask(self, process: "subprocess.Popen[bytes]", share: Wanted) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process without pipes")
        with contextlib.suppress(BrokenPipeError):  # its end is told below
            process.stdin.write(framed(order_bytes(Order(self._config, share))))
            process.stdin.flush()
        while (frame := frame_from(process.stdout)) is not None:
            answer = _decode(frame)
            if answer.failure is not None:
                raise answer.failure.error()
            if answer.is_last:
                return
            self._put(answer.rows())
        raise CannotCheckError(
            "a process that looked at rows has ended by itself, as where memory is short: verify again with --jobs 1"
        )

    def _put(self, found: Rows | BaseException | None) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(Full):
                self._found.put(found, timeout=_WAKE_SECONDS)
                return


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):  # half of an order may be left in it
            if pipe is not None:
                pipe.close()
    process.wait()
