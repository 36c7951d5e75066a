"""Erase the environment that this process was started with from where the kernel shows it: ``/proc/PID/environ``.

It keeps what the variables were at the start, whatever the program has removed since: a password, a token of a service.
"""

import ctypes
import os
from pathlib import Path

_START_FIELD = 50
"""Of ``/proc/self/stat``: where the environment lies in memory, and with the next field where it ends."""


def erase_start_environment() -> None:
    """Overwrite it with zeros; `os.environ`, and what C code asks for by ``getenv``, stay as they are now.

    Call it while no other thread runs that may look at the environment. Does nothing where there is no ``/proc``.
    """
    try:
        stat = Path("/proc/self/stat").read_text()
    except FileNotFoundError:
        return
    # The second field is the program's name, and may hold blanks and brackets.
    fields = stat[stat.rindex(")") + 2 :].split()
    began, ended = (int(fields[_START_FIELD - 3 + place]) for place in (0, 1))
    for name, value in os.environ.items():
        os.putenv(name, value)  # a copy of its own: the C library looks at the start's until then
    ctypes.memset(began, 0, ended - began)
