"""Tell whether two sides hold the same (offset, time, digest, kind), in any order; and where not. Pure.

Offsets are cut into buckets. A bucket is the sum of a keyed hash (SipHash, over a secret drawn for this run) of each
entry of the one side, less that of each of the other: 0 where both are the same. Whoever stored the rows did so before
the secret was drawn, so that no choice of rows gives 0 but with a chance of 2 ** -64 a bucket.
"""

import secrets
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from struct import Struct

from trailhouse.schemas.ranges import Range, Ranges

BUCKETS = 65_536
"""In all; a bucket that differs is read once more, row by row."""

LEAST_SHIFT = 12
"""No bucket is smaller than 4,096 offsets."""

_MODULUS = 2**64
"""ClickHouse adds up so; sums made here are whole."""

# Before all else the secret, so that nobody knows the state in which the hash meets the entry.
_pack = Struct(">16sQQ32sB").pack
PartitionKey = tuple[str, str, str, int]


class PlaceSums:
    """The buckets of one partition, from offset *first* up to and without *end*."""

    def __init__(self, secret: bytes, first: int, end: int, buckets: int) -> None:
        self.first = first
        self.end = end
        self._secret = secret
        span = max(0, end - first - 1)
        self.shift = max(LEAST_SHIFT, (span // max(1, buckets)).bit_length())
        self.left = [0] * (((end - first - 1) >> self.shift) + 1 if end > first else 0)

    def add(
        self,
        offsets: Sequence[int],
        appended_ms: Sequence[int],
        digests: Sequence[bytes],
        kinds: Sequence[int],
    ) -> None:
        """Add the leaves at *offsets*, which rise and lie all within."""
        hashes = list(entry_hashes(self._secret, offsets, appended_ms, digests, kinds))
        shift, first = self.shift, self.first
        begin, count = 0, len(hashes)
        while begin < count:
            bucket = (offsets[begin] - first) >> shift
            last = first + ((bucket + 1) << shift) - 1
            end = count if offsets[-1] <= last else bisect_right(offsets, last, begin)
            self.left[bucket] += sum(hashes[begin:end])
            begin = end

    def differing(self) -> Iterator[Range]:
        """Yield the ranges of offsets in which both sides are not the same."""
        width = 1 << self.shift
        for bucket, left in enumerate(self.left):
            if left % _MODULUS:
                begin = self.first + bucket * width
                yield Range(begin, min(begin + width, self.end) - 1)

    def ranges(self) -> Ranges:
        """All of them, those that touch as one."""
        return Ranges(self.differing())


def take_all(
    places: Sequence[PlaceSums],
    which: Sequence[int],
    offsets: Sequence[int],
    hashes: Iterable[int],
) -> list[tuple[int, int]]:
    """Take rows away: for each, *which* of *places* it is of, its offset and its `entry_hashes`.

    Returns:
        Place and offset of those that do not lie within.
    """
    outside = []
    parts = [(each.first, each.end, each.shift, each.left) for each in places]
    for number, offset, hashed in zip(which, offsets, hashes, strict=True):
        first, end, shift, sums = parts[number]
        if first <= offset < end:
            sums[(offset - first) >> shift] -= hashed
        else:
            outside.append((number, offset))
    return outside


def entry_hashes(
    secret: bytes,
    offsets: Sequence[int],
    appended_ms: Sequence[int],
    digests: Sequence[bytes],
    kinds: Iterable[int],
) -> Iterator[int]:
    """Return the keyed hash of each entry; all of them are records where *kinds* repeats 1."""
    return map(hash, map(_pack, repeat(secret), offsets, appended_ms, digests, kinds))


def new_secret() -> bytes:
    """Return what nobody can have known before."""
    return secrets.token_bytes(16)
