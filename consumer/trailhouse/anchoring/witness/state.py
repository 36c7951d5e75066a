"""What a witness remembers: of each log the last checkpoint that it has cosigned, in a file, synced."""

import fcntl
import os
import re
from hashlib import sha256
from pathlib import Path

from trailhouse.proof.checkpoint import Checkpoint, parse_checkpoint
from trailhouse.schemas.errors import AnchorError, ProofError

MOST_LOGS = 10_000
"""Whoever has a log's key can give it any number of names; each costs a file."""
_SUFFIX = ".checkpoint"
_ORIGIN_HASH = re.compile("[0-9a-f]{64}")


class WitnessState:
    """The checkpoints in a folder that no other process may use meanwhile.

    Raises:
        AnchorError: The folder cannot be used, or another process uses it. Retriable.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (folder / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise AnchorError(f"{folder} is in use by another witness") from None
        except OSError as error:
            raise AnchorError(f"{folder} cannot be used ({error.strerror})") from None
        self._count = sum(1 for _ in folder.glob(f"*{_SUFFIX}"))

    def close(self) -> None:
        """Let another process use the folder."""
        self._lock.close()

    def last(self, origin: str) -> Checkpoint | None:
        """Return the last checkpoint of *origin* that was cosigned, None where there is none.

        Raises:
            AnchorError: It cannot be read, or is damaged: nothing is cosigned on a guess. Retriable once mended.
        """
        content = self.note(sha256(origin.encode()).hexdigest())
        if content is None:
            return None
        try:
            found, _ = parse_checkpoint(content)
        except ProofError:
            found = None
        if found is None or found.origin != origin:
            raise AnchorError("the state of this log is damaged: restore its file from a backup")
        return found

    def note(self, origin_hash: str) -> bytes | None:
        """Return the checkpoint of the log whose origin has this SHA-256, in hex, as it was cosigned.

        Raises:
            AnchorError: It cannot be read. Retriable.
        """
        if _ORIGIN_HASH.fullmatch(origin_hash) is None:
            return None
        try:
            return (self._folder / f"{origin_hash}{_SUFFIX}").read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AnchorError(f"the state cannot be read ({error.strerror})") from None

    def keep(self, origin: str, note: str) -> None:
        """Remember *note* as the last of *origin*; on return it is on the disk, or what was before still is.

        Raises:
            AnchorError: It cannot be written, or there are too many logs. Retriable once mended.
        """
        file = self._folder / f"{sha256(origin.encode()).hexdigest()}{_SUFFIX}"
        is_new = not file.exists()
        if is_new and self._count >= MOST_LOGS:
            raise AnchorError(f"more than {MOST_LOGS} logs: those that are over can be taken away")
        part = file.with_suffix(".part")
        try:
            with part.open("wb") as half:
                half.write(note.encode())
                half.flush()
                os.fsync(half.fileno())
            part.replace(file)
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AnchorError(f"the state cannot be written ({error.strerror})") from None
        self._count += is_new
