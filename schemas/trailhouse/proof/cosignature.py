"""Cosignatures (C2SP tlog-cosignature, Ed25519): a witness has seen a log grow to a checkpoint, and when. Pure.

Its key id is made with the type 0x04. What follows the id is the time, seconds since 1970 UTC as 8 bytes, big-endian,
and the signature over two lines, ``cosignature/v1`` and ``time <seconds>``, and the text of the checkpoint.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trailhouse.proof.note import (
    COSIGNATURE_TYPE,
    SIGNATURE_BYTES,
    Signature,
    Verify,
    key_id,
    parse_note,
    parse_verifier_key,
    signed,
)
from trailhouse.schemas.errors import ProofError

TIME_BYTES = 8
MAX_SECONDS = 2**63 - 1


class Cosignature(NamedTuple):
    """Which witness has signed a checkpoint, and when, in seconds since 1970 UTC."""

    witness: str
    at_seconds: int


def cosigned_message(text: str, at_seconds: int) -> bytes:
    """Return what a witness signs of the checkpoint *text*."""
    return f"cosignature/v1\ntime {at_seconds}\n{text}".encode()


def cosignature(name: str, public_key: bytes, at_seconds: int, signature: bytes) -> Signature:
    """Return *signature* over `cosigned_message` as a line under the checkpoint has it."""
    made = at_seconds.to_bytes(TIME_BYTES, "big") + signature
    return Signature(name, key_id(name, public_key, COSIGNATURE_TYPE), made)


def cosigners(
    text: str, signatures: Iterable[Signature], verifier_keys: Iterable[str], verify: Verify
) -> Iterator[tuple[Cosignature, Signature]]:
    """Yield each of *signatures* that is the cosignature of one of *verifier_keys* under *text*.

    Lines of other keys are passed over, as the specification wants.

    Raises:
        ProofError: A line names a key of these and does not fit, or a verifier key is malformed. Permanent.
    """
    known = {}
    for each in verifier_keys:
        name, kind, public_key = parse_verifier_key(each)
        if kind == COSIGNATURE_TYPE:
            known[name, key_id(name, public_key, kind)] = public_key
    for line in signatures:
        public_key_found = known.get((line.name, line.key_id))
        if public_key_found is None:
            continue
        at_seconds = int.from_bytes(line.signature[:TIME_BYTES], "big")
        is_formed = len(line.signature) == TIME_BYTES + SIGNATURE_BYTES
        if (
            not is_formed
            or not 0 < at_seconds <= MAX_SECONDS
            or not verify(
                public_key_found, line.signature[TIME_BYTES:], cosigned_message(text, at_seconds)
            )
        ):
            raise ProofError(f"the cosignature by {line.name} does not fit what it stands under")
        yield Cosignature(line.name, at_seconds), line


def signature_line(signature: Signature) -> str:
    """Return *signature* as its line in a note, without the line feed."""
    return signed("", [signature]).strip("\n")


def parse_signature_lines(lines: str) -> tuple[Signature, ...]:
    """Return the signatures in *lines*, as a witness answers.

    Raises:
        ProofError: A line is malformed. Permanent.
    """
    return parse_note(f"-\n\n{lines}", "cosignature").signatures
