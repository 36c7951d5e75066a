"""The note ``sealed`` of a spool: how far its records are sealed, so that who adopts it goes on from there."""

import os
from pathlib import Path

import msgspec

from trailhouse.producer.spool.metadata import read_small
from trailhouse.schemas.uuid7 import is_canonical_uuid

NOTE = "sealed"
NOTE_BYTES = 1_024
"""Each write covers the one before: names are 256 characters at most."""


class SealNote(msgspec.Struct, frozen=True, kw_only=True):
    """Whose records a spool holds, and how far they are sealed by what was logged after them.

    Attributes:
        service: Whose key seals them.
        producer_id: Whose they are.
        next_seq: The number of the first that is not sealed.
        place: Where that one stands in the spool, or before.
        is_done: All are sealed that ever will be.
        is_settled: All are sent; it is kept for a logger of this service alone, which has the key.
    """

    service: str
    producer_id: str
    next_seq: int
    place: int
    is_done: bool = False
    is_settled: bool = False


def written_seal_note(note: SealNote) -> bytes:
    """Return the content of the file, always as long."""
    return msgspec.json.encode(note).ljust(NOTE_BYTES)


def read_seal_note(path: Path) -> SealNote | None:
    """Return the note of the spool in *path*; None where it has none, or one that cannot be read: nothing is sealed."""
    try:
        note = msgspec.json.decode(read_small(path, NOTE, 4 * NOTE_BYTES), type=SealNote)
    except (OSError, msgspec.MsgspecError):
        return None
    is_sound = 0 <= note.next_seq < 2**63 and 0 <= note.place < 2**63
    return note if is_sound and is_canonical_uuid(note.producer_id) else None


def write_seal_note(file: int, note: SealNote) -> None:
    """Write *note* to *file*, by one call: a kill leaves the old one or the new.

    Raises:
        OSError: It cannot be written.
    """
    os.pwrite(file, written_seal_note(note), 0)
