"""What seals prove about stored records: which were sealed, which are missing, which contradict a seal. Pure.

`check_seal` says whether a seal counts. `check_records` holds one seal against all records that name its service, its
logger and its numbers; `SealBook` does that for many loggers' seals in the order in which they were logged, and tells
which numbers no seal covers. Which *records* are given is the caller's: all that are stored, as their own bytes name
themselves; a stranger's among them change no answer about the others, and take no more time than they are.
"""

import base64
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from itertools import product
from math import prod
from typing import NamedTuple

from trailhouse.proof.note import Verify
from trailhouse.proof.policy import Policy, ServiceKey
from trailhouse.proof.seal import (
    MOST_SEAL_SECONDS,
    SHORT_DIGEST_BYTES,
    Range,
    Seal,
    parse_seal,
    ranges_of,
)
from trailhouse.schemas.errors import ProofError

MOST_COMBINATIONS = 64
"""So many choices are tried where records of one number have the same eight first bytes: nobody but the key's owner
could make a second one."""
SLACK_SECONDS = 120.0
"""A seal may be so much later than it was promised: it goes the way of every event, and may wait for the broker."""


class CountedSeal(NamedTuple):
    """A seal whose signature is that of a key which the policy names for its service.

    `key` says for which tenants that service may write, and until which anchor the key counts: that is the caller's to
    look at, who knows by which anchor the seal's own leaf is covered.
    """

    seal: Seal
    key: ServiceKey


class Match(StrEnum):
    """What a seal says about one record that names its service, its logger and one of its numbers."""

    FITS = "fits"
    """It is the sealed one."""
    WRONG_TENANT = "wrong_tenant"
    """It is the sealed one, of a tenant that the service may not write for."""
    CONTRADICTS = "contradicts"
    """Another record was sealed under this number, or none, and that was said."""
    NOT_SEALED = "not_sealed"
    """No seal covers its number."""


class Checked(NamedTuple):
    """What one seal says about the records of its numbers.

    Attributes:
        chosen: The digest of the sealed record by number, from the first; None where it is missing or was lost.
        missing: Numbers whose sealed record is not there.
        lost: Numbers of which this seal says that their record will not come, and that is not there; a later one may
            say it, too: see `LoggerSeals.has_lost`.
        contradicting: Records, by number and digest, that are not the sealed ones.
        is_whole: The hash over all records is right: nothing is left to the first bytes of digests.
        is_broken: All records are there by their first bytes, and the hash over them is wrong: none of them is proven.
    """

    chosen: list[bytes | None]
    missing: list[Range]
    lost: list[Range]
    contradicting: list[tuple[int, bytes]]
    is_whole: bool
    is_broken: bool


def check_seal(data: object, policy: Policy, verify: Verify) -> CountedSeal:
    """Return the seal in *data* of an event `audit_sealed`, which counts by *policy*.

    Raises:
        ProofError: It is malformed, its service has no such key in the policy, or its signature is wrong. Permanent.
    """
    seal, public_key, signature = parse_seal(data)
    key = service_key(policy, seal.service, public_key)
    if key is None:
        raise ProofError("seal: the policy names no such key for its service")
    if not verify(public_key, signature, seal.text.encode()):
        raise ProofError("seal: its signature is wrong")
    return CountedSeal(seal, key)


def service_key(policy: Policy, service: str, public_key: bytes) -> ServiceKey | None:
    """Return the entry of *public_key* for *service* in *policy*; None: there is none."""
    text = base64.b64encode(public_key).decode()
    for key in policy.services:
        if key.service == service and key.public_key == text:
            return key
    return None


def check_records(seal: Seal, records: Mapping[int, Sequence[bytes]]) -> Checked:
    """Hold *seal* against *records*: by number, the digest (32 bytes) of each that names its service and logger.

    Numbers that it does not cover are passed over; one digest may be given several times.
    """
    numbers = range(seal.first_seq, seal.last_seq + 1)
    fitting = [_fitting(seal, seq, records.get(seq, ())) for seq in numbers]
    chosen, is_whole = _chosen(seal, fitting)
    absent = [seq for seq, digest in zip(numbers, chosen, strict=True) if digest is None]
    is_broken = not is_whole and all(fitting)
    return Checked(
        chosen,
        list(ranges_of(seq for seq in absent if not seal.has_lost(seq))) if not is_broken else [],
        list(ranges_of(seq for seq in absent if seal.has_lost(seq))),
        [
            (seq, digest)
            for seq, one in zip(numbers, chosen, strict=True)
            for digest in dict.fromkeys(records.get(seq, ()))
            if digest != one
        ],
        is_whole,
        is_broken,
    )


def _fitting(seal: Seal, seq: int, digests: Sequence[bytes]) -> list[bytes]:
    short = seal.short_digest(seq)
    return [digest for digest in dict.fromkeys(digests) if digest[:SHORT_DIGEST_BYTES] == short]


def _chosen(seal: Seal, fitting: list[list[bytes]]) -> tuple[list[bytes | None], bool]:
    """Return the sealed record of each number, and whether the hash over all of them is right."""
    only = [digests[0] if len(digests) == 1 else None for digests in fitting]
    if any(not digests for digests in fitting):
        return list(only), False
    if prod(len(digests) for digests in fitting) > MOST_COMBINATIONS:
        return [None] * len(fitting), False
    for choice in product(*fitting):
        if sha256(b"".join(choice)).digest() == seal.records_hash:
            return list(choice), True
    return [None] * len(fitting), False


class Claim(NamedTuple):
    """What a stored record says of itself, by its own bytes; `digest` is their SHA-256, `tenant_id` "" for none.

    `is_seal` is an `audit_sealed` of no tenant: who makes it writes for nobody.
    """

    service: str
    producer_id: str
    seq: int
    tenant_id: str
    digest: bytes
    is_seal: bool = False


class Piece(NamedTuple):
    """Numbers from `first` to `last`, and the seal that decides about them."""

    first: int
    last: int
    counted: CountedSeal


class LoggerSeals:
    """The seals that count of one logger's records, in the order in which they were logged.

    What an earlier one has said about a number stands: a later one that says otherwise is told, and decides nothing
    but about numbers that none before it covers.

    Attributes:
        pieces: Which seal decides about which numbers; they rise, and none covers a number of another.
        overruled: Numbers about which a later seal has said otherwise: the service's key is in two hands, or one logger
            was copied together with its memory.
        end_seq: The number after the last that a seal covers.
        is_closed: The newest seal is the last: no other is due.
        own_seq: The number of the last seal's own record, where the logger itself made it: there is none after it.
        next_within_seconds: How long after its newest seal was stored the next is due, but for `SLACK_SECONDS`.
    """

    def __init__(self, service: str, producer_id: str) -> None:
        self.service = service
        self.producer_id = producer_id
        self.pieces: list[Piece] = []
        self.overruled: list[Range] = []
        self.end_seq = 0
        self.is_closed = False
        self.own_seq: int | None = None
        self.next_within_seconds = MOST_SEAL_SECONDS
        self._own_record: Claim | None = None
        self._lost: list[Range] = []

    def add(self, counted: CountedSeal, carried_by: Claim | None = None) -> bool:
        """Add the seal that was logged next; a copy of one that is here changes nothing.

        Args:
            counted: Its seal names this service and logger.
            carried_by: The record that carries it, where that names a number: it may be the logger's last one.

        Returns:
            Whether it agrees with those before it.
        """
        seal = counted.seal
        if (seal.service, seal.producer_id) != (self.service, self.producer_id):
            raise ValueError("the seal is another logger's")
        against = list(self._contradicted(seal))
        if self.own_seq is not None and max(seal.last_seq, seal.own_seq or 0) > self.own_seq:
            against.append((max(self.own_seq, seal.first_seq), seal.last_seq))
        else:
            self._take(counted, carried_by)
        self.overruled += against
        return not against

    def _take(self, counted: CountedSeal, carried_by: Claim | None) -> None:
        seal = counted.seal
        self._cover(counted)
        self._lost += seal.lost
        if seal.last_seq >= self.end_seq:
            self.end_seq, self.is_closed = seal.last_seq + 1, seal.is_last
            self.own_seq = seal.own_seq if self.own_seq is None else self.own_seq
            self.next_within_seconds = seal.next_within_seconds
        # A copy may lie before it: in another partition, where the topic was widened.
        own = (seal.service, seal.producer_id, seal.own_seq, "")
        is_own = carried_by is not None and carried_by[:4] == own and seal.own_seq == self.own_seq
        if is_own and self._own_record is None:
            self._own_record = carried_by

    def _contradicted(self, seal: Seal) -> Iterator[Range]:
        for first, last, counted in self._overlapping(seal.first_seq, seal.last_seq):
            other = counted.seal
            begin, end = max(first, seal.first_seq), min(last, seal.last_seq) + 1
            yield from ranges_of(
                seq
                for seq in range(begin, end)
                if seal.short_digest(seq) != other.short_digest(seq)
            )

    def _overlapping(self, first: int, last: int) -> list[Piece]:
        begin = bisect_left(self.pieces, first, key=_last)
        end = bisect_right(self.pieces, last, key=_first)
        return self.pieces[begin:end]

    def _cover(self, counted: CountedSeal) -> None:
        begin = counted.seal.first_seq
        fresh: list[Piece] = []
        for first, last, _ in self._overlapping(begin, counted.seal.last_seq):
            if begin < first:
                fresh.append(Piece(begin, first - 1, counted))
            begin = max(begin, last + 1)
        if begin <= counted.seal.last_seq:
            fresh.append(Piece(begin, counted.seal.last_seq, counted))
        for piece in fresh:
            insort(self.pieces, piece, key=_first)

    def uncovered(self) -> list[Range]:
        """Return the numbers below `end_seq` that no seal covers or calls lost: one is missing, or was never made."""
        found: list[Range] = []
        begin = 0
        for piece in self.pieces:
            if begin < piece.first:
                found.append((begin, piece.first - 1))
            begin = piece.last + 1
        return [each for each in found if not self._has_lost_all(each)]

    def _has_lost_all(self, numbers: Range) -> bool:
        return any(first <= numbers[0] and numbers[1] <= last for first, last in self._lost)

    def has_lost(self, seq: int) -> bool:
        """Tell whether a seal says that the record of *seq* will not come."""
        return any(first <= seq <= last for first, last in self._lost)

    def deciding(self, seq: int) -> CountedSeal | None:
        """Return the seal that decides about *seq*; None: no seal covers it."""
        found = self._overlapping(seq, seq)
        return found[0].counted if found else None

    def match(self, claim: Claim) -> Match:
        """Return what the seals say about one record, by the first bytes of its digest."""
        counted = self.deciding(claim.seq)
        if counted is None and self.own_seq is not None and claim.seq >= self.own_seq:
            return Match.FITS if claim == self._own_record else Match.CONTRADICTS
        if counted is None:
            return Match.NOT_SEALED
        if claim.digest[:SHORT_DIGEST_BYTES] != counted.seal.short_digest(claim.seq):
            return Match.CONTRADICTS
        is_for_nobody = claim.is_seal and not claim.tenant_id
        may_write = is_for_nobody or counted.key.may_write_for(claim.tenant_id)
        return Match.FITS if may_write else Match.WRONG_TENANT


class SealBook:
    """All loggers' seals that count by one policy, added in the order in which they were logged."""

    def __init__(self, policy: Policy, verify: Verify) -> None:
        self._policy = policy
        self._verify = verify
        self.loggers: dict[tuple[str, str], LoggerSeals] = {}

    def add(self, data: object, carried_by: Claim | None = None) -> bool:
        """Add the seal in *data* of the event that was logged next; see `LoggerSeals.add`.

        Raises:
            ProofError: As `check_seal`: it does not count, and nothing was added.
        """
        counted = check_seal(data, self._policy, self._verify)
        name = (counted.seal.service, counted.seal.producer_id)
        if name not in self.loggers:
            self.loggers[name] = LoggerSeals(*name)
        return self.loggers[name].add(counted, carried_by)

    def match(self, claim: Claim) -> Match:
        """Return what the seals say about one record; see `LoggerSeals.match`."""
        seals = self.loggers.get((claim.service, claim.producer_id))
        return Match.NOT_SEALED if seals is None else seals.match(claim)


def _first(piece: Piece) -> int:
    return piece.first


def _last(piece: Piece) -> int:
    return piece.last
