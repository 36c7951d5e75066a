"""Runs a Python program under the examination of `trailhouse doctor capture`."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trailhouse.cli.output.console import tell
from trailhouse.schemas.errors import ConfigError

if TYPE_CHECKING:
    from trailhouse.capture.doctor import CaptureReport

_RUNNER = ("-m", "trailhouse.capture.doctor.running")


def examined(program: Sequence[str]) -> "CaptureReport":
    """Run *program* to its end, with this process's input and output, and return what it reports.

    Raises:
        ConfigError: It is no Python program, or it wrote no report: it was killed, left by `os._exit`, or its
            interpreter has not Trailhouse. Permanent.
    """
    import msgspec

    from trailhouse.capture.doctor import CaptureReport

    interpreter, words = python_words(program)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "report.json"
        # Its output goes to standard error: ours is the report.
        done = subprocess.run(
            [*interpreter, *_RUNNER, str(place), *words], stdout=sys.stderr.fileno(), check=False
        )
        if done.returncode:
            tell(f"the program ended with {done.returncode}")
        if not place.exists():
            raise ConfigError(
                "the program left no report: it was killed, left by os._exit, or runs where Trailhouse is not"
                " installed; call trailhouse.capture.doctor.report() in it"
            )
        return msgspec.json.decode(place.read_bytes(), type=CaptureReport)


def python_words(program: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the interpreter that runs *program*, with its options, and what that is given to run.

    Raises:
        ConfigError: It is not a Python program. Permanent.
    """
    first, *rest = program
    if Path(first).name.startswith("python"):
        options = []
        while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c", "--import"):
            option = rest.pop(0)
            options += [option, rest.pop(0)] if option in ("-X", "-W") and rest else [option]
        if not rest:
            raise ConfigError("name what Python is to run: a script, -m MODULE or -c CODE")
        # By its bare name it is the one that runs us: another would not have Trailhouse.
        return [sys.executable if first in ("python", "python3") else first, *options], rest
    script = shutil.which(first) or first
    interpreter = _interpreter_of(Path(script))
    if interpreter is None:
        raise ConfigError(f"{first} is not a Python program; `-- python …` runs one")
    return [interpreter], [script, *rest]


def _interpreter_of(script: Path) -> str | None:
    """Return the interpreter that a script names in its first line, or ours for a file that ends in ``.py``."""
    try:
        with script.open("rb") as file:
            line = file.readline(512)
    except OSError:
        return None
    named = line[2:].decode(errors="replace").split() if line.startswith(b"#!") else []
    if named and "python" in Path(named[-1]).name:
        return named[-1] if Path(named[-1]).is_absolute() else shutil.which(named[-1])
    return sys.executable if script.suffix == ".py" else None
