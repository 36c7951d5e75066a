"""What a log has grown by since it was last anchored, and up to which checkpoint its leaves bear it out. Pure."""

from collections.abc import Container, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from trailhouse.anchoring.stored_log import StoredCheckpoint, StoredLog
from trailhouse.proof.checkpoint import checkpoint_of
from trailhouse.proof.leaf import hashes_of_leaves
from trailhouse.proof.merkle import CompactRange
from trailhouse.proof.note import parse_note
from trailhouse.schemas.errors import ProofError

ContradictionKind = Literal["leaf_twice", "root", "no_record", "anchored_part"]
MEANINGS: dict[ContradictionKind, str] = {
    "leaf_twice": "two leaves claim one offset",
    "root": "the leaves do not lead to the root of a checkpoint",
    "no_record": "no stored record has the hash that the leaf names",
    "anchored_part": "what is stored of the part that is anchored does not lead to its root",
}


class Contradiction(NamedTuple):
    """Why a log is anchored no further: the first offset, or size, at which what is stored contradicts itself."""

    log: StoredLog
    kind: ContradictionKind
    at: int

    def __str__(self) -> str:
        where = f"topic {self.log.kafka_topic}, partition {self.log.kafka_partition}"
        return f"{where}, at {self.at}: {MEANINGS[self.kind]}"


class Leaves(NamedTuple):
    """Leaves in the order of their offsets, a list each; an offset that is not among them is a hole."""

    offsets: list[int]
    kinds: list[int]
    appended_ms: list[int]
    digests: list[bytes]


class Growth(NamedTuple):
    """A stretch of a log: the tree before it, its leaves, and the checkpoints that they reach, the smallest first.

    `leaves` are all there are below the offset `end`.
    """

    log: StoredLog
    before: CompactRange
    leaves: Leaves
    checkpoints: Sequence[StoredCheckpoint]
    end: int


class Fit(NamedTuple):
    """The largest tree of a checkpoint that fits, None without one; the tree up to the end; what does not fit."""

    good: CompactRange | None
    tree: CompactRange
    contradiction: Contradiction | None


def fit_of(growth: Growth, unbacked: Container[int]) -> Fit:
    """Return how far *growth* can be anchored: up to the last checkpoint whose root its leaves lead to.

    Args:
        growth: What is new.
        unbacked: Offsets whose leaf no stored record bears out.
    """
    log, leaves = growth.log, growth.leaves
    bad = first_bad_leaf(growth, unbacked)
    contradiction = bad
    bound = bad.at if bad is not None else growth.end
    hashes = hashes_of_leaves(leaves.kinds, leaves.appended_ms, leaves.digests)
    tree, at = growth.before.copy(), 0
    good: CompactRange | None = None
    for checkpoint in growth.checkpoints:
        if checkpoint.size > bound:
            break
        at = _grow(tree, checkpoint.size, leaves.offsets, hashes, at)
        if _is_root(checkpoint, tree):
            good = tree.copy()
        elif contradiction is None or contradiction.at >= checkpoint.size:
            contradiction = Contradiction(log, "root", checkpoint.size)
    _grow(tree, bound, leaves.offsets, hashes, at)
    return Fit(good, tree, contradiction)


def first_bad_leaf(growth: Growth, unbacked: Container[int]) -> Contradiction | None:
    """Return the first leaf of *growth* that cannot be believed, and why."""
    offsets = growth.leaves.offsets
    twice = next((second for first, second in pairwise(offsets) if first == second), None)
    missing = next((offset for offset in offsets if offset in unbacked), None)
    if twice is not None and (missing is None or twice <= missing):
        return Contradiction(growth.log, "leaf_twice", twice)
    return Contradiction(growth.log, "no_record", missing) if missing is not None else None


def _grow(
    tree: CompactRange, size: int, offsets: Sequence[int], hashes: Sequence[bytes], at: int
) -> int:
    """Append to *tree* what is below *size*, from the leaf of place *at* on; return that of the next one."""
    for first, last in _runs(offsets, at, size):
        tree.extend_holes(offsets[first] - tree.size)
        tree.extend(hashes[first : last + 1])
        at = last + 1
    tree.extend_holes(size - tree.size)
    return at


def _runs(offsets: Sequence[int], at: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last place of each run of offsets without a gap, from place *at* on and below *size*."""
    first = at
    while at < len(offsets) and offsets[at] < size:
        if at + 1 == len(offsets) or offsets[at + 1] != offsets[at] + 1 or offsets[at + 1] >= size:
            yield first, at
            first = at + 1
        at += 1


def _is_root(checkpoint: StoredCheckpoint, tree: CompactRange) -> bool:
    """Tell whether *checkpoint*, its roots and its signed text alike, says what *tree* is."""
    return checkpoint.roots == tree.roots and said_root(checkpoint) == (tree.size, tree.root())


def said_root(checkpoint: StoredCheckpoint) -> tuple[int, bytes] | None:
    """Return size and root in the text of *checkpoint*, signed or not; None where it is not one."""
    try:
        has_signature = "\n\n" in checkpoint.note
        text = parse_note(checkpoint.note).text if has_signature else checkpoint.note
        said = checkpoint_of(text)
    except ProofError:
        return None
    return said.size, said.root
