"""Where the journals of `trailhouse emit` lie: one for each input and destination, readable by its owner alone."""

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from trailhouse.cli.emit.journal import EmitJournal
from trailhouse.producer.config import ProducerConfig
from trailhouse.schemas.errors import JournalError

KEPT_DAYS = 90
SUFFIX = ".sqlite"
MAX_PIPES = 1_000
_DAY_SECONDS = 86_400
Open = Callable[[Path], EmitJournal]


def journal_folder() -> Path:
    """Return the folder of the journals, made if it is missing, which nobody else may write to.

    Raises:
        JournalError: It cannot be made, or others may write to it. Retriable once that is mended.
    """
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    way_out = "set XDG_STATE_HOME to a folder of yours"
    try:
        folder = (Path(state).expanduser() / "trailhouse" / "emit").absolute()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Not `stat`: a link that somebody has put there would lead to a folder of theirs.
        found = folder.lstat()
    except RuntimeError:
        raise JournalError(f"this user has no home folder for a journal: {way_out}") from None
    except OSError as error:
        raise JournalError(
            f"the journal of what is emitted cannot be kept in {error.filename} ({error.strerror}): {way_out}"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise JournalError(f"others may write to the journals in {folder}: {way_out}")
    return folder


def regular_file(file: Path, stream: BinaryIO) -> str | None:
    """Return the path of the file that *stream* reads, wherever it was named; None for a pipe."""
    if str(file) != "-":
        return str(file.resolve()) if file.is_file() else None
    with contextlib.suppress(OSError, ValueError):
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            # Linux alone tells; elsewhere a file on standard input counts as a pipe.
            return str(Path(f"/proc/self/fd/{stream.fileno()}").readlink())
    return None


def journal_name(config: ProducerConfig, path: str | None, first_line: bytes) -> str:
    """Return the name of the journal: of a file by its path, of a pipe by its first line.

    Other brokers, another topic, or another tenant for lines that name none make another journal.
    """
    brokers = sorted(part.strip() for part in config.kafka.bootstrap_servers.split(","))
    what = ["file", path] if path is not None else ["pipe", first_line.hex()]
    # As JSON, so that no two lists of names make the same text.
    key = json.dumps([brokers, config.kafka.topic, config.tenant_id, *what])
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def opened(folder: Path, name: str, open_journal: Open, *, is_shared: bool) -> EmitJournal:
    """Open the journal *name*; with *is_shared* the first that nobody uses, of several of that name.

    Raises:
        JournalError: Another run uses it (retriable), or it cannot be read or written.
    """
    if not is_shared:
        return open_journal(_made(folder / f"{name}{SUFFIX}"))
    # Two pipes may begin with the same line, at the same time. What a run has left comes first.
    there = sorted(folder.glob(f"{name}-*{SUFFIX}"))
    free = (folder / f"{name}-{number:03d}{SUFFIX}" for number in range(MAX_PIPES))
    last: JournalError | None = None
    for file in (*there, *(each for each in free if each not in there)):
        try:
            return open_journal(_made(file))
        except JournalError as error:
            if not error.is_in_use:
                raise
            last = error
    raise last or JournalError("no journal is free")


def remove(file: Path) -> None:
    """Remove a journal."""
    for each in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal"))):
        with contextlib.suppress(OSError):
            each.unlink()


def remove_old(folder: Path, open_journal: Open) -> None:
    """Remove the journals that nobody has used for KEPT_DAYS."""
    oldest = time.time() - KEPT_DAYS * _DAY_SECONDS
    for file in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError, JournalError):
            if file.stat().st_mtime < oldest:
                open_journal(file).close()  # which fails while it is in use
                remove(file)


def _made(file: Path) -> Path:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        os.close(os.open(file, flags, 0o600))
    except OSError as error:
        raise JournalError(f"the journal {file} cannot be used ({error.strerror})") from error
    return file
