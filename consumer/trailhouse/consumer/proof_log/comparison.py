"""Records that are read again below what is signed, held against the leaves that are stored of them."""

from collections.abc import Sequence
from typing import NamedTuple

from trailhouse.consumer.proof_log.leaves import Leaf, ReadLeaves
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.proof.origin import LogOrigin

_NO_END = 2**63


class Compared(NamedTuple):
    """The first offset at which Kafka shows another record than was signed, and leaves below it that are not stored."""

    differs_at: int | None
    lost: list[tuple[LogOrigin, ReadLeaves]]


def compared(
    stored: StoredLog,
    origin: LogOrigin,
    generations: Sequence[tuple[str, int]],
    read: ReadLeaves,
) -> Compared:
    """Hold *read*, which lies below what is signed of the log, against what is stored.

    A record that is gone from Kafka is no other record. One at an offset that was signed as a hole is another where an
    incident says why it was a hole; else its leaf is taken for lost, and is to be written again.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    ends = [*(first for _, first in generations[1:]), _NO_END]
    lost: list[tuple[LogOrigin, ReadLeaves]] = []
    for (name, first), end in zip(generations, ends, strict=True):
        part = read.split(first)[1].split(end)[0]
        if part.end_offset <= part.first_offset or not len(part.offsets):
            continue
        differs_at, missing = _difference(stored, origin.partition, name, part)
        if missing:
            lost.append((origin._replace(generation=name), part.only(missing)))
        if differs_at is not None:
            return Compared(differs_at, lost)
    return Compared(None, lost)


def first_other(stored: StoredLog, origin: LogOrigin, read: ReadLeaves, until: int) -> int | None:
    """Return the first offset below *until* at which a stored leaf is not what was *read* there; None without one.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    shown = {leaf.offset: leaf for leaf in read.split(until)[0].each()}
    end = min(until, read.end_offset)
    if read.first_offset < end:
        for leaf in stored.leaves(origin.partition, origin.generation, read.first_offset, end):
            if shown.get(leaf.offset) != leaf:
                return leaf.offset
    return None


def _difference(
    stored: StoredLog, partition: int, generation: str, part: ReadLeaves
) -> tuple[int | None, set[int]]:
    """Return the first offset that differs, and those below it that have no leaf."""
    shown = {leaf.offset: leaf for leaf in part.each()}
    others: set[int] = set()
    equal: set[int] = set()
    first, end = part.offsets[0], part.offsets[-1] + 1
    for leaf in stored.leaves(partition, generation, first, end):
        mine = shown.get(leaf.offset)
        if mine is not None:
            (equal if mine == Leaf(*leaf) else others).add(leaf.offset)
    others -= equal
    missing = shown.keys() - equal - others
    if missing:
        explained = stored.explained(partition, min(missing), max(missing))
        others |= {offset for offset in missing if offset in explained}
        missing -= others
    differs_at = min(others, default=None)
    if differs_at is not None:
        missing = {offset for offset in missing if offset < differs_at}
    return differs_at, set(missing)
