"""The small files of a spool: where its events go, how far they are settled, how far it was written."""

import os
import struct
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from trailhouse.producer.spool.files import open_file, open_folder

MAX_DESTINATION_BYTES = 65_536
NOTES = ("destination", "acked", "written", "sealed", "lock")

_CHECKPOINT_BYTES = 12
_WRITTEN = struct.Struct("<QQI")


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


class Written(NamedTuple):
    """How far a spool was written when its logger noted it last: it held at least that much."""

    place: int
    events: int


def read_small(path: Path, name: str, limit_bytes: int) -> bytes:
    """Return the content of a file of the spool in *path*, *limit_bytes* of it at most."""
    folder = open_folder(path)
    try:
        file = open_file(name, os.O_RDONLY, dir_fd=folder)
        try:
            return os.pread(file, limit_bytes, 0)
        finally:
            os.close(file)
    finally:
        os.close(folder)


def destination_of(path: Path) -> Destination | None:
    """Return where the spool's events go; None when that cannot be read any more."""
    try:
        content = read_small(path, "destination", MAX_DESTINATION_BYTES)
        return msgspec.json.decode(content, type=Destination)
    except (OSError, msgspec.MsgspecError):
        return None


def read_checkpoint(path: Path) -> int:
    """Return the place up to which every event of the spool is settled."""
    try:
        content = read_small(path, "acked", _CHECKPOINT_BYTES + 1)
    except OSError:
        return 0
    if len(content) != _CHECKPOINT_BYTES:
        return 0
    place, check = content[:8], int.from_bytes(content[8:], "little")
    # Sending again is harmless, skipping is not.
    return int.from_bytes(place, "little") if crc32(place) == check else 0


def read_written(path: Path) -> Written:
    """Return how much the spool held at least."""
    try:
        content = read_small(path, "written", _WRITTEN.size)
        place, events, check = _WRITTEN.unpack(content)
    except (OSError, struct.error):
        return Written(0, 0)
    return Written(place, events) if crc32(content[:16]) == check else Written(0, 0)


def written_note(written: Written) -> bytes:
    """Return the content of ``written``, with a checksum."""
    head = _WRITTEN.pack(*written, 0)[:16]
    return head + crc32(head).to_bytes(4, "little")


def checkpoint(place: int) -> bytes:
    """Return the content of ``acked``: a place and its checksum."""
    content = place.to_bytes(8, "little")
    return content + crc32(content).to_bytes(4, "little")
