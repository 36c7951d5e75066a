"""Another implementation of these forms, that of sigstore, reads what we write and comes to the same."""

import base64
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor.checkpoint import SignedCheckpoint
from sigstore.errors import VerificationError
from sigstore.models import TransparencyLogEntry

from made_keys import made_key
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.keys import is_signed_by, note_signed
from trailhouse.proof.leaf import LeafKind, leaf_bytes
from trailhouse.proof.merkle import inclusion_intervals, leaf_hash, root_of
from trailhouse.proof.note import key_id

ORIGIN = "audit.example.org/agents/agent-events/AAAAAAAAAAAAAAAAAAAAAA/0/1"


def _entry(
    leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes
) -> TransparencyLogEntry:
    inclusion = SimpleNamespace(log_index=index, tree_size=size, hashes=proof, root_hash=root)
    inner = SimpleNamespace(inclusion_proof=inclusion, canonicalized_body=leaf)
    return cast(TransparencyLogEntry, SimpleNamespace(_inner=inner))


def test_it_reads_our_checkpoints() -> None:
    """Origin, size, root, and the signature with the id of its key."""
    key, root = made_key(1), root_of([leaf_hash(b"a"), leaf_hash(b"b")])
    checkpoint = Checkpoint(ORIGIN, 2, root)
    read = SignedCheckpoint.from_text(note_signed(checkpoint.text, key, ORIGIN))
    assert (read.checkpoint.origin, read.checkpoint.log_size) == (ORIGIN, 2)
    assert (read.checkpoint.log_hash, read.checkpoint.other_content) == (root.hex(), [])
    (signature,) = read.signed_note.signatures
    assert (signature.name, signature.sig_hash) == (ORIGIN, key_id(ORIGIN, key.public_key))
    raw = base64.b64decode(signature.signature)
    assert is_signed_by(key.public_key, raw, read.signed_note.note.encode())


@given(st.data())
def test_it_follows_our_proofs(data: st.DataObject) -> None:
    """Each inclusion proof of ours leads it to our root, and with a hash or a number changed it does not."""
    size = data.draw(st.integers(1, 200))
    index = data.draw(st.integers(0, size - 1))
    leaves = [leaf_bytes(LeafKind.RECORD, at, bytes([at % 256]) * 32) for at in range(size)]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    proof = [root_of(hashes[start:end]) for start, end in inclusion_intervals(index, size)]
    root = root_of(hashes)
    verify_merkle_inclusion(_entry(leaves[index], index, size, proof, root))
    for wrong in (
        _entry(leaves[index] + b"x", index, size, proof, root),
        _entry(leaves[index], index, size, [*proof, root], root),
        _entry(leaves[index], index, size, proof, bytes(32)),
    ):
        with pytest.raises(VerificationError):
            verify_merkle_inclusion(wrong)
