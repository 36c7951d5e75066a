"""Keep the parts of the stack as they are wanted: start, watch, start again after a death, stop.

One thread owns every process: it alone starts and ends them, so a child's bond to its parent (the kernel
ties it to a thread) holds as long as this program lives. Everything else asks and waits. It sleeps until
somebody asks for something, a process has ended, or a time has come.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from trailhouse.devstack.part import Part, PartState, PartStatus
from trailhouse.schemas.backoff import Backoff
from trailhouse.schemas.errors import StackError

logger = logging.getLogger(__name__)

_PARENT_DEATH = Path(__file__).with_name("parent_death.py")
_READY_EVERY_SECONDS = 0.05
_WATCH_SECONDS = 0.2
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_STEADY_SECONDS = 30.0
_DEATHS_BEFORE_FAILED = 3


def bound_to_parent(command: list[str], number: int = signal.SIGKILL) -> list[str]:
    """Return the command line that runs *command* and ends it by *number* when this process dies."""
    return [
        sys.executable,
        "-I",
        "-S",
        str(_PARENT_DEATH),
        str(os.getpid()),
        str(int(number)),
        *command,
    ]


class _Kept:
    """A part and what the supervisor's thread knows of it."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.state = PartState.STOPPED
        self.is_wanted = False
        self.was_ready = False
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0
        self.pauses = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self.next_start_at = 0.0
        self.ready_at = 0.0
        self.kill_at = 0.0
        self.last_words = ""

    def is_ready(self) -> bool:
        """Whether it is ready now; a death may not have been noticed yet."""
        return (
            self.state is PartState.READY
            and self.process is not None
            and self.process.poll() is None
        )

    def due_at_seconds(self) -> float:
        """When it must be looked at again, though nobody asks for anything and it goes on as it does."""
        if self.state is PartState.STARTING:
            return time.monotonic() + _READY_EVERY_SECONDS
        if self.state is PartState.STOPPING and not self.is_wanted:
            return self.kill_at
        return self.next_start_at if self.state is PartState.WAITING else float("inf")

    def is_settled(self) -> bool:
        """Whether waiting for it to be ready makes no sense any more."""
        return self.is_ready() or self.state is PartState.FAILED or not self.is_wanted


class Supervisor:
    """Runs parts in a thread of its own. `close` ends them all and the thread."""

    def __init__(self, parts: Iterable[Part], echo: Callable[[str], None]) -> None:
        self._kept = {part.name: _Kept(part) for part in parts}
        self._echo = echo
        self._changed = threading.Condition()
        self._has_news = threading.Event()
        self._is_closing = False
        self._kills = False
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, name: str) -> None:
        """Ask for a part to run; returns at once."""
        with self._changed:
            kept = self._kept[name]
            if not kept.is_wanted:
                kept.is_wanted, kept.was_ready = True, False
                kept.deaths, kept.next_start_at = 0, 0.0
                kept.pauses.reset()
                # To be asked for again is a new chance, with no deaths counted.
                if kept.state is PartState.FAILED:
                    kept.state = PartState.STOPPED
        self._has_news.set()

    def stop(self, name: str) -> None:
        """Ask for a part to end and to stay ended; returns at once."""
        with self._changed:
            self._kept[name].is_wanted = False
        self._has_news.set()

    def wait_ready(self, name: str) -> None:
        """Return once a part is ready.

        Raises:
            StackError: It failed, was stopped meanwhile, or took too long. Permanent; says its last words.
        """
        kept = self._kept[name]
        seconds = kept.part.start_seconds
        with self._changed:
            self._changed.wait_for(kept.is_settled, seconds)
            if kept.is_ready():
                return
            if kept.state is PartState.FAILED:
                raise StackError(
                    f"{name} does not start: {kept.last_words}; its log is {kept.part.log}"
                )
            if not kept.is_wanted:
                raise StackError(f"{name} was stopped before it was ready")
        log = kept.part.log
        raise StackError(
            f"{name} is not ready after {seconds:.0f} s; its log is {log}: {last_line(log)}"
        )

    def wait_stopped(self, name: str) -> None:
        """Return once a part has ended.

        Raises:
            StackError: It could not even be killed. Permanent.
        """
        kept = self._kept[name]
        ends = (PartState.STOPPED, PartState.FAILED)
        with self._changed:
            if not self._changed.wait_for(
                lambda: kept.state in ends, kept.part.stop_seconds + 10.0
            ):
                raise StackError(f"{name} cannot be stopped")

    def status(self) -> list[PartStatus]:
        """What every part is doing now."""
        with self._changed:
            return [
                PartStatus(
                    name, kept.state, kept.process.pid if kept.process else None, kept.part.port
                )
                for name, kept in self._kept.items()
            ]

    def kill_all(self) -> None:
        """End every part at once, without asking; returns at once."""
        with self._changed:
            self._kills = True
            for kept in self._kept.values():
                kept.is_wanted = False
        self._has_news.set()

    def close(self, order: Iterable[Iterable[str]]) -> None:
        """End the parts group by group, then the thread.

        Raises:
            StackError: A part could not be stopped. Permanent.
        """
        try:
            for group in order:
                names = list(group)
                for name in names:
                    self.stop(name)
                for name in names:
                    self.wait_stopped(name)
        finally:
            with self._changed:
                self._is_closing = True
            self._has_news.set()
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._has_news.clear()  # before the look: what comes after it is news again
            # Under the lock, so that nobody asks for a part after the last look at what is wanted.
            with self._changed:
                if self._is_closing:
                    self._end_rest()
                    return
                kept = list(self._kept.values())
            for each in kept:
                self._tend(each)
            due_seconds = min((each.due_at_seconds() for each in kept), default=float("inf"))
            self._has_news.wait(
                None if due_seconds == float("inf") else max(0.0, due_seconds - time.monotonic())
            )

    def _end_rest(self) -> None:
        for kept in self._kept.values():
            if kept.process is not None:
                kept.process.kill()
                kept.process.wait()

    def _tend(self, kept: _Kept) -> None:
        process = kept.process
        if process is not None and (code := process.poll()) is not None:
            self._has_ended(kept, code)
        # Whether it is wanted decides; why it is not there was said when it ended.
        elif process is None:
            self._tend_absent(kept)
        elif not kept.is_wanted:
            self._end(kept, process)
        elif kept.state is PartState.STARTING and kept.part.is_ready():
            kept.was_ready, kept.ready_at = True, time.monotonic()
            self._set(kept, PartState.READY)
            self._echo(f"{kept.part.name} is ready on 127.0.0.1:{kept.part.port}")

    def _tend_absent(self, kept: _Kept) -> None:
        if not kept.is_wanted:
            if kept.state is PartState.WAITING:  # it was to be started again, and now is not
                self._set(kept, PartState.STOPPED)
        elif kept.state is not PartState.FAILED and time.monotonic() >= kept.next_start_at:
            self._spawn(kept)

    def _spawn(self, kept: _Kept) -> None:
        part = kept.part
        try:
            command = bound_to_parent(part.command())
            with part.log.open("ab") as log:
                kept.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | dict(part.environment),
                    # Ctrl-C goes to the whole foreground group; the parts end in our order, not in the terminal's.
                    start_new_session=True,
                    umask=0o077,
                )
        except (OSError, StackError) as error:
            kept.last_words = str(error)
            self._set(kept, PartState.FAILED)
            self._echo(f"{part.name} cannot be started: {error}")
            return
        waiter = threading.Thread(
            target=self._await_end, args=(kept.process,), name=f"{part.name}-end", daemon=True
        )
        waiter.start()
        self._set(kept, PartState.STARTING)

    def _await_end(self, process: "subprocess.Popen[bytes]") -> None:
        if sys.platform == "linux":
            # Not `process.wait`: while that waits, nobody else is told that the process has ended.
            with contextlib.suppress(ChildProcessError):  # it was quicker, and somebody has asked
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        else:
            while process.poll() is None:
                time.sleep(_WATCH_SECONDS)
        self._has_news.set()

    def _end(self, kept: _Kept, process: subprocess.Popen[bytes]) -> None:
        if self._kills:
            process.kill()
        elif kept.state is not PartState.STOPPING:
            kept.kill_at = time.monotonic() + kept.part.stop_seconds
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)  # a paused part could not hear the first
            self._set(kept, PartState.STOPPING)
        elif time.monotonic() > kept.kill_at:
            self._echo(
                f"{kept.part.name} did not end within {kept.part.stop_seconds:.0f} s and is killed"
            )
            # Said and done once; only the operating system can still be slow about it.
            kept.kill_at = float("inf")
            process.kill()

    def _has_ended(self, kept: _Kept, code: int) -> None:
        if not kept.is_wanted:
            self._set_ended(kept, PartState.STOPPED)
            return
        name, how = kept.part.name, exit_text(code)
        is_steady = (
            kept.state is PartState.READY and time.monotonic() - kept.ready_at > _STEADY_SECONDS
        )
        if is_steady:
            kept.deaths = 0
            kept.pauses.reset()
        kept.deaths += 1
        kept.last_words = last_line(kept.part.log) or how
        # What has been ready once is started again for ever; what never was has a reason that stays.
        if not kept.was_ready and kept.deaths >= _DEATHS_BEFORE_FAILED:
            kept.is_wanted = False
            self._set_ended(kept, PartState.FAILED)
            return
        pause = kept.pauses.next_seconds()
        kept.next_start_at = time.monotonic() + pause
        self._set_ended(kept, PartState.WAITING)
        self._echo(f"{name} ended by itself ({how}); starting it again in {pause:g} s")

    def _set_ended(self, kept: _Kept, state: PartState) -> None:
        # At once, so that nobody is told of a part that is ready and has no process.
        with self._changed:
            kept.process = None
            self._set(kept, state)

    def _set(self, kept: _Kept, state: PartState) -> None:
        with self._changed:
            kept.state = state
            self._changed.notify_all()


def exit_text(code: int) -> str:
    """Say how a process ended, from the number `subprocess` gives."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def last_line(log: Path) -> str:
    """Return the last line of a log that says something; empty when there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        # The end alone: a log may have grown for weeks.
        file.seek(max(0, log.stat().st_size - 8_192))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
