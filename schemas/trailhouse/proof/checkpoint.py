"""Checkpoints (C2SP tlog-checkpoint): how large a log is and its root, in three lines under a signature. Pure.

No line of extension is written or accepted.
"""

import base64
from typing import NamedTuple

from trailhouse.proof.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE
from trailhouse.proof.note import Note, canonical_base64, parse_note
from trailhouse.schemas.errors import ProofError


class Checkpoint(NamedTuple):
    """A log's name, how many leaves it has, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_checkpoint(content: str | bytes) -> tuple[Checkpoint, Note]:
    """Return the checkpoint that *content* holds, and it as a note, whose signatures are not checked.

    Raises:
        ProofError: It is not a checkpoint without extensions, in the one form that it can have. Permanent.
    """
    note = parse_note(content, "checkpoint")
    return checkpoint_of(note.text), note


def checkpoint_of(text: str) -> Checkpoint:
    """Return the checkpoint in *text*, as a note has it above its signatures.

    Raises:
        ProofError: As `parse_checkpoint`.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise ProofError("checkpoint: is not of three lines")
    origin, size_text, root_text = lines[:3]
    if not origin:
        raise ProofError("checkpoint: names no log")
    is_number = size_text.isascii() and size_text.isdigit() and len(size_text) <= 19
    if not is_number or str(int(size_text)) != size_text or int(size_text) > MAX_SIZE:
        raise ProofError("checkpoint: its size is not a plain number")
    root = canonical_base64(root_text, "checkpoint: root")
    if len(root) != HASH_BYTES:
        raise ProofError(f"checkpoint: its root is not of {HASH_BYTES} bytes")
    size = int(size_text)
    if (size == 0) != (root == EMPTY_ROOT):
        raise ProofError("checkpoint: its root is not that of a log of its size")
    return Checkpoint(origin, size, root)
