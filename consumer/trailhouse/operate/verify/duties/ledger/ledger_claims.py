"""What the batch ledger claims of a log, held against the log's leaves. Pure."""

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from typing import NamedTuple

from trailhouse.operate.verify.leaves.gapless import are_gapless
from trailhouse.schemas.ranges import Ranges

DIGEST_BYTES = 32

LONGEST_SPAN_RECORDS = 1_000_000
"""No row of the ledger that a worker writes spans more offsets."""
_each_digest = struct.Struct(f"{DIGEST_BYTES}s").iter_unpack


class Claim(NamedTuple):
    """One row of the ledger."""

    first_offset: int
    last_offset: int
    records: int
    records_hash: bytes
    quarantined: int = 0
    """How many of the records."""

    @property
    def is_impossible(self) -> bool:
        """Whether no worker writes such a row."""
        return not 0 <= self.last_offset - self.first_offset < LONGEST_SPAN_RECORDS


class Placeholding(NamedTuple):
    """A quarantined row that stands for records that nobody can read: how far it goes, and the digest that counts."""

    last_offset: int
    digest: bytes


class Leaves(NamedTuple):
    """Leaves of one log: offsets that rise, and the digests, 32 bytes of each."""

    offsets: Sequence[int]
    digests: bytes

    def within(self, first: int, last: int) -> "Leaves":
        """Return those from *first* to *last*, both included."""
        start, end = bisect_left(self.offsets, first), bisect_right(self.offsets, last)
        return Leaves(
            self.offsets[start:end], self.digests[start * DIGEST_BYTES : end * DIGEST_BYTES]
        )

    @property
    def each_digest(self) -> list[bytes]:
        """The digest of each."""
        return [digest for (digest,) in _each_digest(self.digests)]


def joined_leaves(blocks: Iterable[Leaves]) -> Leaves:
    """Return the leaves of *blocks*, whose offsets follow each other; of those of one offset the last."""
    offsets = array("Q")
    digests: list[bytes] = []
    for block in blocks:
        is_after = not offsets or not block.offsets or offsets[-1] < block.offsets[0]
        if not is_after or not are_gapless(block.offsets):
            held = digests.pop() if digests else b""
            block = _each_once(Leaves(offsets[-1:], held[-DIGEST_BYTES:]), block)
            del offsets[-1:]
            digests.append(held[:-DIGEST_BYTES])
        offsets.extend(block.offsets)
        digests.append(block.digests)
    return Leaves(offsets, b"".join(digests))


def _each_once(last: Leaves, block: Leaves) -> Leaves:
    """Return *last*, at most one, and *block*, which follows; of those of one offset the last."""
    pairs = chain(*(zip(each.offsets, each.each_digest, strict=True) for each in (last, block)))
    each = dict(pairs)
    return Leaves(array("Q", each), b"".join(each.values()))


def is_true(claim: Claim, leaves: Leaves, stand_ins: Mapping[int, Placeholding]) -> bool:
    """Tell whether the leaves within *claim* are as many as it says, and hash to what it says.

    A claim of no records says of offsets that they hold none: a hash then is that of a longer range, or of nothing.
    """
    found = leaves.within(claim.first_offset, claim.last_offset)
    replaced = {
        offset: each
        for offset, each in stand_ins.items()
        if claim.first_offset <= offset <= claim.last_offset
    }
    if not claim.records:
        return not found.offsets
    digests = found.digests
    if replaced:
        placed = [
            *zip(found.offsets, found.each_digest, strict=True),
            *((at, each.digest) for at, each in replaced.items()),
        ]
        digests = b"".join(digest for _, digest in sorted(placed))
    elif len(found.offsets) != claim.records:
        return False
    return sha256(digests).digest() == claim.records_hash


def joined(claims: Iterable[Claim]) -> Iterator[Claim]:
    """Yield *claims*, in order, those together that are parts of one span: the first one counts for all."""
    held: Claim | None = None
    for claim in claims:
        if (
            held is not None
            and not claim.records
            and claim.first_offset == held.last_offset + 1
            and claim.records_hash == held.records_hash
            and (held.last_offset - held.first_offset + 1) % LONGEST_SPAN_RECORDS == 0
        ):
            held = held._replace(last_offset=claim.last_offset)
            continue
        if held is not None:
            yield held
        held = claim
    if held is not None:
        yield held


def unclaimed(leaves: Leaves, held: Ranges, last_offset: int) -> Ranges:
    """Return the offsets of *leaves* up to *last_offset* that are not in *held*."""
    offsets = leaves.offsets[: bisect_right(leaves.offsets, last_offset)]
    if offsets and offsets[-1] - offsets[0] + 1 == len(
        offsets
    ):  # they rise, so that none is left out
        return Ranges([(offsets[0], offsets[-1])]) - held
    return Ranges.of(offsets) - held
