"""A program that exports into folder after folder and is killed, in each one step later, until one export ends whole.

A step is what the export does to its folder that a kill may come before: a file is opened, renamed or removed.
"""

import os
import signal
import sys
from pathlib import Path

from trailhouse.query import AuditReader

_STEPS = {"open", "os.rename", "os.remove", "os.mkdir"}


def main() -> None:
    """Export into the folders 1, 2, 3 … of the first argument; print how many exports were killed."""
    folder = Path(sys.argv[1])
    for step in range(1, 200):
        child = os.fork()
        if not child:
            _export(folder / str(step), step)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            sys.stdout.write(f"{step - 1} {os.WEXITSTATUS(status)}")
            return


def _export(target: Path, step: int) -> None:
    left = step

    def die_before(event: str, given: tuple[object, ...]) -> None:
        nonlocal left
        if event in _STEPS and str(given[0]).startswith(str(target)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die_before)
    code = 1
    try:
        with AuditReader() as reader:
            reader.export(target, rows_per_file=200)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
