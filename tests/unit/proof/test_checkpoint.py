"""Checkpoints: one form, and whatever is not of it is refused."""

import base64

import pytest

from flipped import each_byte_flipped
from made_keys import made_key
from trailhouse.proof.checkpoint import Checkpoint, checkpoint_of, parse_checkpoint
from trailhouse.proof.keys import is_signed_by, note_signed
from trailhouse.proof.merkle import EMPTY_ROOT, MAX_SIZE
from trailhouse.proof.note import COSIGNATURE_TYPE, Signature, key_id, signed, signers
from trailhouse.schemas.errors import ProofError

ORIGIN = "audit.example.org/agents/agent-events/AAAAAAAAAAAAAAAAAAAAAA/0/1"
ROOT = bytes(range(32))
ROOT_TEXT = base64.b64encode(ROOT).decode()
TEXT = f"{ORIGIN}\n17\n{ROOT_TEXT}\n"


def test_a_checkpoint_comes_back() -> None:
    """What is written is three lines, and is read as it was, up to the last offset of Kafka."""
    assert Checkpoint(ORIGIN, 17, ROOT).text == TEXT
    for size in (1, 17, MAX_SIZE):
        made = Checkpoint(ORIGIN, size, ROOT)
        assert checkpoint_of(made.text) == made
    assert checkpoint_of(Checkpoint(ORIGIN, 0, EMPTY_ROOT).text).size == 0
    parsed, note = parse_checkpoint(note_signed(TEXT, made_key(1), ORIGIN))
    assert (parsed, note.text) == (Checkpoint(ORIGIN, 17, ROOT), TEXT)


def _with(size: str = "17", root: str = ROOT_TEXT, origin: str = ORIGIN) -> str:
    return f"{origin}\n{size}\n{root}\n"


MALFORMED = {
    "size 012": _with("012"),
    "size -1": _with("-1"),
    "size +1": _with("+1"),
    "size 1e3": _with("1e3"),
    "size 1_000": _with("1_000"),
    "size 0x10": _with("0x10"),
    "size 1.0": _with("1.0"),
    "size with a space": _with("17 "),
    "size of other digits": _with("\u0661\u0667"),
    "size of superscripts": _with("\u00b2"),
    "no size": _with(""),
    "size 2^63": _with(str(2**63)),
    "size 2^64": _with(str(2**64)),
    "size of a thousand digits": _with("9" * 1000),
    "size 0 with a root": _with("0"),
    "the empty root of 17": _with(root=base64.b64encode(EMPTY_ROOT).decode()),
    "root of 31 bytes": _with(root=base64.b64encode(ROOT[:31]).decode()),
    "root of 33 bytes": _with(root=base64.b64encode(ROOT + b"x").decode()),
    "no root": _with(root=""),
    "root in hex": _with(root=ROOT.hex()),
    "root without padding": _with(root=ROOT_TEXT.rstrip("=")),
    "bits that stand for nothing": _with(root=ROOT_TEXT[:-2] + chr(ord(ROOT_TEXT[-2]) + 1) + "="),
    "root with a space": _with(root=ROOT_TEXT + " "),
    "no origin": _with(origin=""),
    "an extra line": TEXT + "extension\n",
    "an empty line more": TEXT + "\n",
    "a line less": f"{ORIGIN}\n17\n",
    "no last line feed": TEXT.rstrip("\n"),
    "carriage returns": TEXT.replace("\n", "\r\n"),
    "nothing": "",
}


@pytest.mark.parametrize("defect", MALFORMED)
def test_a_malformed_checkpoint_is_refused(defect: str) -> None:
    """A signature over it changes nothing: it is no checkpoint."""
    with pytest.raises(ProofError):
        checkpoint_of(MALFORMED[defect])
    with pytest.raises(ProofError):
        parse_checkpoint(note_signed(MALFORMED[defect], made_key(1), ORIGIN))


def test_each_byte_flipped_is_found() -> None:
    """Whatever byte is changed: malformed, or not signed by the log."""
    key = made_key(1)
    whole = note_signed(TEXT, key, ORIGIN).encode()
    for mask in (0x01, 0x02, 0x20, 0x80):
        for place, changed in each_byte_flipped(whole, mask):
            try:
                _, note = parse_checkpoint(changed)
                found = signers(note, {ORIGIN: key.public_key}, is_signed_by)
            except ProofError:
                continue
            assert not found, place


def test_a_witness_by_the_logs_name_has_not_signed_for_it() -> None:
    """A cosignature (kind 0x04) under the log's own name and key does not make a checkpoint the log's."""
    key = made_key(1)
    stamped = bytes(8) + key.sign(b"cosignature/v1\ntime 0\n" + TEXT.encode())
    line = Signature(ORIGIN, key_id(ORIGIN, key.public_key, COSIGNATURE_TYPE), stamped)
    _, note = parse_checkpoint(signed(TEXT, [line]))
    assert signers(note, {ORIGIN: key.public_key}, is_signed_by) == frozenset()
