"""The data folder of a stack: whose it is, where things lie in it, and whether the disk has room."""

import fcntl
import os
import shutil
from pathlib import Path

from trailhouse.devstack.private_folder import make_closed
from trailhouse.schemas.errors import StackError

DATA_DIR_VARIABLE = "TRAILHOUSE_DEV_DATA_DIR"
_NEEDED_BYTES = 1_000_000_000
_LOCK = "stack.lock"


def default_data_dir() -> Path:
    """``TRAILHOUSE_DEV_DATA_DIR``, or a folder under ``XDG_DATA_HOME`` or ``~/.local/share``."""
    if named := os.environ.get(DATA_DIR_VARIABLE):
        return Path(named)
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "trailhouse" / "dev"


class DataFolder:
    """A data folder held by one stack at a time; the kernel lets it go when the holder dies."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.state_file = self.path / "state.json"
        self._lock: int | None = None

    def take(self) -> None:
        """Make the folder, closed to others, and hold it.

        Raises:
            StackError: Another stack holds it, it cannot be made or is not ours alone, or the disk is full.
                Permanent until mended.
        """
        try:
            self._close()
            (self.path / "logs").mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StackError(
                f"the data folder {self.path} cannot be used ({error.strerror}): choose another with --data-dir"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise StackError(
                f"a stack already runs on {self.path}: see it with `trailhouse dev status`,"
                " or choose another folder with --data-dir"
            ) from error
        self._lock = lock
        self._check_room()

    def _close(self) -> None:
        if self.path.is_dir() and not (self.path / _LOCK).exists() and any(self.path.iterdir()):
            raise StackError(
                f"{self.path} has files that are not a stack's: choose an empty folder with --data-dir"
            )
        make_closed(self.path)

    def release(self) -> None:
        """Let the folder go."""
        self.state_file.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def of(self, part: str) -> Path:
        """Where a part keeps its data."""
        return self.path / part

    def log(self, part: str) -> Path:
        """Where a part's output goes."""
        return self.path / "logs" / f"{part}.log"

    def _check_room(self) -> None:
        free_bytes = shutil.disk_usage(self.path).free
        if free_bytes < _NEEDED_BYTES:
            self.release()
            raise StackError(
                f"no room on the disk: {self.path} has {free_bytes // 1_000_000} MB free,"
                f" {_NEEDED_BYTES // 1_000_000} MB are needed; free some, or choose another disk with --data-dir"
            )
