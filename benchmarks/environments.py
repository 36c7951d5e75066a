"""An environment of its own for each peer: their pins conflict with ours and with each other's."""

import hashlib
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
FOLDER = Path(__file__).parents[1] / ".bench"


def python_of(name: str) -> Path:
    """Return the Python of the environment that ``peers/<name>.txt`` pins, built when it is missing.

    Raises:
        SystemExit: pip cannot install it; says what to look at.
    """
    requirements = PEERS / f"{name}.txt"
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "requirements.sha256"
    # All contestants run by the same Python: how it was built tells by a sixth.
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"building {folder.relative_to(FOLDER.parent)} …", file=sys.stderr, flush=True)
    subprocess.run(
        [sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True
    )
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet"]
    if subprocess.run([*install, "--requirement", str(requirements)], check=False).returncode:
        raise SystemExit(
            f"benchmarks: {requirements.name} cannot be installed; see pip's words above"
        )
    stamp.write_text(wanted)
    return python
