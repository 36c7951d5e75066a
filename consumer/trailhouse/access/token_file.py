"""The file of the tokens: ours alone, replaced as a whole, one writer at a time."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from trailhouse.schemas.errors import ConfigError

OWNER_ONLY = 0o600
FOLDER_OWNER_ONLY = 0o700
LARGEST_FILE_BYTES = 16_777_216
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_T = TypeVar("_T", bound=msgspec.Struct)


def stamp_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes whenever the file does; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error.strerror) from None
    # The inode too: the file is replaced, and a clock may not move between two changes.
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def read_token_file(path: Path, kind: type[_T]) -> list[_T]:
    """Return the entries of the file; none if there is no file.

    Raises:
        ConfigError: It cannot be read, is no list of tokens, or others can write to it. Permanent.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(path, error.strerror) from None
    try:
        _check_owner(path, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > LARGEST_FILE_BYTES:
        raise _unusable(path, f"it has more than {LARGEST_FILE_BYTES} bytes")
    try:
        return msgspec.json.decode(content, type=list[kind])  # type: ignore[valid-type]
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The decoder's own words would name what stands in the file.
        raise _unusable(path, "it is not a list of tokens") from None


def write_token_file(path: Path, entries: Sequence[msgspec.Struct]) -> None:
    """Put a new file into the place of the old one; when this returns, it is on the disk.

    Raises:
        ConfigError: It cannot be written; the old one is untouched. Permanent until mended.
    """
    content = msgspec.json.format(msgspec.json.encode(entries), indent=1) + b"\n"
    new = path.with_name(f".{path.name}.new")
    try:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, OWNER_ONLY), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unusable(path, error.strerror) from None


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Let no other process change the file meanwhile; makes its folder if there is none.

    Raises:
        ConfigError: The folder cannot be made or written. Permanent until mended.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_OWNER_ONLY)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(path.with_name(f".{path.name}.lock"), flags, OWNER_ONLY)
    except OSError as error:
        raise _unusable(path, error.strerror) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _check_owner(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, "it is not a regular file")
    if found.st_uid not in {0, os.geteuid()}:
        raise _unusable(path, "it is another user's")
    # Whoever can write to it can make a token for himself.
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise _unusable(path, "others can write to it; chmod 600")


def _unusable(path: Path, why: str | None) -> ConfigError:
    return ConfigError(
        f"the file of tokens {path} cannot be used ({why}): mend that, or set TRAILHOUSE_ACCESS_TOKENS_FILE"
    )
