"""Proofs as files (C2SP tlog-proof): that a record is in a log, with all that an outsider needs besides the keys. Pure.

Source: the C2SP specification `tlog-proof`. The line `extra` holds the bytes of the leaf, since the record alone does
not say when it was appended; who checks compares their end with the SHA-256 of the record.
"""

import base64
import re
from typing import NamedTuple

from trailhouse.proof.checkpoint import Checkpoint, checkpoint_of
from trailhouse.proof.merkle import HASH_BYTES, MAX_SIZE
from trailhouse.proof.note import Note, canonical_base64, parse_note
from trailhouse.schemas.errors import ProofError

FORMAT = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 64
"""As many as offsets have bits, and one."""
_INDEX = re.compile("index (0|[1-9][0-9]{0,18})")


class TlogProof(NamedTuple):
    """A leaf, its offset, the hashes from its sibling up, and the signed checkpoint that they lead to."""

    leaf: bytes
    offset: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    @property
    def text(self) -> str:
        """The file."""
        lines = (
            FORMAT,
            f"extra {base64.b64encode(self.leaf).decode()}",
            f"index {self.offset}",
            *(base64.b64encode(each).decode() for each in self.hashes),
        )
        return "\n".join(lines) + "\n\n" + self.checkpoint


def parse_tlog_proof(content: str | bytes) -> tuple[TlogProof, Checkpoint, Note]:
    """Return the proof that *content* holds, its checkpoint, and that as a note: neither hashes nor signatures checked.

    Raises:
        ProofError: It is not a proof of ours in the one form that it can have. Permanent.
    """
    try:
        text = content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError:
        raise ProofError("proof: is not UTF-8") from None
    head, empty_line, checkpoint = text.partition("\n\n")
    lines = head.split("\n", MAX_HASHES + 3)
    if not empty_line or not 3 <= len(lines) <= MAX_HASHES + 3 or lines[0] != FORMAT:
        raise ProofError(f"proof: is not of the form {FORMAT}")
    extra, index_line, hash_lines = lines[1], lines[2], lines[3:]
    matched = _INDEX.fullmatch(index_line)
    if not extra.startswith("extra ") or matched is None or int(matched[1]) >= MAX_SIZE:
        raise ProofError("proof: its leaf or its index is malformed")
    hashes = tuple(canonical_base64(line, "proof: hash") for line in hash_lines)
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofError(f"proof: a hash is not of {HASH_BYTES} bytes")
    leaf = canonical_base64(extra.removeprefix("extra "), "proof: leaf")
    note = parse_note(checkpoint, "proof: checkpoint")
    return TlogProof(leaf, int(matched[1]), hashes, checkpoint), checkpoint_of(note.text), note
