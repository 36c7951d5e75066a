"""Signed notes (C2SP signed-note): a text, an empty line, and lines of signatures. Pure.

Source: the C2SP specification `signed-note`. Key ids are the first four bytes of SHA-256 over the key's name, a line
feed, the byte of its type, and its bytes.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from trailhouse.schemas.errors import ProofError

ED25519_TYPE = 0x01
"""A signature over the text by Ed25519."""
COSIGNATURE_TYPE = 0x04
"""A witness's signature by Ed25519 over its time and the text (C2SP tlog-cosignature)."""
KEY_ID_BYTES = 4
SIGNATURE_BYTES = 64
MAX_NOTE_BYTES = 64 * 1024 * 1024
MAX_SIGNATURES = 100
_DASH = "\u2014 "


class Signature(NamedTuple):
    """One line of signature: who is said to have signed, the id of the key, and what follows the id."""

    name: str
    key_id: bytes
    signature: bytes


class Note(NamedTuple):
    """A text that ends in a line feed, and the signatures under it; nothing is checked but the form."""

    text: str
    signatures: tuple[Signature, ...]


def key_id(name: str, public_key: bytes, kind: int = ED25519_TYPE) -> bytes:
    """Return the id of a key of *kind* under *name*."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public_key).digest()[:KEY_ID_BYTES]


def is_key_name(name: str) -> bool:
    """Tell whether *name* may be a key's: not empty, without a space, a plus or a sign that does not print."""
    return bool(name) and "+" not in name and name.isprintable() and not any(map(str.isspace, name))


def verifier_key(name: str, public_key: bytes, kind: int = ED25519_TYPE) -> str:
    """Return ``name+id+key`` (C2SP signed-note), by which other programs are given a public key."""
    key = base64.b64encode(bytes([kind]) + public_key).decode()
    return f"{name}+{key_id(name, public_key, kind).hex()}+{key}"


def parse_verifier_key(text: str) -> tuple[str, int, bytes]:
    """Return name, kind and bytes of the public key that *text* holds.

    Raises:
        ProofError: It is malformed, or its id is not that of its key. Permanent.
    """
    parts = text.split("+", 2)
    if len(parts) != 3 or not is_key_name(parts[0]):
        raise ProofError("a verifier key is `name+id+key`")
    raw = canonical_base64(parts[2], "verifier key")
    if len(raw) != 33 or key_id(parts[0], raw[1:], raw[0]).hex() != parts[1]:
        raise ProofError("the id of a verifier key is not that of its key")
    return parts[0], raw[0], raw[1:]


def canonical_base64(text: str, what: str) -> bytes:
    """Return the bytes that *text* stands for.

    Raises:
        ProofError: It is not base64, or another text would stand for the same bytes. Permanent.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ProofError(f"{what}: is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise ProofError(f"{what}: is not the one base64 of its bytes")
    return raw


def signed(text: str, signatures: Iterable[Signature]) -> str:
    """Return *text* with *signatures* under it."""
    lines = "".join(
        f"{_DASH}{each.name} {base64.b64encode(each.key_id + each.signature).decode()}\n"
        for each in signatures
    )
    return f"{text}\n{lines}"


def parse_note(content: str | bytes, what: str = "note") -> Note:
    """Return the text of *content* and its signatures; who signed is not checked.

    Raises:
        ProofError: It is not a signed note. Permanent.
    """
    if len(content) > MAX_NOTE_BYTES:
        raise ProofError(f"{what}: is too large")
    try:
        whole = content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError:
        raise ProofError(f"{what}: is not UTF-8") from None
    if any(sign < " " and sign != "\n" for sign in set(whole)) or "\x7f" in whole:
        raise ProofError(f"{what}: holds a control character")
    body, found, lines = whole.rpartition("\n\n")
    if not found or not lines.endswith("\n"):
        raise ProofError(f"{what}: has no lines of signatures under an empty line")
    signatures = [_signature(line, what) for line in lines[:-1].split("\n")]
    if len(signatures) > MAX_SIGNATURES:
        raise ProofError(f"{what}: has more than {MAX_SIGNATURES} signatures")
    return Note(body + "\n", tuple(signatures))


def _signature(line: str, what: str) -> Signature:
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2 or not is_key_name(parts[0]):
        raise ProofError(f"{what}: a line of signature is malformed")
    raw = canonical_base64(parts[1], f"{what}: signature")
    if len(raw) <= KEY_ID_BYTES:
        raise ProofError(f"{what}: a signature is too short")
    return Signature(parts[0], raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:])


Verify = Callable[[bytes, bytes, bytes], bool]
"""Whether, of a public key, a signature and what is signed, the signature is the key's; `keys.is_signed_by` is one."""


def signers(note: Note, trusted: Mapping[str, bytes], verify: Verify) -> frozenset[str]:
    """Return the names among *trusted* (public keys by name) whose Ed25519 signature *note* bears.

    A signature by a name and an id that are trusted and that does not fit makes the whole note worthless.

    Raises:
        ProofError: A signature that claims to be of a trusted key is not. Permanent.
    """
    found: set[str] = set()
    for each in note.signatures:
        public_key = trusted.get(each.name)
        if public_key is None or each.key_id != key_id(each.name, public_key):
            continue
        if len(each.signature) != SIGNATURE_BYTES or not verify(
            public_key, each.signature, note.text.encode()
        ):
            raise ProofError(f"the signature by {each.name} does not fit what it stands under")
        found.add(each.name)
    return frozenset(found)
