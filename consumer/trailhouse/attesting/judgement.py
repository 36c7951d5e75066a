"""What one seal that counts says about the stored records that it names, as it is written down for readers. Pure."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from trailhouse.proof.policy import Policy
from trailhouse.proof.seal import Range, Seal
from trailhouse.proof.seal_check import CountedSeal, check_records
from trailhouse.proof.standing import Standing
from trailhouse.schemas.record_hash import RECORD_KEY_BYTES

_RANKS = {Standing.UNATTESTED: 1, Standing.DISPUTED: 2, Standing.ATTESTED: 3}


class SealState(StrEnum):
    """What was found of a seal."""

    WHOLE = "whole"
    """Every record is there, and the hash over all of them is right."""
    INCOMPLETE = "incomplete"
    """Some records are not there: not yet, or not any more."""
    BROKEN = "broken"
    """Every record is there by the first bytes of its digest, and the hash over all of them is wrong."""
    UNKNOWN_KEY = "unknown_key"
    """The policy names no such key for the service: whoever made it says nothing to us."""
    REVOKED = "revoked"
    """Its key was revoked, and no anchor that counts covers it."""
    FORGED = "forged"
    """It names a key of the policy, and is not signed by it."""
    MALFORMED = "malformed"
    """It is no seal."""

    @property
    def counts(self) -> bool:
        """Whether such a seal says anything about records."""
        return self in (SealState.WHOLE, SealState.INCOMPLETE, SealState.BROKEN)


class StoredRecord(NamedTuple):
    """A stored record whose digest begins as a seal says of its number, and what its own bytes say of it.

    `is_erased`: they were erased by an operator's order, which names the digest; of which service it was they said.
    """

    producer_id: str
    seq: int
    occurred_us: int
    record_key: bytes
    tenant_id: str
    service: str
    digest: bytes
    is_seal: bool
    is_erased: bool = False


class Judgement(NamedTuple):
    """What is written down: of the seal, and by time and key of each record that it names."""

    verdict: SealState
    standings: dict[tuple[int, bytes], Standing]
    sealed: int
    missing: int


def judge(
    counted: CountedSeal, records: Iterable[StoredRecord], before: Sequence[Range]
) -> Judgement:
    """Return what *counted* says about *records*; numbers in *before* are those that an earlier seal has decided."""
    seal = counted.seal
    own = [each for each in records if _is_named(seal, each)]
    by_number: dict[int, list[bytes]] = {}
    for each in own:
        by_number.setdefault(each.seq, []).append(each.digest)
    found = check_records(seal, by_number)
    chosen = dict(enumerate(found.chosen, seal.first_seq))
    standings: dict[tuple[int, bytes], Standing] = {}
    for each in own:
        if _is_within(each.seq, before):
            continue
        is_sealed = not found.is_broken and chosen.get(each.seq) == each.digest
        # A logger's seals are of all tenants, and of none: who makes them writes for nobody.
        may_write = each.is_seal or counted.key.may_write_for(each.tenant_id)
        standing = Standing.ATTESTED if is_sealed and may_write else Standing.DISPUTED
        standings[each.occurred_us, each.record_key] = standing
    missing = sum(last - first + 1 for first, last in found.missing)
    if found.is_broken:
        return Judgement(SealState.BROKEN, standings, 0, missing)
    sealed = len({each.seq for each in own if chosen.get(each.seq)})
    verdict = SealState.INCOMPLETE if missing else SealState.WHOLE
    return Judgement(verdict, standings, sealed, missing)


def withdrawn(
    seal: Seal, records: Iterable[StoredRecord], before: Sequence[Range]
) -> dict[tuple[int, bytes], Standing]:
    """Return what is written over what *seal*, which counts no more, has said of numbers beside those in *before*."""
    return {
        (each.occurred_us, each.record_key): Standing.UNATTESTED
        for each in records
        if _is_named(seal, each) and not _is_within(each.seq, before)
    }


def closing_records(carriers: Sequence[StoredRecord]) -> dict[tuple[int, bytes], Standing]:
    """Return the standing of the records that carry one closing seal and its own number, the first appended first.

    Nobody can send that seal before its logger has, so the first is the logger's, and the others are copies by others.
    """
    return {
        (each.occurred_us, each.record_key): Standing.DISPUTED if place else Standing.ATTESTED
        for place, each in enumerate(carriers)
    }


def version_of(policy: Policy, standing: Standing) -> int:
    """Return what decides between two rows of one event: the newer policy, then what is attested."""
    return policy.version * 4 + _RANKS[standing]


def key_of(digest: bytes) -> bytes:
    """Return the first half of *digest*, as the columns have it."""
    return digest[:RECORD_KEY_BYTES]


def _is_named(seal: Seal, record: StoredRecord) -> bool:
    is_own = record.producer_id == seal.producer_id and (
        record.is_erased or record.service == seal.service
    )
    return is_own and seal.first_seq <= record.seq <= seal.last_seq


def _is_within(seq: int, ranges: Sequence[Range]) -> bool:
    return any(first <= seq <= last for first, last in ranges)
