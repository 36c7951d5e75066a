"""docs/proof.md: its vectors are those of the code, and its commands check a bundle by hand."""

import re
import subprocess
from pathlib import Path

import pytest

from made_bundle import LOG_KEY, PIN, MadeLog
from trailhouse.operate.prove.bundle_files import bundle_of
from trailhouse.operate.prove.check import read_archive

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "proof.md").read_text(encoding="utf-8")
VECTORS = (
    "tests/unit/proof/test_leaf.py",
    "tests/unit/proof/test_manifest.py",
    "tests/unit/proof/test_seal_check.py",
)


def test_its_vectors_are_tested() -> None:
    """Each is held by a unit test, so that no reader writes a checker against another value."""
    tested = "".join((ROOT / name).read_text(encoding="utf-8") for name in VECTORS)
    tested = re.sub(r'"\s+"', "", tested)  # a long one stands in two parts
    vectors = re.findall(r"`([0-9a-f]{64,})`", TEXT)
    assert len(vectors) == 10
    assert [vector for vector in vectors if vector not in tested] == []


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Unpack a bundle, with the commands of the page beside it."""
    made = MadeLog()
    for name, data in read_archive(bundle_of(made.whole_session("session-1"), LOG_KEY)).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    found = re.search(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    (tmp_path / "by-hand.sh").write_text(found[1], encoding="utf-8")
    return tmp_path


def _run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "by-hand.sh"], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_bundle_is_checked_by_hand(commands: Path) -> None:
    """With openssl and sha256sum alone: keys, anchor, record, and the way to the root."""
    done = _run(commands)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("Signature Verified Successfully") == 3
    assert PIN in lines[0]
    assert lines[-1] == "in the log"
    assert "anchored" in lines


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("events/000000.record", b"x", b"y"),
        ("events/000000.tlog-proof", b"index 1\n", b"index 3\n"),
        ("policies/000001.policy", b'"quorum":0', b'"quorum":1'),
        ("anchors/000000001.anchor", b"\n1\n", b"\n2\n"),
    ],
)
def test_what_was_changed_is_found_by_hand(
    commands: Path, name: str, old: bytes, new: bytes
) -> None:
    """Also where whoever changed it has made the sums anew."""
    path = commands / name
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    sums = [n.split("  ")[1] for n in (commands / "SHA256SUMS").read_text().splitlines()]
    made = subprocess.run(
        ["sha256sum", *sums], cwd=commands, capture_output=True, text=True, check=True
    )
    (commands / "SHA256SUMS").write_text(made.stdout)
    assert _run(commands).returncode != 0
