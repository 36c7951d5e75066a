"""One spool's folder: made under another name, held under a lock, removed file by file."""

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from pathlib import Path

import msgspec

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.spool.files import (
    FOLDER_OWNER_ONLY,
    OpenFile,
    names_in,
    open_file,
    open_folder,
    open_folder_to_lock,
    open_lock,
    reason_against,
    try_lock,
)
from trailhouse.producer.spool.metadata import (
    NOTES,
    Destination,
    Written,
    checkpoint,
    written_note,
)
from trailhouse.producer.spool.root import (
    is_hidden_name,
    make_root,
    next_name,
    translated,
)
from trailhouse.producer.spool.seal_note import (
    NOTE,
    SealNote,
    write_seal_note,
    written_seal_note,
)

SEGMENT_SUFFIX = ".seg"
PROBE_SECONDS = 0.005
UNFINISHED_SECONDS = 60.0
NAMES_TRIED = 3
SEGMENT_SHIFT = 32
"""A place is the segment's number above this bit, and the offset within it below."""

_is_segment_name = re.compile(r"[0-9]{8}\.seg").fullmatch


def place_of(segment: int, offset: int) -> int:
    """Return the place of *offset* in the segment numbered *segment*; places grow in spool order."""
    return segment << SEGMENT_SHIFT | offset


def split(place: int) -> tuple[int, int]:
    """Return segment and offset of *place*."""
    return place >> SEGMENT_SHIFT, place & (1 << SEGMENT_SHIFT) - 1


class SpoolFolder:
    """One logger's folder; held under a lock by whoever sends from it, so by one process at a time.

    The folder itself is locked, and the file ``lock`` in it for file systems that cannot lock a folder:
    so a spool whose ``lock`` somebody has deleted is still a spool, and still held.
    """

    def __init__(self, path: Path, locks: tuple[OpenFile, OpenFile], owner: int) -> None:
        self.path = path
        self._owner = owner
        self._locks = locks
        folder = locks[0].fd
        self._checkpoint = OpenFile(open_file("acked", os.O_RDWR | os.O_CREAT, dir_fd=folder))
        self.written: OpenFile | None = None

    @classmethod
    def create(
        cls,
        root: Path,
        destination: Destination,
        *,
        is_synced: bool,
        seal_note: SealNote | None = None,
    ) -> "SpoolFolder":
        """Make a folder of a name that no other has, and hold it; *is_synced*: a power cut leaves it there.

        Raises:
            SpoolFullError: The disk is full. Retriable; nothing is left behind.
            SpoolUnavailableError: It cannot be made. Retriable once that is mended; likewise.
        """
        with translated(root):
            for _ in range(NAMES_TRIED - 1):
                # A child that a signal handler forks right here has begun with the same name.
                with contextlib.suppress(FileExistsError, FileNotFoundError):
                    return cls._made(root, destination, seal_note, is_synced=is_synced)
            return cls._made(root, destination, seal_note, is_synced=is_synced)

    @classmethod
    def _made(
        cls, root: Path, destination: Destination, seal_note: SealNote | None, *, is_synced: bool
    ) -> "SpoolFolder":
        owner = os.getpid()
        make_root(root)
        path = root / next_name(root)
        # Under another name until it is complete: nobody is to find half a spool.
        unfinished = path.with_name(f".{path.name}")
        try:
            unfinished.mkdir(mode=FOLDER_OWNER_ONLY)
            return cls._filled(unfinished, path, destination, seal_note, owner, is_synced=is_synced)
        except BaseException as error:
            if os.getpid() == owner:  # else it is the parent's, who goes on with it
                for each in (unfinished, path):
                    remove(each)
            if isinstance(error, OSError) and error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            raise

    @classmethod
    def _filled(
        cls,
        unfinished: Path,
        path: Path,
        destination: Destination,
        seal_note: SealNote | None,
        owner: int,
        *,
        is_synced: bool,
    ) -> "SpoolFolder":
        locks = _locked(unfinished)
        if locks is None:  # a system that locks what it has just made has no use for a spool
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        folder = locks[0].fd
        _write("destination", msgspec.json.encode(destination), is_synced, folder)
        # Written now, so that it takes no space of a disk that is full by then.
        _write("acked", checkpoint(0), is_synced, folder)
        _write("written", written_note(Written(0, 0)), is_synced, folder)
        if seal_note is not None:
            _write(NOTE, written_seal_note(seal_note), is_synced, folder)
        made = cls(unfinished, locks, owner)
        made.written = OpenFile(open_file("written", os.O_WRONLY, dir_fd=folder))
        unfinished.rename(path)
        made.path = path
        if is_synced:
            sync_folder(path)
            sync_folder(path.parent)
        return made

    @classmethod
    def take(cls, path: Path) -> "SpoolFolder | None":
        """Hold the folder of a logger that is gone; None while somebody holds it, or when it is gone by now.

        Raises:
            OSError: It cannot be opened, or is not ours alone; says so.
        """
        owner = os.getpid()
        try:
            locks = _locked(path)
        except FileNotFoundError:
            return None
        # It may have been renamed, to be removed, between opening and locking.
        is_there = locks is not None and _is_same(path, locks[0].fd)
        return cls(path, locks, owner) if locks is not None and is_there else None

    def set_acked(self, place: int) -> None:
        """Note that every event before *place* is settled; a kill after this never sends it again."""
        os.pwrite(self._checkpoint.fd, checkpoint(place), 0)

    def note_sealed(self, note: SealNote) -> None:
        """Note how far the records are sealed; after a kill whoever adopts the spool goes on from there.

        Raises:
            OSError: It cannot be written.
        """
        file = open_file(NOTE, os.O_WRONLY, dir_fd=self._locks[0].fd)
        try:
            write_seal_note(file, note)
        finally:
            os.close(file)

    def open_segment(self, number: int) -> OpenFile:
        """Return the file of segment *number* to write to, which is made if it is not there."""
        folder = open_folder(self.path)
        try:
            return OpenFile(
                open_file(segment_name(number), os.O_WRONLY | os.O_CREAT, dir_fd=folder)
            )
        finally:
            os.close(folder)

    def free_before(self, segment: int) -> None:
        """Remove the segments before *segment*."""
        for number, path in segments(self.path):
            if number < segment:
                path.unlink(missing_ok=True)

    def release(self, *, is_empty: bool) -> None:
        """Let go of the folder, and remove it when nothing in it is still to be sent.

        A child that was forked meanwhile removes nothing: the parent writes to it.
        """
        if is_empty and os.getpid() == self._owner:
            remove(self.path)
        self.forget()

    def forget(self) -> None:
        """Close our files; in a forked child the parent goes on holding the folder."""
        self.written = None  # closed when the last call that writes to it has left
        for file in (self._checkpoint, *self._locks):
            file.close()


def _locked(path: Path) -> tuple[OpenFile, OpenFile] | None:
    folder = open_folder_to_lock(path)
    lock = open_lock("lock", dir_fd=folder.fd)
    if all(_lock_soon(each) for each in (folder, lock)):
        return folder, lock
    for each in (folder, lock):
        each.close()
    return None


def _lock_soon(file: OpenFile) -> bool:
    """Lock *file*; `is_held` of another process may be in the way for a moment."""
    if try_lock(file):
        return True
    time.sleep(PROBE_SECONDS)
    return try_lock(file)


def _is_same(path: Path, folder: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(folder))
    except FileNotFoundError:
        return False


def is_held(path: Path) -> bool:
    """Tell whether a living process holds the spool in *path*."""
    probes: list[OpenFile] = []
    try:
        probes.append(open_folder_to_lock(path))
        with contextlib.suppress(FileNotFoundError):
            probes.append(open_lock("lock", dir_fd=probes[0].fd, create=False))
        return not all(try_lock(each, fcntl.LOCK_SH) for each in probes)
    except OSError:
        return False
    finally:
        for each in probes:
            each.close()


def segments(path: Path) -> list[tuple[int, Path]]:
    """Return number and file of the spool's segments, in order."""
    try:
        return sorted(
            (int(name[:8]), path / name) for name in names_in(path) if _is_segment_name(name)
        )
    except FileNotFoundError:
        return []


def segment_name(number: int) -> str:
    """Return the name of segment *number*'s file."""
    return f"{number:08d}{SEGMENT_SUFFIX}"


def remove(path: Path) -> None:
    """Remove a spool, file by file; what is not ours in it stays, and the folder with it."""
    with contextlib.suppress(OSError):
        names = names_in(path)
        ours = [name for name in names if name in NOTES or _is_segment_name(name)]
        if len(ours) == len(names) and not path.name.startswith("."):
            # At once out of sight: a kill in the middle must not leave half a spool to be found.
            hidden = path.with_name(f".{path.name}")
            path.rename(hidden)
            path = hidden
        for name in sorted(ours, key=lambda name: not _is_segment_name(name)):
            (path / name).unlink(missing_ok=True)
        if len(ours) == len(names):
            path.rmdir()


def remove_unfinished(root: Path, clock: Clock = SYSTEM_CLOCK) -> None:
    """Remove the folders whose owners were killed while they made or removed them."""
    with contextlib.suppress(OSError):
        for name in filter(is_hidden_name, names_in(root)):
            path = root / name
            with contextlib.suppress(OSError):
                status = path.lstat()
                is_old = clock.age_seconds(status.st_mtime) > UNFINISHED_SECONDS
                is_ours = stat.S_ISDIR(status.st_mode) and not reason_against(status)
                if is_old and is_ours and not is_held(path):
                    remove(path)


def sync_folder(path: Path) -> None:
    """Force the names in *path* to the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(name: str, content: bytes, is_synced: bool, folder: int) -> None:
    file = open_file(name, os.O_WRONLY | os.O_CREAT, dir_fd=folder)
    try:
        if os.write(file, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if is_synced:
            os.fsync(file)
    finally:
        os.close(file)
