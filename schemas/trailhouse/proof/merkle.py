"""The RFC 6962 tree over one partition: the index of a leaf is its Kafka offset. Pure.

A tree that only grows is a `CompactRange`: the roots of its perfect subtrees. A proof is a list of `Interval`, each
standing for one hash, so that whoever holds leaves or nodes, however stored, can work it out.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without a leaf."""
MAX_SIZE = 2**63 - 1
"""Kafka's offsets end here."""
HOLE_HASH = sha256(b"\x00\x00").digest()
"""The hash of the leaf of an offset at which there is no record: the one byte of its kind, 0."""


class Interval(NamedTuple):
    """The leaves from `start` up to and without `end`; for a proof it stands for the root over them."""

    start: int
    end: int


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of the leaf that holds *data* (RFC 6962, 2.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two others (RFC 6962, 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def _paired(hashes: Iterable[bytes]) -> list[bytes]:
    digest, each = sha256, iter(hashes)
    return [digest(b"\x01" + left + right).digest() for left, right in zip(each, each, strict=True)]


_holes = [HOLE_HASH]


def hole_root(level: int) -> bytes:
    """Return the root of a perfect tree of 2 ** *level* holes."""
    while len(_holes) <= level:
        _holes.append(node_hash(_holes[-1], _holes[-1]))
    return _holes[level]


class CompactRange:
    """A tree from leaf 0 on, as the roots of its perfect subtrees, the largest first; it only grows.

    Args:
        size: How many leaves it has.
        roots: The root of each perfect subtree, one for each bit of *size* that is set.
        on_node: Is told of each perfect subtree that is completed, unless it is of holes alone (`hole_root`): level
            (1 and up), index among those of its level, root.
        node_levels: It is told of those alone whose level is a multiple of this: each costs a call.

    Raises:
        ValueError: *roots* are not as many as *size* has bits.
    """

    __slots__ = ("_node_levels", "_on_node", "_roots", "size")

    def __init__(
        self,
        size: int = 0,
        roots: Sequence[bytes] = (),
        on_node: Callable[[int, int, bytes], None] | None = None,
        node_levels: int = 1,
    ) -> None:
        if len(roots) != size.bit_count() or not 0 <= size <= MAX_SIZE:
            raise ValueError(
                f"a tree of {size} leaves has {size.bit_count()} roots, not {len(roots)}"
            )
        self.size = size
        self._roots = list(roots)
        self._on_node = on_node
        self._node_levels = node_levels

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The root of each perfect subtree, the largest first."""
        return tuple(self._roots)

    def copy(self) -> "CompactRange":
        """Return the same tree, to grow by itself; it tells nobody of nodes."""
        return CompactRange(self.size, self._roots)

    def extend(self, hashes: Sequence[bytes], level: int = 0) -> None:
        """Append leaves by their hashes: level by level, so that it costs little more than hashing.

        With *level*, perfect subtrees of 2 ** *level* leaves each, by their roots: the size is a multiple of that.
        """
        current, base = list(hashes), self.size >> level
        if base << level != self.size:
            raise ValueError(f"no subtree of level {level} begins at {self.size}")
        self.size += len(current) << level
        left_over: list[bytes] = []
        while current:
            if base & 1:  # its left sibling is the smallest subtree so far
                current.insert(0, self._roots.pop())
                base -= 1
            if len(current) & 1:
                left_over.append(current.pop())
            current = _paired(current)
            base >>= 1
            level += 1
            if self._on_node is not None and not level % self._node_levels:
                for place, root in enumerate(current):
                    self._on_node(level, base + place, root)
        self._roots.extend(reversed(left_over))

    def extend_holes(self, count: int) -> None:
        """Append *count* leaves of offsets without a record: at most 126 steps, however many."""
        while count:
            level = count.bit_length() - 1
            if self.size:
                level = min(level, (self.size & -self.size).bit_length() - 1)
            self._append_subtree(level, hole_root(level))
            count -= 1 << level

    def _append_subtree(self, level: int, root: bytes) -> None:
        place, reached = self.size >> level, level
        while place & 1:
            root = node_hash(self._roots.pop(), root)
            place >>= 1
            reached += 1
            is_told = self._on_node is not None and not reached % self._node_levels
            if is_told and root != hole_root(reached):
                self._on_node(reached, place, root)  # type: ignore[misc]
        self._roots.append(root)
        self.size += 1 << level

    def root(self) -> bytes:
        """Return the root of the tree."""
        return joined(self._roots)


def joined(roots: Sequence[bytes]) -> bytes:
    """Return the root over perfect subtrees that follow each other, the largest first."""
    if not roots:
        return EMPTY_ROOT
    root = roots[-1]
    for left in reversed(roots[:-1]):
        root = node_hash(left, root)
    return root


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root of the tree over leaves by their hashes."""
    tree = CompactRange()
    tree.extend(hashes)
    return tree.root()


def perfect_parts(interval: Interval) -> list[tuple[int, int]]:
    """Return level and index of each perfect subtree of *interval*, the largest first; `joined` makes one of them.

    *interval* begins where a subtree as large as the largest that it holds may begin, as each of a proof does.
    """
    parts: list[tuple[int, int]] = []
    start, left = interval.start, interval.end - interval.start
    while left:
        level = left.bit_length() - 1
        parts.append((level, start >> level))
        start += 1 << level
        left -= 1 << level
    return parts


def _split(length: int) -> int:
    """Return the largest power of two below *length*, which is above 1."""
    return 1 << ((length - 1).bit_length() - 1)


def inclusion_intervals(index: int, size: int) -> list[Interval]:
    """Return what the proof that leaf *index* is in the tree of *size* leaves is made of, in its order.

    Raises:
        ValueError: The tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    found: list[Interval] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append(Interval(middle, end))
            end = middle
        else:
            found.append(Interval(start, middle))
            start = middle
    return found[::-1]


def consistency_intervals(smaller: int, larger: int) -> list[Interval]:
    """Return what the proof that a tree of *larger* leaves begins as one of *smaller* is made of, in its order.

    Raises:
        ValueError: *smaller* is above *larger*, or below 0.
    """
    if not 0 <= smaller <= larger:
        raise ValueError(f"a tree of {larger} leaves does not begin with {smaller}")
    if smaller in (0, larger):
        return []
    found: list[Interval] = []
    start, end, is_whole = 0, larger, True
    while smaller < end:
        middle = start + _split(end - start)
        if smaller <= middle:
            found.append(Interval(middle, end))
            end = middle
        else:
            found.append(Interval(start, middle))
            start, is_whole = middle, False
    if not is_whole:
        found.append(Interval(start, end))
    return found[::-1]


def root_by_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """Return the root that *proof* leads to from the hash of leaf *index*; None where it is no proof for these numbers.

    Source: RFC 9162, 2.1.3.2. It proves nothing until it is compared with a root that is trusted.
    """
    if not 0 <= index < size:
        return None
    place, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if place & 1 or place == last:
            root = node_hash(sibling, root)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        place >>= 1
        last >>= 1
    return root if last == 0 else None


def is_consistent(
    smaller: int, larger: int, smaller_root: bytes, larger_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether *proof* shows that the tree of *larger* leaves begins as that of *smaller*.

    Source: RFC 9162, 2.1.4.2; the empty tree begins every tree.
    """
    if not 0 <= smaller <= larger:
        return False
    if smaller == larger:
        return smaller_root == larger_root and not proof
    if smaller == 0:
        return not proof and smaller_root == EMPTY_ROOT
    path = [smaller_root, *proof] if smaller & (smaller - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = smaller - 1, larger - 1
    while place & 1:
        place >>= 1
        last >>= 1
    first_root = second_root = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first_root = node_hash(sibling, first_root)
            second_root = node_hash(sibling, second_root)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            second_root = node_hash(second_root, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and first_root == smaller_root and second_root == larger_root
