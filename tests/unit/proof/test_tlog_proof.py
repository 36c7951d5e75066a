"""Proofs as files: what is written is read as the C2SP form, and with anything changed it proves nothing."""

import base64

import pytest

from flipped import each_byte_flipped
from made_keys import made_key
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.keys import is_signed_by, note_signed
from trailhouse.proof.leaf import leaf_bytes
from trailhouse.proof.merkle import inclusion_intervals, leaf_hash, root_by_inclusion, root_of
from trailhouse.proof.note import signers
from trailhouse.proof.tlog_proof import FORMAT, TlogProof, parse_tlog_proof
from trailhouse.schemas.errors import ProofError

ORIGIN = "audit.example.org/agents/agent-events/AAAA/0/1"
LEAVES = [leaf_bytes(1, at, bytes([at]) * 32) for at in range(7)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def made(index: int = 2) -> TlogProof:
    """Return a true proof."""
    parts = inclusion_intervals(index, 7)
    hashes = tuple(root_of(HASHES[start:end]) for start, end in parts)
    checkpoint = note_signed(Checkpoint(ORIGIN, 7, root_of(HASHES)).text, made_key(1), ORIGIN)
    return TlogProof(LEAVES[index], index, hashes, checkpoint)


def is_proven(content: str | bytes) -> bool:
    """Tell whether *content* proves its leaf, by the key of these tests."""
    try:
        proof, checkpoint, note = parse_tlog_proof(content)
        signed = signers(note, {ORIGIN: made_key(1).public_key}, is_signed_by)
    except ProofError:
        return False
    found = root_by_inclusion(leaf_hash(proof.leaf), proof.offset, checkpoint.size, proof.hashes)
    return bool(signed) and found == checkpoint.root


def test_a_proof_comes_back() -> None:
    """Its lines are those of the specification, and each leaf of the log is proven."""
    lines = made().text.split("\n")
    assert lines[:3] == [FORMAT, f"extra {base64.b64encode(LEAVES[2]).decode()}", "index 2"]
    assert lines[6:8] == ["", ORIGIN]
    for index in range(7):
        proof, checkpoint, _ = parse_tlog_proof(made(index).text)
        assert (proof, checkpoint.size) == (made(index), 7)
        assert is_proven(proof.text)


def test_each_byte_flipped_proves_nothing() -> None:
    """Whatever byte is changed."""
    for mask in (0x01, 0x80):
        for place, changed in each_byte_flipped(made().text.encode(), mask):
            assert not is_proven(changed), place


def test_another_proof_proves_nothing() -> None:
    """One hash more, one less, another index, one that no tree of this size has."""
    true = made()
    for wrong in (
        true._replace(hashes=true.hashes[1:]),
        true._replace(hashes=true.hashes[:-1]),
        true._replace(hashes=(*true.hashes, bytes(32))),
        true._replace(offset=1),
        true._replace(offset=3),
        true._replace(offset=7),
        true._replace(offset=2**62),
        true._replace(leaf=LEAVES[3]),
        true._replace(
            checkpoint=note_signed(
                f"{ORIGIN}\n0\n{base64.b64encode(leaf_hash(b'')).decode()}\n", made_key(1), ORIGIN
            )
        ),
        true._replace(
            checkpoint=note_signed(Checkpoint(ORIGIN, 1, HASHES[2]).text, made_key(1), ORIGIN)
        ),
    ):
        assert not is_proven(wrong.text)


TEXT = made().text
MALFORMED = {
    "another form": TEXT.replace("@v1", "@v2"),
    "no leaf": TEXT.replace(TEXT.split("\n")[1] + "\n", ""),
    "index 02": TEXT.replace("index 2", "index 02"),
    "index -2": TEXT.replace("index 2", "index -2"),
    "index of a thousand digits": TEXT.replace("index 2", "index " + "2" * 1000),
    "index 2^63": TEXT.replace("index 2", f"index {2**63}"),
    "no index": TEXT.replace("index 2\n", ""),
    "no empty line": TEXT.replace("\n\n", "\n", 1),
    "hash of 31 bytes": TEXT.replace(
        "index 2\n", f"index 2\n{base64.b64encode(bytes(31)).decode()}\n"
    ),
    "a thousand hashes": TEXT.replace(
        "index 2\n", "index 2\n" + f"{base64.b64encode(bytes(32)).decode()}\n" * 1000
    ),
    "carriage returns": TEXT.replace("\n", "\r\n"),
    "no checkpoint": TEXT.partition("\n\n")[0] + "\n\n",
    "nothing": "",
}


@pytest.mark.parametrize("defect", MALFORMED)
def test_a_malformed_proof_is_refused(defect: str) -> None:
    """There is one form."""
    assert MALFORMED[defect] != TEXT
    for content in (MALFORMED[defect], MALFORMED[defect].encode()):
        with pytest.raises(ProofError):
            parse_tlog_proof(content)
    with pytest.raises(ProofError):
        parse_tlog_proof(b"\xff" + TEXT.encode())
