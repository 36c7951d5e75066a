"""Switch the guarding mechanisms off, one after the other, and expect the faults they guard from to show.

Run by ``make faults-red``; names as arguments run these alone. Prints one line a mechanism, and ends
with 1 when a fault test stayed green: then either the mechanism guards nothing, or the test sees nothing.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "support"
sys.path.insert(0, str(SUPPORT))

from mechanisms import MECHANISMS, VARIABLE  # noqa: E402 - found by the line above

PATHS = [str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]
TESTS_FAILED = 1
LONGEST_SECONDS = 240.0
TOKEN = "RED_RUN"


def can_be_switched_off(name: str) -> bool:
    """Tell whether the patch still finds what it patches: a program that dies of it proves nothing."""
    program = "import mechanisms; mechanisms.switch_off_what_is_told()"
    command = [sys.executable, "-c", program]
    environment = os.environ | {VARIABLE: name, "PYTHONPATH": os.pathsep.join(PATHS)}
    return subprocess.run(command, env=environment, check=False).returncode == 0


def end_all_of(token: str) -> None:
    """Kill what a run has left behind, in whatever session it stands: it has the run's token from its parents."""
    mark = f"{TOKEN}={token}".encode()
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdecimal() and mark in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def run(name: str, selection: str) -> tuple[int, str]:
    """Run the selected fault tests without the mechanism; return the exit code and what was seen first."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
        str(Path(__file__).parent), "-k", selection,
    ]  # fmt: skip
    token = uuid.uuid4().hex
    # Into a file, not a pipe: what a test leaves hanging would hold a pipe open.
    with tempfile.TemporaryFile("w+") as output:
        try:
            code = subprocess.run(
                command,
                env=os.environ | {VARIABLE: name, TOKEN: token, "TESTS_DEADLINE_SECONDS": "30"},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LONGEST_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return TESTS_FAILED, f"no end within {LONGEST_SECONDS:g} s"
        finally:
            end_all_of(token)
        output.seek(0)
        told = output.read()
    seen = re.findall(r"^E +(.*)$", told, re.MULTILINE)
    return code, seen[0] if seen else told[-300:]


def main(names: list[str]) -> int:
    """Run all of *names*; return how many fault tests stayed green, or did not run."""
    green: list[str] = []
    for name in names:
        if not can_be_switched_off(name):
            green.append(f"{name} (cannot be switched off)")
            continue
        for selection in MECHANISMS[name].faults:
            began = time.monotonic()
            code, seen = run(name, selection)
            word = "red" if code == TESTS_FAILED else "GREEN" if code == 0 else f"exit {code}"
            if code != TESTS_FAILED:
                green.append(f"{name} ({selection})")
            took = time.monotonic() - began
            print(f"{word:6} {name:26} {selection:34} {took:4.0f} s  {seen[:150]}", flush=True)  # noqa: T201 - a program
    if green:
        print(f"stayed green without their mechanism: {', '.join(green)}", file=sys.stderr)  # noqa: T201
    return min(len(green), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(MECHANISMS)))
