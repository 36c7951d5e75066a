"""The records of one logger as columns: those that are as a seal says cost no more than the hash over them. Pure."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from trailhouse.operate.verify.duties.seals.sealed_records import SealedRow
from trailhouse.proof.seal import Seal
from trailhouse.proof.seal_check import Piece

_DIGEST_BYTES = 32


class SealedRun(NamedTuple):
    """Records of one logger, in the order of their numbers."""

    seqs: "array[int]"
    digests: bytes
    """32 bytes of each."""
    tenants: Sequence[str]
    """The different ones; "" for none."""
    which: Sequence[int]
    """For each record, the place of its tenant among `tenants`."""
    seals: bytes
    """1 for each that is a seal of no tenant."""

    def part(self, begin: int, end: int) -> "SealedRun":
        """Return those from place *begin* up to and without *end*."""
        return SealedRun(
            self.seqs[begin:end],
            self.digests[begin * _DIGEST_BYTES : end * _DIGEST_BYTES],
            self.tenants,
            self.which[begin:end],
            self.seals[begin:end],
        )

    def rows(self) -> Iterator[SealedRow]:
        """Yield them one by one."""
        for place, (seq, which, is_seal) in enumerate(
            zip(self.seqs, self.which, self.seals, strict=True)
        ):
            digest = self.digests[place * _DIGEST_BYTES : (place + 1) * _DIGEST_BYTES]
            yield SealedRow(seq, digest, self.tenants[which], bool(is_seal))

    def joined(self, other: "SealedRun") -> "SealedRun":
        """Return these and those of *other*, which follow."""
        tenants = dict.fromkeys([*self.tenants, *other.tenants])
        places = {tenant: place for place, tenant in enumerate(tenants)}
        mine, others = ([places[each] for each in run.tenants] for run in (self, other))
        return SealedRun(
            self.seqs + other.seqs,
            self.digests + other.digests,
            list(tenants),
            [*map(mine.__getitem__, self.which), *map(others.__getitem__, other.which)],
            self.seals + other.seals,
        )


class RunsOfLogger:
    """The records of one logger from number *first_seq* on, taken piece by piece.

    No more than those of a piece and of a run are in memory. *note_whole* is told each seal whose records are just
    those that it names.
    """

    def __init__(
        self,
        runs: Iterator[SealedRun],
        first_seq: int = 0,
        note_whole: Callable[[Seal], None] = lambda seal: None,
    ) -> None:
        self._runs = runs
        self._first_seq = first_seq
        self._note_whole = note_whole
        self._held = SealedRun(array("Q"), b"", (), (), b"")

    def within(self, piece: Piece) -> Sequence[SealedRow] | None:
        """Return the records whose numbers are those of *piece*; None where they are just those of its seal.

        Of a piece below `first_seq` nothing is read: an earlier run has seen it.
        """
        if piece.last < self._first_seq:
            return None
        while not self._held.seqs or self._held.seqs[-1] <= piece.last:
            run = next(self._runs, None)
            if run is None:
                break
            # What is below the piece is in none, and is left.
            held = self._held.part(bisect_left(self._held.seqs, piece.first), len(self._held.seqs))
            self._held = held.joined(run) if held.seqs else run
        begin = bisect_left(self._held.seqs, piece.first)
        end = bisect_right(self._held.seqs, piece.last)
        found = self._held.part(begin, end)
        self._held = self._held.part(end, len(self._held.seqs))
        if not _is_as_sealed(piece, found):
            return list(found.rows())
        self._note_whole(piece.counted.seal)
        return None

    def rest(self) -> Iterator[SealedRow]:
        """Yield the records that were not taken."""
        yield from self._held.rows()
        for run in self._runs:
            yield from run.rows()


def _is_as_sealed(piece: Piece, found: SealedRun) -> bool:
    seal, key = piece.counted
    if (piece.first, piece.last) != (seal.first_seq, seal.last_seq):
        return False
    if found.seqs != array("Q", range(piece.first, piece.last + 1)):
        return False
    foreign = {place for place, tenant in enumerate(found.tenants) if not key.may_write_for(tenant)}
    if foreign and not all(
        is_seal for which, is_seal in zip(found.which, found.seals, strict=True) if which in foreign
    ):
        return False
    return sha256(found.digests).digest() == seal.records_hash
