"""What was read of a partition, as its tree takes it: offset, time, kind and digest of each record. Pure."""

from bisect import bisect_left
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import compress
from typing import NamedTuple

from trailhouse.proof.leaf import LeafKind, hashes_of_leaves


class Leaf(NamedTuple):
    """What the leaf of one record is made of."""

    offset: int
    kind: int
    appended_ms: int
    digest: bytes


class ReadLeaves(NamedTuple):
    """The records from `first_offset` up to and without `end_offset`, in order; any other offset there has none.

    `offsets`, `appended_ms` and `digests` are of each record. Of `nulls`, offsets, the value is null. Nobody can
    read what lies in `unreadable`, ranges with both ends inclusive.
    """

    first_offset: int
    end_offset: int
    offsets: Sequence[int]
    appended_ms: Sequence[int]
    digests: Sequence[bytes]
    nulls: frozenset[int] = frozenset()
    unreadable: tuple[tuple[int, int], ...] = ()

    def without(self, unreadable: Mapping[int, int]) -> "ReadLeaves":
        """Return it without what stands for ranges that nobody can read: first offset to last."""
        kept = self._kept([offset not in unreadable for offset in self.offsets])
        return kept._replace(unreadable=tuple(sorted(unreadable.items())))

    def only(self, offsets: Container[int]) -> "ReadLeaves":
        """Return it with the records at *offsets* alone."""
        return self._kept([offset in offsets for offset in self.offsets])

    def _kept(self, keep: Sequence[bool]) -> "ReadLeaves":
        return self._replace(
            offsets=list(compress(self.offsets, keep)),
            appended_ms=list(compress(self.appended_ms, keep)),
            digests=list(compress(self.digests, keep)),
        )

    def split(self, offset: int) -> tuple["ReadLeaves", "ReadLeaves"]:
        """Return what lies below *offset*, and what lies from it on."""
        at = bisect_left(self.offsets, offset)
        middle = min(max(offset, self.first_offset), self.end_offset)
        below = self._replace(
            end_offset=middle,
            offsets=self.offsets[:at],
            appended_ms=self.appended_ms[:at],
            digests=self.digests[:at],
        )
        above = self._replace(
            first_offset=middle,
            offsets=self.offsets[at:],
            appended_ms=self.appended_ms[at:],
            digests=self.digests[at:],
        )
        return below, above

    @property
    def is_contiguous(self) -> bool:
        """Whether no offset lies between the records."""
        offsets = self.offsets
        return not len(offsets) or offsets[-1] - offsets[0] == len(offsets) - 1

    def kinds(self) -> Sequence[int]:
        """Return the kind of each record."""
        if not self.nulls:
            return bytes((LeafKind.RECORD,)) * len(self.offsets)
        nulls = self.nulls
        return [LeafKind.NULL if offset in nulls else LeafKind.RECORD for offset in self.offsets]

    def hashes(self) -> list[bytes]:
        """Return the hash of each record's leaf."""
        return hashes_of_leaves(self.kinds(), self.appended_ms, self.digests)

    def each(self) -> Iterator[Leaf]:
        """Yield the leaves one by one."""
        yield from map(Leaf, self.offsets, self.kinds(), self.appended_ms, self.digests)

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Yield the records that follow each other without a hole: the first's offset, and from and to which place."""
        begin, offsets = 0, self.offsets
        if self.is_contiguous:
            if len(offsets):
                yield offsets[0], 0, len(offsets)
            return
        for place in range(1, len(offsets) + 1):
            if place == len(offsets) or offsets[place] != offsets[place - 1] + 1:
                yield offsets[begin], begin, place
                begin = place
