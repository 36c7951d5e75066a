"""Start a program that dies with its parent: `python parent_death.py PARENT_PID SIGNAL PROGRAM [ARGUMENT…]`.

On Linux the kernel does it: this process asks for SIGNAL at its parent's death and becomes
PROGRAM. It is bound to the parent's *thread*, so start programs from one that lives as long as
they shall. Elsewhere this process stays, watches its parent, and kills PROGRAM. It is run by its
path, without site-packages, and imports nothing of Trailhouse.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_WATCH_SECONDS = 0.2


def bind_to_parent(parent_pid: int, number: int) -> None:
    """Ask Linux to send this process signal *number* when its parent dies; end at once if it is dead."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        sys.exit(1)


def watch(parent_pid: int, program: list[str]) -> int:
    """Run *program*, pass SIGTERM and SIGINT on to it, kill it when the parent is gone; return its exit code."""
    child = subprocess.Popen(program)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: child.send_signal(received))
    while child.poll() is None:
        if os.getppid() != parent_pid:
            child.kill()
        time.sleep(_WATCH_SECONDS)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def main(arguments: list[str]) -> None:
    """Bind to the parent and run the program."""
    parent_pid, number, program = int(arguments[0]), int(arguments[1]), arguments[2:]
    if sys.platform != "linux":
        sys.exit(watch(parent_pid, program))
    bind_to_parent(parent_pid, number)
    os.execvp(program[0], program)  # noqa: S606 - becoming the program is the point


if __name__ == "__main__":
    main(sys.argv[1:])
