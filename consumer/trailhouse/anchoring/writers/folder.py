"""Anchors as files in a folder, such as one of another machine that is mounted here: each is written once."""

import contextlib
import os
import secrets
from pathlib import Path

from trailhouse.anchoring.writers.writer import file_of, folder_of, number_of, path_of
from trailhouse.proof.note import MAX_NOTE_BYTES
from trailhouse.schemas.errors import AnchorError


class FolderWriter:
    """Keeps anchors below a folder, which must be there: one that is not mounted now is not made anew."""

    kind = "folder"

    def __init__(self, path: str) -> None:
        self.name = f"folder:{path}"
        self._top = Path(path)

    def write(self, number: int, content: bytes) -> bytes:
        """As `AnchorWriter.write`: the file and its folder are synced; a file that is half written has another name."""
        try:
            return self._write(number, content)
        except OSError as error:
            raise _away(self.name, error) from None

    def read(self, number: int) -> bytes | None:
        """As `AnchorWriter.read`."""
        try:
            with (self._top / path_of(number)).open("rb") as file:
                return file.read(MAX_NOTE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _away(self.name, error) from None

    def fault(self, number: int) -> str:
        """As `AnchorWriter.fault`: nothing is promised here."""
        return ""

    def newest(self) -> int:
        """As `AnchorWriter.newest`."""
        try:
            for folder in sorted(self._top.iterdir(), reverse=True):
                if len(folder.name) == 8 and folder.name.isdigit():
                    numbers = [number_of(each.name) or 0 for each in folder.iterdir()]
                    if any(numbers):
                        return max(numbers)
        except OSError as error:
            raise _away(self.name, error) from None
        return 0

    def _write(self, number: int, content: bytes) -> bytes:
        folder = self._top / folder_of(number)
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            _sync_folder(self._top)
        file = folder / file_of(number)
        part = folder / f".{file_of(number)}.{secrets.token_hex(8)}.part"
        try:
            with part.open("wb") as half:
                half.write(content)
                half.flush()
                os.fsync(half.fileno())
            part.chmod(0o444)
            # A link is made or refused as a whole, unlike a rename, which would replace what is there.
            with contextlib.suppress(FileExistsError):
                os.link(part, file)
        finally:
            part.unlink(missing_ok=True)
        _sync_folder(folder)
        return file.read_bytes()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _away(name: str, error: OSError) -> AnchorError:
    return AnchorError(f"{name} cannot be used ({error.strerror or type(error).__name__})")
