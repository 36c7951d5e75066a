"""Where spools lie: a folder a logger, the lock that says it is alive, its checkpoint, its destination."""

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from zlib import crc32

import msgspec

from trailhouse.schemas.config import ProducerConfig
from trailhouse.schemas.errors import (
    ConfigError,
    DeliveryError,
    SpoolFullError,
    SpoolUnavailableError,
)

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
SEGMENT_SUFFIX = ".seg"
SET_ASIDE = "set_aside"
OWNER_ONLY = 0o600
PROBE_SECONDS = 0.005
UNFINISHED_SECONDS = 60.0
SEGMENT_SHIFT = 32
"""A place is the segment's number above this bit, and the offset within it below."""

_CHECKPOINT_BYTES = 12


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a spool's events go, and who wrote them."""

    bootstrap_servers: str
    topic: str
    service: str = ""
    host: str = ""
    pid: int = 0

    def is_same(self, other: "Destination") -> bool:
        """Tell whether both mean one topic, as far as the settings tell."""
        return (self.bootstrap_servers, self.topic) == (other.bootstrap_servers, other.topic)


def root_of(config: ProducerConfig) -> Path:
    """Return the folder of the spools that the settings name.

    Raises:
        ConfigError: They name none, and the user has no home folder. Permanent.
    """
    if config.spool_dir:
        return Path(config.spool_dir).expanduser().absolute()  # a daemon changes its folder later
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        return (Path(state).expanduser() / "trailhouse" / "spool").absolute()
    except RuntimeError:
        raise ConfigError(
            "this user has no home folder for the spool: set TRAILHOUSE_PRODUCER_SPOOL_DIR"
        ) from None


def place_of(segment: int, offset: int) -> int:
    """Return the place of *offset* in the segment numbered *segment*; places grow in spool order."""
    return segment << SEGMENT_SHIFT | offset


def split(place: int) -> tuple[int, int]:
    """Return segment and offset of *place*."""
    return place >> SEGMENT_SHIFT, place & (1 << SEGMENT_SHIFT) - 1


class SpoolFolder:
    """One logger's folder; held under a lock by whoever sends from it, so by one process at a time."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._checkpoint = os.open(
            path / "acked", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY
        )

    @classmethod
    def create(
        cls, root: Path, name: str, destination: Destination, *, is_synced: bool
    ) -> "SpoolFolder":
        """Make the folder *name* and hold it; *is_synced*: a power cut leaves it there.

        Raises:
            SpoolFullError: The disk is full. Retriable; nothing is left behind.
            SpoolUnavailableError: It cannot be made. Retriable once that is mended; likewise.
        """
        # Under another name until it is locked: a folder without a lock is taken for an orphan.
        unfinished = root / f".{name}"
        with translated(root):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished.mkdir(mode=0o700)
            try:
                return cls._filled(unfinished, root / name, destination, is_synced=is_synced)
            except BaseException:
                for path in (unfinished, root / name):
                    shutil.rmtree(path, ignore_errors=True)
                raise

    @classmethod
    def _filled(
        cls, unfinished: Path, path: Path, destination: Destination, *, is_synced: bool
    ) -> "SpoolFolder":
        lock = _open_lock(unfinished)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(unfinished / "destination", msgspec.json.encode(destination), is_synced)
            # Written now, so that it takes no space of a disk that is full by then.
            _write(unfinished / "acked", _checkpoint(0), is_synced)
            unfinished.rename(path)
            if is_synced:
                sync_folder(path)
                sync_folder(path.parent)
            return cls(path, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def take(cls, path: Path) -> "SpoolFolder | None":
        """Hold the folder of a logger that is gone; None while somebody holds it."""
        try:
            lock = _open_lock(path, create=False)
        except OSError:
            return None  # removed since it was listed, or not ours to read
        try:
            _lock_soon(lock)
            if os.fstat(lock).st_nlink and (path / "lock").exists():
                return cls(path, lock)
        except OSError:
            pass
        os.close(lock)
        return None

    def acked(self) -> int:
        """Return the place up to which every event is settled; 0 at the begin or if damaged."""
        return read_checkpoint(self.path)

    def set_acked(self, place: int) -> None:
        """Note that every event before *place* is settled; a kill after this never sends it again."""
        os.pwrite(self._checkpoint, _checkpoint(place), 0)

    def free_before(self, segment: int) -> None:
        """Remove the segments before *segment*."""
        for number, path in segments(self.path):
            if number < segment:
                path.unlink(missing_ok=True)

    def release(self, *, is_empty: bool) -> None:
        """Let go of the folder, and remove it when nothing in it is still to be sent."""
        if is_empty:
            # At once out of sight: a kill in the middle must not leave half a spool to be found.
            unseen = self.path.with_name(f".{self.path.name}")
            with contextlib.suppress(OSError):
                self.path.rename(unseen)
                shutil.rmtree(unseen, ignore_errors=True)
        self.forget()

    def forget(self) -> None:
        """Close our files; in a forked child the parent goes on holding the folder."""
        for descriptor in (self._checkpoint, self._lock):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def folders(root: Path) -> list[Path]:
    """Return the folders of all spools under *root*, the oldest first: their names are UUIDv7."""
    try:
        return sorted(
            path for path in root.iterdir() if not path.name.startswith(".") and _is_spool(path)
        )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unavailable(root, error) from error


def _is_spool(path: Path) -> bool:
    try:
        return (path / "lock").exists()
    except OSError:
        return False  # of another user, and not ours to read


def is_held(path: Path) -> bool:
    """Tell whether a living process holds the spool in *path*."""
    try:
        lock = _open_lock(path, create=False)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def destination_of(path: Path) -> Destination | None:
    """Return where the spool's events go; None when that cannot be read any more."""
    try:
        return msgspec.json.decode((path / "destination").read_bytes(), type=Destination)
    except (OSError, msgspec.MsgspecError):
        return None


def read_checkpoint(path: Path) -> int:
    """Return the place up to which every event of the spool is settled."""
    try:
        content = (path / "acked").read_bytes()
    except OSError:
        return 0
    if len(content) != _CHECKPOINT_BYTES:
        return 0
    place, check = content[:8], int.from_bytes(content[8:], "little")
    # Sending again is harmless, skipping is not.
    return int.from_bytes(place, "little") if crc32(place) == check else 0


def segments(path: Path) -> list[tuple[int, Path]]:
    """Return number and file of the spool's segments, in order."""
    try:
        return sorted(
            (int(file.stem), file)
            for file in path.iterdir()
            if file.suffix == SEGMENT_SUFFIX and file.stem.isdecimal()
        )
    except FileNotFoundError:
        return []


def segment_path(path: Path, number: int) -> Path:
    """Return the file of segment *number*."""
    return path / f"{number:08d}{SEGMENT_SUFFIX}"


@contextlib.contextmanager
def translated(path: Path) -> Generator[None]:
    """Raise what the operating system refuses as our error."""
    try:
        yield
    except OSError as error:
        raise unavailable(path, error) from error


def unavailable(path: Path, error: OSError) -> DeliveryError:
    """Return the error that says what the operating system refuses, and the way out."""
    if error.errno in NO_SPACE:
        return SpoolFullError(f"the disk of the spool in {path} is full: free space")
    return SpoolUnavailableError(
        f"the spool in {path} cannot be used ({error.strerror or error}): mend that, set"
        " TRAILHOUSE_PRODUCER_SPOOL_DIR, or TRAILHOUSE_PRODUCER_MODE=memory and lose events with the process"
    )


def take_turn(root: Path, destination: Destination) -> int | None:
    """Return the open file that makes us the one to adopt spools for *destination*; None if another is.

    Raises:
        OSError: There is no such folder, or it cannot be written.
    """
    target = f"{destination.bootstrap_servers} {destination.topic}".encode()
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    file = os.open(root / f".adopting-{crc32(target):08x}", flags, OWNER_ONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def remove_unfinished(root: Path) -> None:
    """Remove the folders whose owners were killed while they made or removed them."""
    with contextlib.suppress(OSError):
        for path in root.glob(".*"):
            is_old = time.time() - path.stat().st_mtime > UNFINISHED_SECONDS
            if is_old and path.is_dir() and not is_held(path):
                shutil.rmtree(path, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Force the names in *path* to the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, content: bytes, is_synced: bool) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    try:
        if os.write(file, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if is_synced:
            os.fsync(file)
    finally:
        os.close(file)


def _checkpoint(place: int) -> bytes:
    content = place.to_bytes(8, "little")
    return content + crc32(content).to_bytes(4, "little")


def _lock_soon(lock: int) -> None:
    """Take the lock; `is_held` of another process may be in the way for a moment."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(PROBE_SECONDS)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _open_lock(path: Path, *, create: bool = True) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    return os.open(path / "lock", flags, OWNER_ONLY)
