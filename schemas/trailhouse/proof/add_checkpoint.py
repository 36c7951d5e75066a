"""The request `add-checkpoint` (C2SP tlog-witness): what a log asks of a witness. Pure.

Its lines: ``old <size>``, at most 63 hashes in base64, an empty line, and the checkpoint as a signed note.
"""

import base64
from collections.abc import Sequence
from typing import NamedTuple

from trailhouse.proof.merkle import HASH_BYTES, MAX_SIZE
from trailhouse.proof.note import canonical_base64
from trailhouse.schemas.errors import ProofError

MAX_PROOF_LINES = 63
MAX_REQUEST_BYTES = 65_536


class AddCheckpoint(NamedTuple):
    """The size that the witness has last seen, the proof from it on, and the signed checkpoint."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str

    @property
    def body(self) -> bytes:
        """The body of the request."""
        lines = [f"old {self.old_size}", *map(_base64, self.proof), ""]
        return ("\n".join(lines) + "\n" + self.note).encode()


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Return what *body* asks; the note is not looked into.

    Raises:
        ProofError: It is malformed. Permanent.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise ProofError("request: is too large")
    try:
        head, found, note = body.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise ProofError("request: is not UTF-8") from None
    lines = head.split("\n")
    word, _, size_text = lines[0].partition(" ")
    if not found or word != "old" or len(lines) > 1 + MAX_PROOF_LINES:
        raise ProofError("request: is not an old size, at most 63 hashes, an empty line and a note")
    if not size_text.isascii() or not size_text.isdigit() or len(size_text) > 19:
        raise ProofError("request: the old size is not a plain number")
    old_size = int(size_text)
    if str(old_size) != size_text or old_size > MAX_SIZE:
        raise ProofError("request: the old size is not a plain number")
    return AddCheckpoint(old_size, _hashes(lines[1:]), note)


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    hashes = tuple(canonical_base64(line, "request: proof") for line in lines)
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofError(f"request: a hash is not of {HASH_BYTES} bytes")
    return hashes


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
