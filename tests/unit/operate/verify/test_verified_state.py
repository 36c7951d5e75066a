"""What verify keeps for its next run: whole, closed to others, and refused where it is not ours."""

from pathlib import Path

import pytest

from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.state import Kept, read_state, write_state
from trailhouse.schemas.errors import ConfigError

KEPT = Kept(
    log=LogId("c", "events", "t", 3, "1"), size=5, roots=("ab" * 32, "cd" * 32), checkpoint="…"
)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    """Nothing is kept before the first run; then each log by itself, in a file closed to others."""
    path = tmp_path / "state.json"
    assert read_state(path) == {}
    write_state(path, (KEPT,))
    assert read_state(path) == {KEPT.log: KEPT}
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"size":5', b'"size":4'),
        (b'"size":5', b'"size":-5'),
        (b'"manifests_end":0', b'"manifests_end":6'),
        (b'"manifests_end":0', b'"manifests_end":-1'),
        (b"abab", b"zzab"),
        (b"abab", b"ab"),
        (b"trailhouse-verified/1", b"trailhouse-verified/2"),
        (b"{", b"["),
    ],
)
def test_what_is_not_ours_is_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    """A size that its roots do not fit, roots that are none, another version: nobody goes on from that."""
    path = tmp_path / "state.json"
    write_state(path, (KEPT,))
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(ConfigError):
        read_state(path)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """What was kept before stays."""
    with pytest.raises(ConfigError, match="cannot be written"):
        write_state(tmp_path / "nowhere" / "state.json", (KEPT,))
