"""Switch the duties of verify off, one after the other, and expect the attacks to pass that it alone finds.

Run by ``make attacks-red``; names as arguments switch these alone off. Prints one line a duty, and ends with 1 where an
attack is still found, or where no attack needs a duty: then that duty may be missing without anybody's notice.
"""

import os
import subprocess
import sys
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "support"
sys.path[:0] = [str(SUPPORT), str(SUPPORT.parents[1])]

from attack import VARIABLE  # noqa: E402 - as above
from attack_list import ATTACKS  # noqa: E402 - found by the line above, and filled by all of them
from trailhouse.operate.verify.registry import DUTIES  # noqa: E402 - as above


def main(names: list[str]) -> int:
    """Run the attacks of each of *names* without it; return how many duties are not needed."""
    wrong = 0
    for name in names or [duty.name for duty in DUTIES]:
        if not any(name in attack.found_by for attack in ATTACKS):
            wrong += 1
            sys.stdout.write(f"{name}: no attack is said to be found by it\n")
            continue
        code = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                str(Path(__file__).parent),
            ],
            env=os.environ | {VARIABLE: name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
        )
        passed = code.returncode == 0
        wrong += not passed
        last = code.stdout.strip().splitlines()[-1] if code.stdout.strip() else ""
        sys.stdout.write(f"{name}: {'its attacks pass' if passed else 'still found'} ({last})\n")
        if not passed:
            sys.stdout.write(code.stdout[-3_000:])
        sys.stdout.flush()
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
