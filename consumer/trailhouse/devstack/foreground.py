"""Hold a stack in the foreground: until Ctrl-C, or for as long as a command runs."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType

from trailhouse.devstack.stack import DevStack
from trailhouse.devstack.supervisor import bound_to_parent

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOT_FOUND = 127
_POLL_SECONDS = 0.1
_FORWARD_SECONDS = 1.0

_Handler = Callable[[int, FrameType | None], None]


class _Stopped(BaseException):
    """A signal asked this program to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def hold(stack: DevStack, when_ready: Callable[[], None]) -> None:
    """Run *stack* until SIGINT, SIGTERM or SIGHUP, then end it in order; a second signal kills it.

    Raises:
        StackError: It does not start, or cannot be stopped. Permanent; nothing is left running.
    """
    try:
        with _handling(_stop_once(stack)), stack:
            when_ready()
            threading.Event().wait()
    except _Stopped:
        return


def run_under(stack: DevStack, command: Sequence[str]) -> int:
    """Run *command* while *stack* runs; return its exit code, 128 and the number for a signal.

    The command inherits standard input, output and error and the terminal's signals.

    Raises:
        StackError: The stack does not start, or cannot be stopped. Permanent; nothing is left running.
    """
    if shutil.which(command[0]) is None:
        sys.stderr.write(f"{command[0]}: no such program\n")
        return _NOT_FOUND
    try:
        with _handling(_stop_once(stack)), stack:
            return _run(command, os.environ | stack.environment())
    except _Stopped as stopped:
        return 128 + stopped.number


def _stop_once(stack: DevStack) -> _Handler:
    stops = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stops
        stops += 1
        if stops == 1:
            raise _Stopped(number)
        stack.kill()

    return stop


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    process = subprocess.Popen(bound_to_parent(list(command), signal.SIGTERM), env=environment)
    interrupted_at: float | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted_at
        if number == signal.SIGINT:
            interrupted_at = interrupted_at or time.monotonic()
        else:
            process.send_signal(number)

    with _handling(pass_on):
        while process.poll() is None:
            time.sleep(_POLL_SECONDS)
            # A terminal sends Ctrl-C to the command too; without one it went to us alone.
            if (
                interrupted_at
                and time.monotonic() - interrupted_at > _FORWARD_SECONDS
                and not _has_terminal()
            ):
                interrupted_at = None
                process.send_signal(signal.SIGINT)
    code = process.returncode
    return code if code >= 0 else 128 - code


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


@contextmanager
def _handling(handler: _Handler) -> Generator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
