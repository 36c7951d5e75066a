"""What one logger has made and no seal holds yet: digests, in the order of its numbers. Pure.

Whether a record is this logger's own, and which number it has, is told by its bytes: its `source` is the last thing in
it that can hold the text ``"producer_id":"…","seq":``, since a quote in a text is escaped. What others have made, and
this logger sends as it is, has another's name, or a number that was given before (see `check_emitted`).
"""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from trailhouse.proof.seal import MOST_LOST_RANGES, SHORT_DIGEST_BYTES, Range, ranges_of
from trailhouse.schemas.errors import InvalidEventError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Run(NamedTuple):
    """Records of successive numbers, which one seal is made from; the last of them ends at `place` of `source`."""

    first_seq: int
    last_seq: int
    records_hash: bytes
    short_digests: bytes
    place: int
    source: object


class Unsealed:
    """The digests of one logger's records since its last seal. Not safe for threads.

    Args:
        producer_id: Whose records.
        next_seq: The number of the next one.
        most_numbers: So many are in one seal at most.
    """

    def __init__(self, producer_id: str, next_seq: int, most_numbers: int) -> None:
        self.producer_id = producer_id
        self.next_seq = next_seq
        self.runs: deque[Run] = deque()
        """What is ready to be sealed: full, or before a gap."""
        self._marker = _marker_of(producer_id)
        self._most_numbers = most_numbers
        self._refused: set[int] = set()
        self._gaps: list[Range] = []
        self._first_place = self._place = 0
        self._source: object = None
        self._begin()

    def _begin(self) -> None:
        self._first_seq = self.next_seq
        self._hash = sha256()
        self._short: list[bytes] = []

    @property
    def numbers(self) -> int:
        """How many are in no run yet."""
        return self.next_seq - self._first_seq

    @property
    def places(self) -> tuple[int, int]:
        """Where, in the spool, the first of those ends, and the last."""
        return self._first_place, self._place

    def add(self, records: Sequence[bytes], places: Sequence[int], source: object) -> None:
        """Add *records*, which come next, and end at *places* of *source*."""
        if self._seq_of(records[-1]) == self.next_seq + len(records) - 1:
            # The last one is the logger's own, and so are all: whatever else were among them has used no number.
            self._add_own(records, places, source)
            return
        for record, place in zip(records, places, strict=True):
            seq = self._seq_of(record)
            if seq is None or seq < self.next_seq:
                continue
            if seq > self.next_seq:
                self.skip_to(seq)
            self._add_own((record,), (place,), source)

    def _add_own(self, records: Sequence[bytes], places: Sequence[int], source: object) -> None:
        begin, hashed = 0, sha256
        while begin < len(records):
            room = self._most_numbers - self.numbers
            if not self.numbers:
                self._first_place = places[begin]
            part = records[begin : begin + room]
            digests = [hashed(record).digest() for record in part]
            self._hash.update(b"".join(digests))
            self._short.append(b"".join([digest[:SHORT_DIGEST_BYTES] for digest in digests]))
            self.next_seq += len(part)
            begin += len(part)
            self._place, self._source = places[begin - 1], source
            if len(part) == room:
                self.cut()

    def _seq_of(self, record: bytes) -> int | None:
        marker = self._marker
        begin = record.rfind(marker)
        if begin < 0:
            return None
        begin += len(marker)
        end = begin
        while record[end : end + 1].isdigit():
            end += 1
        return int(record[begin:end]) if 0 < end - begin < 20 else None

    def cut(self) -> None:
        """Have what was added so far in a run of its own."""
        if self.numbers:
            short = b"".join(self._short)
            self.runs.append(
                Run(
                    self._first_seq,
                    self.next_seq - 1,
                    self._hash.digest(),
                    short,
                    self._place,
                    self._source,
                )
            )
        self._begin()

    def skip_to(self, seq: int, *, is_lost: bool = True) -> None:
        """Note that the records from `next_seq` to before *seq* are not there, and, if so, that they will not come."""
        if seq <= self.next_seq:
            return
        self.cut()
        if is_lost:
            self._gaps.append((self.next_seq, seq - 1))
        self.next_seq = seq
        self._begin()

    def begin_with(self, records: Sequence[bytes]) -> bool:
        """Begin with the first of *records* that is the logger's own; False where none is.

        What is missing before it may have been sent, and is not called lost.
        """
        for record in records:
            if (seq := self._seq_of(record)) is not None:
                self.skip_to(seq, is_lost=False)
                return True
        return False

    def note_refused(self, record: bytes) -> bool:
        """Note that the broker refuses *record* for good, if it is one of these; tell whether it is."""
        seq = self._seq_of(record)
        if seq is not None and seq < self.next_seq:
            self._refused.add(seq)
        return seq is not None

    def lost_before(self, seq: int) -> tuple[Range, ...]:
        """Return the lost numbers before *seq* that no seal has told, as many as one may tell."""
        refused = sorted(each for each in self._refused if each < seq)
        gaps = [each for each in self._gaps if each[1] < seq]
        return tuple(sorted([*gaps, *ranges_of(refused)])[:MOST_LOST_RANGES])

    def forget_lost(self, told: Iterable[Range]) -> None:
        """Note that a seal has told these."""
        for each in told:
            if each in self._gaps:
                self._gaps.remove(each)
            else:
                self._refused.difference_update(range(each[0], each[1] + 1))

    def check_emitted(self, record: bytes, next_seq: int) -> None:
        """Check an event that is sent as it is: a number that this logger has not given yet cannot stand in it.

        Raises:
            InvalidEventError: It does. Permanent; nothing was logged.
        """
        begin = record.find(self._marker)
        while begin >= 0:
            seq = self._seq_of(record[begin : begin + len(self._marker) + 20])
            if seq is None or seq >= next_seq:
                raise InvalidEventError(
                    "source", "must not name a number that this logger has not given yet"
                )
            begin = record.find(self._marker, begin + 1)


def _marker_of(producer_id: str) -> bytes:
    return f'"producer_id":"{producer_id}","seq":'.encode()
