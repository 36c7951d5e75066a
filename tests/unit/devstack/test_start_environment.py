"""What a process was started with: erased where the kernel shows it, kept where the program looks."""

import os
import subprocess
import sys

_PROGRAM = """
import ctypes, os, pathlib
from trailhouse.devstack.start_environment import erase_start_environment
del os.environ["REMOVED"]
erase_start_environment()
shown = pathlib.Path("/proc/self/environ").read_bytes().strip(bytes(1))
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
print(shown, os.environ["KEPT"], getenv(b"KEPT"), getenv(b"REMOVED"))
"""


def test_what_a_process_was_started_with_is_erased_and_its_variables_stay() -> None:
    """The kernel shows nothing of the environment at the start; Python and C code find what was not removed."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=os.environ | {"KEPT": "kept", "REMOVED": "secret"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("b'' kept b'kept' None\n", "")
