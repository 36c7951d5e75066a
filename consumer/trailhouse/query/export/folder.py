"""The folder of an export: files that are whole or not there, and the state from which an export goes on."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import msgspec

from trailhouse.query.export.manifest import MANIFEST, Manifest
from trailhouse.schemas.errors import ExportError, QueryError

STATE = "unfinished.json"
_PART = "unfinished-"
"""What the name of a file begins with that is being written: several are at once."""


class ExportFolder:
    """One folder, held by one export at a time: a context manager.

    Raises:
        QueryError: It holds a whole export, or something that is not an export. Permanent.
        ExportError: Another export writes to it, or it cannot be written. Retriable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _told(path):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ExportError(f"another export writes to {path}: wait until it has ended") from None
        try:
            self._check()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> "ExportFolder":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def _check(self) -> None:
        there = {each.name for each in self.path.iterdir()}
        if MANIFEST in there:
            raise QueryError(
                f"{self.path} holds an export already: `trailhouse export --check` checks it; take another folder"
            )
        if there and STATE not in there and not there <= {_PART + STATE}:
            raise QueryError(f"{self.path} is not empty: an export wants a folder of its own")

    def begun(self) -> Manifest | None:
        """Return what an export that was cut off has done; None for none."""
        try:
            content = (self.path / STATE).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return msgspec.json.decode(content, type=Manifest)
        except msgspec.MsgspecError:
            raise QueryError(f"{self.path / STATE} is damaged: take another folder") from None

    def write(self, name: str, pieces: Iterable[bytes]) -> tuple[int, str]:
        """Write *pieces* as the file *name*, synced and whole; return its size and its sha256.

        Raises:
            ExportError: The disk is full, or cannot be written: the file is not there. Retriable.
        """
        digest, size_bytes = hashlib.sha256(), 0
        part = self.path / f"{_PART}{name}"
        with _told(part):
            part.unlink(missing_ok=True)
            with _made(part) as put:
                for piece in pieces:
                    digest.update(piece)
                    size_bytes += len(piece)
                    put(piece)
            part.rename(self.path / name)
            os.fsync(self._lock)
        return size_bytes, digest.hexdigest()

    def note(self, done: Manifest) -> None:
        """Remember what is done: an export that is cut off goes on from here."""
        self.write(STATE, [msgspec.json.encode(done)])

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest: from here on the export is whole, and nothing else of it is there."""
        kept = {each.name for each in manifest.files}
        with _told(self.path):
            for each in self.path.iterdir():
                # Of an export that was cut off: a file that is begun, or whole after one that was not.
                is_ours = each.match(f"events-[0-9]*.{manifest.format}") and each.name not in kept
                if is_ours or each.name.startswith(_PART):
                    each.unlink()
        self.write(MANIFEST, [msgspec.json.format(msgspec.json.encode(manifest), indent=2), b"\n"])
        with contextlib.suppress(OSError):
            (self.path / STATE).unlink()


@contextlib.contextmanager
def _made(path: Path) -> Generator[Callable[[bytes], object]]:
    """Give what writes to a new file that nobody else can read; it is on the disk in the end."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as stream:
        yield stream.write
        stream.flush()
        os.fsync(stream.fileno())


@contextlib.contextmanager
def _told(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        # A network's error is no disk's: what the store raises is translated already.
        raise ExportError(
            f"{path} cannot be written ({error.strerror or error}): what is whole stays, and the same export goes on"
            " from there"
        ) from error
