"""What the seals of one logger say about its stored records, which come in the order of their numbers. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain
from typing import NamedTuple, Protocol

from trailhouse.proof.seal import SHORT_DIGEST_BYTES
from trailhouse.proof.seal_check import (
    SLACK_SECONDS,
    Checked,
    LoggerSeals,
    Piece,
    check_records,
)
from trailhouse.schemas.ranges import Range, Ranges

MOST_TOLD = 1_000
ADOPTED_SECONDS = 900.0
"""By then after it was due, whatever restarts a service has started one that seals what a killed logger has left."""


class SealFault(StrEnum):
    """What is wrong with records that a seal is about, or with a seal."""

    MISSING = "missing"
    """Sealed, and not stored."""
    CONTRADICTS = "contradicts"
    """Stored under a number of which another record was sealed, or none."""
    WRONG_TENANT = "wrong tenant"
    """Sealed by a service that may not write for its tenant."""
    BROKEN = "broken"
    """All records are there by their first bytes, and the hash over them is another."""
    UNSEALED = "unsealed"
    """Numbers between seals that none covers."""
    OVERRULED = "overruled"
    """Two seals of one logger say different things."""
    OVERDUE = "overdue"
    """The next seal was promised, and has not come."""


class SealedRow(NamedTuple):
    """A stored record that names the logger: its number, its digest, its tenant ("" for none).

    A logger's seals are of no tenant, whomever it writes for. Of one that was erased the service is not known any more:
    it is the sealed one, or it says nothing.
    """

    seq: int
    digest: bytes
    tenant_id: str
    is_seal: bool = False
    is_erased: bool = False


class Told(NamedTuple):
    """A fault, and the numbers that it is about."""

    kind: SealFault
    numbers: Range


class SealedSource(Protocol):
    """The stored records of one logger, in the order of their numbers."""

    def within(self, piece: Piece) -> Sequence[SealedRow] | None:
        """Return the records whose numbers are those of *piece*, each above those of the one before.

        None where it is known that they are just those of its seal.
        """
        ...

    def rest(self) -> Iterable[SealedRow]:
        """Return the records above the last piece."""
        ...


def faults_of(seals: LoggerSeals, rows: Iterable[SealedRow]) -> Iterator[Told]:
    """Yield what the seals of one logger find wrong with *rows*, its records in the order of their numbers.

    A record is held in memory with those of its piece alone.
    """
    return faults_in(seals, _OneByOne(iter(rows)))


def faults_in(seals: LoggerSeals, records: SealedSource) -> Iterator[Told]:
    """Yield what the seals of one logger find wrong with *records*."""
    for first, last in seals.overruled:
        yield Told(SealFault.OVERRULED, Range(first, last))
    for first, last in seals.uncovered():
        yield Told(SealFault.UNSEALED, Range(first, last))
    for piece in seals.pieces:
        within = records.within(piece)
        if within is not None:
            yield from _faults_of_piece(seals, piece, within)
    # What follows the last seal is for the next one to say, unless the logger has said that it makes no more.
    if seals.own_seq is not None:
        later = [row.seq for row in records.rest() if row.seq > seals.own_seq and not row.is_erased]
        yield from (Told(SealFault.CONTRADICTS, part) for part in Ranges.of(later))


class _OneByOne:
    """Rows that come one by one."""

    def __init__(self, rows: Iterator[SealedRow]) -> None:
        self._rows = rows
        self._held: list[SealedRow] = []

    def within(self, piece: Piece) -> Sequence[SealedRow]:
        within: list[SealedRow] = []
        for row in chain(self._held, self._rows):
            if row.seq > piece.last:
                self._held = [row]
                return within
            if row.seq >= piece.first:
                within.append(row)
        self._held = []
        return within

    def rest(self) -> Iterable[SealedRow]:
        return chain(self._held, self._rows)


def _faults_of_piece(seals: LoggerSeals, piece: Piece, rows: Sequence[SealedRow]) -> Iterator[Told]:
    seal, key = piece.counted
    records: dict[int, list[bytes]] = {}
    for row in rows:
        if row.is_erased and row.digest[:SHORT_DIGEST_BYTES] != seal.short_digest(row.seq):
            continue
        records.setdefault(row.seq, []).append(row.digest)
    checked = check_records(seal, records)
    is_whole_seal = (piece.first, piece.last) == (seal.first_seq, seal.last_seq)
    if checked.is_broken and is_whole_seal:
        yield Told(SealFault.BROKEN, Range(piece.first, piece.last))
        return
    if not checked.is_broken:
        missing = Ranges(checked.missing) & Ranges([(piece.first, piece.last)])
        for part in missing:
            lost = Ranges.of(seq for seq in part_numbers(part) if seals.has_lost(seq))
            yield from (Told(SealFault.MISSING, left) for left in Ranges([part]) - lost)
    wrong = (seq for seq, _ in checked.contradicting if piece.first <= seq <= piece.last)
    yield from (Told(SealFault.CONTRADICTS, part) for part in Ranges.of(wrong))
    sealed = _sealed(checked, seal.first_seq)
    foreign = [
        row.seq
        for row in rows
        if sealed.get(row.seq) == row.digest
        and not row.is_seal
        and not key.may_write_for(row.tenant_id)
    ]
    yield from (Told(SealFault.WRONG_TENANT, part) for part in Ranges.of(foreign))


def _sealed(checked: Checked, first_seq: int) -> Mapping[int, bytes]:
    return {first_seq + place: digest for place, digest in enumerate(checked.chosen) if digest}


def part_numbers(part: Range) -> range:
    """Return the numbers of *part*."""
    return range(part.first, part.last + 1)


def is_overdue(seals: LoggerSeals, newest_at_seconds: float, now_seconds: float) -> bool:
    """Tell whether the next seal should be here.

    Args:
        seals: Those of one logger.
        newest_at_seconds: When its newest was appended, by the broker's clock.
        now_seconds: Up to when everything is stored that was appended.
    """
    due_in = seals.next_within_seconds + SLACK_SECONDS
    return not seals.is_closed and now_seconds - newest_at_seconds > due_in


def may_be_adopted(due_seconds: float, last_seconds: float | None, now_seconds: float) -> bool:
    """Tell whether who owes a seal may have been killed just now: then the next logger in its place seals for it.

    Args:
        due_seconds: When the seal was due, by the broker's clock.
        last_seconds: When its last record that no seal covers was appended; None where there is none.
        now_seconds: Up to when everything is stored that was appended.
    """
    if now_seconds - due_seconds > ADOPTED_SECONDS:
        return False
    return last_seconds is None or last_seconds <= due_seconds
