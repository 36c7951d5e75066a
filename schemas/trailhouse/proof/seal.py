"""Seals: a logger says, signed by its service's key, which records it has made under which numbers. Pure.

A seal is an event `audit_sealed` whose `data` is `SealData`. Its `digests` hold the first six bytes of the SHA-256 of
each record, so that of several records with one number it is told by itself which is the sealed one; `records_hash` is
over all 32 bytes of each, in order, so that whoever could find two records with the same six gains nothing.
"""

import base64
from hashlib import sha256
from typing import NamedTuple

import msgspec

from trailhouse.schemas.errors import ProofError

FORMAT = "trailhouse-seal/1"
SEAL_TYPE = "audit_sealed"
SHORT_DIGEST_BYTES = 6


class Seal(NamedTuple):
    """What is sealed: the records of *producer_id* from `first_seq` to `last_seq`, both included.

    `short_digests` holds `SHORT_DIGEST_BYTES` a number. `is_last` says that the logger made no record after this seal.
    """

    service: str
    producer_id: str
    first_seq: int
    last_seq: int
    is_last: bool
    records_hash: bytes
    short_digests: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        lines = (
            FORMAT,
            self.service,
            self.producer_id,
            str(self.first_seq),
            str(self.last_seq),
            "last" if self.is_last else "more",
            self.records_hash.hex(),
            sha256(self.short_digests).hexdigest(),
        )
        return "\n".join(lines) + "\n"

    def short_digest(self, seq: int) -> bytes | None:
        """Return the first bytes of the SHA-256 of the record of number *seq*; None where it is not sealed here."""
        if not self.first_seq <= seq <= self.last_seq:
            return None
        start = (seq - self.first_seq) * SHORT_DIGEST_BYTES
        return self.short_digests[start : start + SHORT_DIGEST_BYTES]


class SealData(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of a seal's event; bytes in base64, `records_hash` in hex."""

    service: str
    producer_id: str
    first_seq: int
    last_seq: int
    is_last: bool
    records_hash: str
    digests: str
    public_key: str
    signature: str


def data_of(seal: Seal, public_key: bytes, signature: bytes) -> SealData:
    """Return *seal*, signed, as an event carries it."""
    return SealData(
        service=seal.service,
        producer_id=seal.producer_id,
        first_seq=seal.first_seq,
        last_seq=seal.last_seq,
        is_last=seal.is_last,
        records_hash=seal.records_hash.hex(),
        digests=base64.b64encode(seal.short_digests).decode(),
        public_key=base64.b64encode(public_key).decode(),
        signature=base64.b64encode(signature).decode(),
    )


def parse_seal(data: object) -> tuple[Seal, bytes, bytes]:
    """Return the seal in *data* of an event, the public key that it names, and the signature: neither is checked.

    Raises:
        ProofError: It is malformed. Permanent.
    """
    try:
        given = msgspec.convert(data, SealData, strict=True)
        seal = Seal(
            given.service,
            given.producer_id,
            given.first_seq,
            given.last_seq,
            given.is_last,
            bytes.fromhex(given.records_hash),
            base64.b64decode(given.digests, validate=True),
        )
        public_key = base64.b64decode(given.public_key, validate=True)
        signature = base64.b64decode(given.signature, validate=True)
    except (msgspec.ValidationError, ValueError):
        raise ProofError("seal: a field is missing or wrong") from None
    count = seal.last_seq - seal.first_seq + 1
    if not 0 <= seal.first_seq <= seal.last_seq or len(seal.records_hash) != 32:
        raise ProofError("seal: a number or its hash is wrong")
    if len(seal.short_digests) != count * SHORT_DIGEST_BYTES:
        raise ProofError("seal: it does not hold a digest for each number")
    if "\n" in seal.service or "\n" in seal.producer_id:
        raise ProofError("seal: a name holds a line feed")
    return seal, public_key, signature
