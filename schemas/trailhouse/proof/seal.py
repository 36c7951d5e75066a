"""Seals: a logger says, signed by its service's key, which records it has made under which numbers. Pure.

A seal is an event `audit_sealed` whose `data` is `SealData`; `seal_check` says what it proves. Whose signature counts,
and for what, is worked out from what the signature covers, since everything else in Kafka can be written by others:

* A seal counts by its signature alone, by a key that the policy names for the service that the seal names. Around it
  (session, tenant, time, key, number of the record that carries it) nothing is believed, so a copy counts no less and
  no more, whoever sends it.
* It speaks for the records of its own service alone: each names service, logger and number itself, in the bytes that
  the digest covers. So another service that has a key, and claims the same `producer_id`, neither attests nor disputes
  anything of this one; and a stranger has no key.
* Of two seals of a service for one number the one that was logged first decides (all of a logger's seals lie in one
  session, and so in order in one partition): who steals the key later does not overrule it, and is found.

`short_digests` hold the first eight bytes of the SHA-256 of each record: to find another record with those takes 2^64
tries for each, so they tell which of several records with one number is the sealed one, and stand by themselves where
a record beside it is missing. `records_hash` is over all 32 bytes of each, in order: where all are there, it is the
whole proof. A number whose record the logger has lost, or that the broker has refused for good, is named in `lost`,
so that nobody looks for it; one that was never given to a record does not exist, since a logger numbers without gaps.
"""

import base64
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

import msgspec

from trailhouse.schemas.errors import ProofError

FORMAT = "trailhouse-seal/1"
SEAL_TYPE = "audit_sealed"
SHORT_DIGEST_BYTES = 8
MOST_NUMBERS = 1_000_000
MOST_LOST_RANGES = 32
MOST_SEQ = 2**63 - 1
MOST_SEAL_SECONDS = 300
"""The longest time between two seals of one logger; what is logged before the first one waits no longer, either."""

Range = tuple[int, int]
"""The first and the last of some numbers."""


def seal_session(producer_id: str) -> str:
    """Return the session that the seals of a logger's records lie in: one, so that they are in order."""
    return f"seal:{producer_id}"


class Seal(NamedTuple):
    """What is sealed: the records of *producer_id*, of *service*, from `first_seq` to `last_seq`, both included.

    Attributes:
        is_last: No further seal is made. Where a successor makes it, a power cut may have taken records after these.
        own_seq: The number of the record that carries the last seal, where the logger itself makes it, and none comes
            after it; else None.
        next_within_seconds: The next seal is made within that; 0 for the last.
        records_hash: SHA-256 over the digests, in order.
        short_digests: `SHORT_DIGEST_BYTES` of each digest, in order.
        lost: Numbers whose records will not come: of these or those before, refused by the broker for good; or between
            `last_seq` of the seal before and `first_seq`, or `last_seq` and `own_seq`, damaged or removed in the spool.
    """

    service: str
    producer_id: str
    first_seq: int
    last_seq: int
    is_last: bool
    own_seq: int | None
    next_within_seconds: int
    records_hash: bytes
    short_digests: bytes
    lost: tuple[Range, ...] = ()

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
            "-" if self.own_seq is None else str(self.own_seq),
            str(self.next_within_seconds),
            self.records_hash.hex(),
            sha256(self.short_digests).hexdigest(),
            ",".join(f"{first}-{last}" for first, last in self.lost) or "-",
        )
        return "\n".join(lines) + "\n"

    def short_digest(self, seq: int) -> bytes | None:
        """Return the first bytes of the SHA-256 of the record of number *seq*; None where it is not sealed here."""
        if not self.first_seq <= seq <= self.last_seq:
            return None
        start = (seq - self.first_seq) * SHORT_DIGEST_BYTES
        return self.short_digests[start : start + SHORT_DIGEST_BYTES]

    def has_lost(self, seq: int) -> bool:
        """Tell whether it says of *seq* that its record will not come."""
        return any(first <= seq <= last for first, last in self.lost)


class SealData(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of a seal's event; bytes in base64, `records_hash` in hex.

    `repeats_ms` is there where the next logger repeats the last seal of one that has closed: when that was made, by the
    clock of its host in Unix milliseconds. It is not signed: it only says of which log's time it is.
    """

    service: str
    producer_id: str
    first_seq: int
    last_seq: int
    is_last: bool
    own_seq: int | None = None
    next_within_seconds: int
    records_hash: str
    digests: str
    lost: list[tuple[int, int]] = []
    public_key: str
    signature: str
    repeats_ms: int | msgspec.UnsetType = msgspec.UNSET


def sealed(
    service: str,
    producer_id: str,
    first_seq: int,
    digests: Iterable[bytes],
    *,
    next_within_seconds: int,
    is_last: bool = False,
    own_seq: int | None = None,
    lost: Iterable[Range] = (),
) -> Seal:
    """Return the seal over records with *digests*, 32 bytes each, whose numbers begin with *first_seq*."""
    each = list(digests)
    return Seal(
        service,
        producer_id,
        first_seq,
        first_seq + len(each) - 1,
        is_last,
        own_seq,
        0 if is_last else next_within_seconds,
        sha256(b"".join(each)).digest(),
        b"".join([digest[:SHORT_DIGEST_BYTES] for digest in each]),
        tuple(lost),
    )


def data_of(seal: Seal, public_key: bytes, signature: bytes) -> SealData:
    """Return *seal*, signed, as an event carries it."""
    return SealData(
        service=seal.service,
        producer_id=seal.producer_id,
        first_seq=seal.first_seq,
        last_seq=seal.last_seq,
        is_last=seal.is_last,
        own_seq=seal.own_seq,
        next_within_seconds=seal.next_within_seconds,
        records_hash=seal.records_hash.hex(),
        digests=base64.b64encode(seal.short_digests).decode(),
        lost=list(seal.lost),
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
            given.own_seq,
            given.next_within_seconds,
            bytes.fromhex(given.records_hash),
            _from_base64(given.digests),
            tuple(given.lost),
        )
        public_key, signature = _from_base64(given.public_key), _from_base64(given.signature)
    except (msgspec.ValidationError, ValueError, RecursionError):
        raise ProofError("seal: a field is missing or wrong") from None
    if given.records_hash != seal.records_hash.hex() or len(seal.records_hash) != 32:
        raise ProofError("seal: its hash is not 32 bytes in lower-case hex")
    _check_names(seal)
    _check_numbers(seal)
    return seal, public_key, signature


def _from_base64(text: str) -> bytes:
    content = base64.b64decode(text, validate=True)
    if base64.b64encode(content).decode() != text:
        raise ValueError(text[:0])
    return content


def _check_names(seal: Seal) -> None:
    for name in (seal.service, seal.producer_id):
        if not name or len(name) > 256 or not name.isprintable():
            raise ProofError(
                "seal: a name is empty, too long, or holds a character that does not print"
            )


def _check_numbers(seal: Seal) -> None:
    count = seal.last_seq - seal.first_seq + 1
    if not 0 <= seal.first_seq <= seal.last_seq < MOST_SEQ or count > MOST_NUMBERS:
        raise ProofError("seal: its numbers are wrong")
    if len(seal.short_digests) != count * SHORT_DIGEST_BYTES:
        raise ProofError("seal: it does not hold a digest for each number")
    if seal.own_seq is not None and not (seal.is_last and seal.last_seq < seal.own_seq < MOST_SEQ):
        raise ProofError("seal: its own number does not follow the last one")
    if not (0 if seal.is_last else 1) <= seal.next_within_seconds <= MOST_SEAL_SECONDS:
        raise ProofError("seal: it promises the next one for a time that is wrong")
    if seal.is_last and seal.next_within_seconds:
        raise ProofError("seal: it is the last, and promises another")
    end = seal.last_seq + 1 if seal.own_seq is None else seal.own_seq
    is_sound = all(0 <= first <= last < end for first, last in seal.lost)
    rises = all(before[1] < after[0] for before, after in pairwise(seal.lost))
    if len(seal.lost) > MOST_LOST_RANGES or not is_sound or not rises:
        raise ProofError("seal: its lost numbers are wrong")


def ranges_of(numbers: Iterable[int]) -> Iterator[Range]:
    """Yield the ranges that *numbers*, which rise, are."""
    first = last = -1
    for number in numbers:
        if first >= 0 and number == last + 1:
            last = number
            continue
        if first >= 0:
            yield first, last
        first = last = number
    if first >= 0:
        yield first, last
