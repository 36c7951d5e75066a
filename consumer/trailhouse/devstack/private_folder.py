"""Folders that their owner alone can enter: made so, or refused when somebody else had a hand in them."""

import errno
import os
import stat
from pathlib import Path

from trailhouse.schemas.errors import StackError

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY = stat.S_IRWXG | stat.S_IRWXO


def make_closed(folder: Path) -> None:
    """Make *folder* with mode 0700, or close one that is there; its parents are made as the umask has it.

    Raises:
        StackError: It is a link or a file, belongs to somebody else, stands where others can put one of
            theirs in its place, or has files and was open for others to write. Permanent.
        OSError: It cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for parent in (folder.parent.resolve(), *folder.parent.resolve().parents):
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise StackError(f"{folder} is not safe: everybody may replace what is in {parent}")
    folder.mkdir(mode=0o700, exist_ok=True)
    # Opened once: what is checked is what is closed.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise StackError(
                f"{folder} belongs to user {found.st_uid}: choose a folder of your own"
            )
        if found.st_mode & _OTHERS_MAY_WRITE and any(folder.iterdir()):
            raise StackError(
                f"{folder} could be written by others, who may have put files there:"
                " look through it and close it (chmod 700), or choose another"
            )
        if found.st_mode & _OTHERS_MAY:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def read_own(path: Path) -> str:
    """Return the text of a file that its owner alone can read and write.

    Raises:
        StackError: It is somebody else's, a link, or open to others. Permanent.
        OSError: It is not there, or cannot be read.
    """
    way_out = "delete it and start again"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StackError(f"{path} is a link: {way_out}") from error
        raise
    with os.fdopen(descriptor, encoding="utf-8") as file:
        found = os.fstat(descriptor)
        is_own = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if not is_own or found.st_mode & _OTHERS_MAY:
            raise StackError(f"{path} is not yours alone (mode 0600): {way_out}")
        return file.read()


def write_own(path: Path, text: str) -> None:
    """Write a file whole or not at all, for its owner's eyes only. Raises `OSError`."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
