"""Signed notes: the form, which signatures count, and what is refused."""

import base64

import pytest

from flipped import each_byte_flipped
from made_keys import made_key
from trailhouse.proof.keys import FileSigner, is_signed_by, note_signed
from trailhouse.proof.note import (
    COSIGNATURE_TYPE,
    MAX_SIGNATURES,
    Signature,
    canonical_base64,
    is_key_name,
    key_id,
    parse_note,
    parse_verifier_key,
    signed,
    signers,
    verifier_key,
)
from trailhouse.schemas.errors import ProofError

NAME = "example.org/log"
# The verifier key in the C2SP specification `signed-note`; and the note and key in the documentation of the Go module
# golang.org/x/mod/sumdb/note.
PUBLISHED_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


@pytest.fixture
def signer() -> FileSigner:
    """Return a key of this test."""
    return made_key(1)


def test_what_is_signed_is_found(signer: FileSigner) -> None:
    """Text and signature come back, and the signer is told by name and key."""
    note = parse_note(note_signed("one\n\ntwo\n", signer, NAME))
    assert note.text == "one\n\ntwo\n"
    assert signers(note, {NAME: signer.public_key}, is_signed_by) == {NAME}
    assert signers(note, {"another": signer.public_key}, is_signed_by) == frozenset()
    assert signers(note, {NAME: made_key(2).public_key}, is_signed_by) == frozenset()


def test_each_byte_flipped_is_found(signer: FileSigner) -> None:
    """Whatever byte is changed, the note does not count as signed."""
    whole = note_signed("one\ntwo\n", signer, NAME).encode()
    for mask in (0x01, 0x20, 0x80):
        for place, changed in each_byte_flipped(whole, mask):
            try:
                found = signers(parse_note(changed), {NAME: signer.public_key}, is_signed_by)
            except ProofError:
                continue
            assert not found, place


def test_a_signature_that_does_not_fit_spoils_the_note(signer: FileSigner) -> None:
    """A true one beside it does not heal a false one under the same name and id; strangers' are passed over."""
    note = parse_note(note_signed("text\n", signer, NAME))
    true = note.signatures[0]
    stranger = Signature("stranger", b"abcd", b"x")
    other_id = true._replace(key_id=b"abcd", signature=bytes(64))
    fine = parse_note(signed("text\n", [stranger, other_id, true]))
    assert signers(fine, {NAME: signer.public_key}, is_signed_by) == {NAME}
    for false in (true._replace(signature=bytes(64)), true._replace(signature=true.signature[:-1])):
        spoilt = parse_note(signed("text\n", [true, false]))
        with pytest.raises(ProofError, match="does not fit"):
            signers(spoilt, {NAME: signer.public_key}, is_signed_by)


def test_a_cosignature_under_the_logs_name_is_no_signature(signer: FileSigner) -> None:
    """A line of kind 0x04 has another id, so that what a witness signs is never taken for the log's."""
    text = "text\n"
    as_witness = key_id(NAME, signer.public_key, COSIGNATURE_TYPE)
    stamped = bytes(8) + signer.sign(b"cosignature/v1\ntime 0\n" + text.encode())
    note = parse_note(signed(text, [Signature(NAME, as_witness, stamped)]))
    assert signers(note, {NAME: signer.public_key}, is_signed_by) == frozenset()
    plain = parse_note(signed(text, [Signature(NAME, as_witness, signer.sign(text.encode()))]))
    assert signers(plain, {NAME: signer.public_key}, is_signed_by) == frozenset()


def _line(name: str = NAME, raw: bytes = bytes(68)) -> str:
    return f"\u2014 {name} {base64.b64encode(raw).decode()}\n"


MALFORMED = {
    "empty": "",
    "no signature": "text\n",
    "no empty line": "text\n" + _line(),
    "no line under the empty one": "text\n\n",
    "no last line feed": "text\n\n" + _line().rstrip("\n"),
    "carriage returns": "text\r\n\r\n" + _line().replace("\n", "\r\n"),
    "a carriage return": "text\r\n\n" + _line(),
    "a tab": "te\txt\n\n" + _line(),
    "a null": "te\x00xt\n\n" + _line(),
    "delete": "te\x7fxt\n\n" + _line(),
    "a hyphen for the dash": "text\n\n" + _line().replace("\u2014", "-"),
    "two spaces": "text\n\n" + _line().replace(" ", "  "),
    "a plus in the name": "text\n\n" + _line("a+b"),
    "no name": "text\n\n" + _line(""),
    "a space that is none of ASCII in the name": "text\n\n" + _line("a\u2003b"),
    "an id and nothing": "text\n\n" + _line(raw=bytes(4)),
    "not base64": "text\n\n\u2014 name !!!!\n",
    "base64 without padding": "text\n\n" + _line().replace("=", ""),
    "base64 of another alphabet": "text\n\n" + _line(raw=b"\xff" * 67).replace("/", "_"),
    "bits that stand for nothing": "text\n\n" + _line(raw=bytes(67)).replace("A==", "B=="),
    "something between": "text\n\n" + _line() + "more\n" + _line(),
    "too many": "text\n\n" + _line() * (MAX_SIGNATURES + 1),
}


@pytest.mark.parametrize("defect", MALFORMED)
def test_a_malformed_note_is_refused(defect: str) -> None:
    """There is one form, and what is not of it is no note."""
    for content in (MALFORMED[defect], MALFORMED[defect].encode()):
        with pytest.raises(ProofError):
            parse_note(content)


def test_bytes_that_are_no_text_are_refused() -> None:
    """What is not UTF-8, even within what nobody signs, is no note."""
    with pytest.raises(ProofError, match="UTF-8"):
        parse_note(b"text\xff\n\n" + _line().encode())


def test_the_published_key() -> None:
    """The specification's verifier key is read, and comes back; with any byte changed it is refused."""
    name, kind, raw = parse_verifier_key(PUBLISHED_KEY)
    assert (name, kind, len(raw)) == ("example.com/foo", 1, 32)
    assert verifier_key(name, raw) == PUBLISHED_KEY
    for _, changed in each_byte_flipped(PUBLISHED_KEY.encode()):
        with pytest.raises(ProofError):
            parse_verifier_key(changed.decode())


def test_a_published_note() -> None:
    """A note and a key that another implementation publishes fit each other here."""
    name, kind, raw = parse_verifier_key(GO_KEY)
    assert (name, kind) == ("PeterNeumann", 1)
    assert signers(parse_note(GO_NOTE), {name: raw}, is_signed_by) == {name}


def test_key_names() -> None:
    """A name is what a line of signature can hold and a reader can see."""
    assert all(map(is_key_name, ("a", "example.org/log/topic/0/1", "büro")))
    assert not any(map(is_key_name, ("", "a b", "a+b", "a\nb", "a\u00a0b", "a\u200bb", "\ud800")))


def test_one_base64() -> None:
    """Of all texts that decoders take for the same bytes, one is accepted."""
    assert canonical_base64("AAE=", "it") == b"\x00\x01"
    for text in ("AAE", "AAF=", "AAE=\n", " AAE=", "AA-_", "AAE==", "A", "ÄÄÄÄ"):
        with pytest.raises(ProofError, match="it: is not"):
            canonical_base64(text, "it")
