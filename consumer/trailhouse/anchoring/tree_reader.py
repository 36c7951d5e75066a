"""Reads hashes of a log's tree out of ClickHouse: few rows of `log_nodes`, and of `log_leaves` where none covers them.

What it returns is what is stored, and proves nothing by itself: whoever asks holds the root that it leads to against
one that was signed.
"""

from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from trailhouse.anchoring.stored_log import StoredLog
from trailhouse.proof.leaf import hash_of_leaf
from trailhouse.proof.merkle import (
    HOLE_HASH,
    CompactRange,
    Interval,
    consistency_intervals,
    hole_root,
    inclusion_intervals,
    joined,
    perfect_parts,
    root_of,
)
from trailhouse.schemas.errors import IntegrityError
from trailhouse.store.clickhouse import ClickHouse

NODE_LEVELS = 8
"""Of every 8th level the nodes are stored."""
PARENTS_AT_ONCE = 256
"""Nodes that are not stored are worked out from what is below them, so many at once: 65,536 leaves."""


class _Node(NamedTuple):
    level: int
    place: int


class TreeReader:
    """Reads the tree of one log.

    A node that is not stored, or stored twice with different hashes, is worked out from what is below it; so a
    subtree that ends in holes need not be stored. Leaves decide: an offset without a leaf is a hole.
    """

    def __init__(self, clickhouse: ClickHouse, log: StoredLog) -> None:
        self._clickhouse = clickhouse
        self._log = log

    def hashes(self, intervals: Iterable[Interval]) -> list[bytes]:
        """Return the hash of each interval, as proofs are made of; two statements where all nodes are there.

        Raises:
            IntegrityError: Two leaves claim one offset. Permanent.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        parts = [[_Node(*part) for part in perfect_parts(each)] for each in intervals]
        roots = self._roots([node for each in parts for node in each])
        return [joined([roots[node] for node in each]) for each in parts]

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Return the proof that leaf *index* is in the tree of *size* leaves.

        Raises:
            ValueError: The tree has no such leaf.
            IntegrityError, StorageError: As for `hashes`.
        """
        return self.hashes(inclusion_intervals(index, size))

    def consistency_proof(self, smaller: int, larger: int) -> list[bytes]:
        """Return the proof that the tree of *larger* leaves begins as that of *smaller*.

        Raises:
            ValueError: *smaller* is above *larger*.
            IntegrityError, StorageError: As for `hashes`.
        """
        return self.hashes(consistency_intervals(smaller, larger))

    def tree(self, size: int) -> CompactRange:
        """Return the tree of *size* leaves, as the nodes and leaves below it are stored.

        Raises:
            IntegrityError, StorageError: As for `hashes`.
        """
        parts = [_Node(*part) for part in perfect_parts(Interval(0, size))]
        roots = self._roots(parts)
        return CompactRange(size, [roots[part] for part in parts])

    def _roots(self, wanted: Sequence[_Node]) -> dict[_Node, bytes]:
        """Return the root of each perfect subtree."""
        below = {node for each in wanted for node in _stored_below(each)}
        known = self._stored_or_worked_out({node for node in below if node.level})
        known |= self._leaves([node.place for node in below if not node.level])
        return {each: root_of([known[node] for node in _stored_below(each)]) for each in wanted}

    def _stored_or_worked_out(self, wanted: Set[_Node]) -> dict[_Node, bytes]:
        """Return nodes of stored levels: as they are stored, and where one is not, from what is below it."""
        known = self._nodes(wanted)
        holes = self._without_leaves(wanted - known.keys())
        known |= {node: hole_root(node.level) for node in holes}
        parents = [node for node in wanted if node not in known]
        for start in range(0, len(parents), PARENTS_AT_ONCE):
            some = parents[start : start + PARENTS_AT_ONCE]
            children = {child for parent in some for child in _children(parent)}
            below = self._stored_or_worked_out({child for child in children if child.level})
            below |= self._leaves([child.place for child in children if not child.level])
            for parent in some:
                known[parent] = root_of([below[child] for child in _children(parent)])
        return known

    def _nodes(self, wanted: Set[_Node]) -> dict[_Node, bytes]:
        """Return those of *wanted* that are stored, with one hash."""
        if not wanted:
            return {}
        ranges = " OR ".join(
            f"(level = {level} AND node_index BETWEEN {first} AND {last})"
            for level, first, last in _ranges(wanted)
        )
        found = self._clickhouse.query(
            "SELECT level, node_index, any(hash) FROM log_nodes"  # noqa: S608 names of ours; every value is a number or bound
            f" WHERE {self._log.condition} AND ({ranges}) GROUP BY level, node_index HAVING uniqExact(hash) = 1",
            self._log.parameters,
        )
        return {_Node(level, index): digest for level, index, digest in found.rows}

    def _without_leaves(self, nodes: Set[_Node]) -> set[_Node]:
        """Return those of *nodes* below which there is no leaf."""
        holes: set[_Node] = set()
        for level, first, last in _ranges(nodes):
            found = self._clickhouse.query(
                f"SELECT DISTINCT bitShiftRight(kafka_offset, {level}) FROM log_leaves"  # noqa: S608 names of ours; every value is a number or bound
                f" WHERE {self._log.condition}"
                f" AND kafka_offset BETWEEN {first << level} AND {((last + 1) << level) - 1}",
                self._log.parameters,
            )
            with_leaves = {index for (index,) in found.rows}
            holes |= {_Node(level, index) for index in range(first, last + 1)} - {
                _Node(level, index) for index in with_leaves
            }
        return holes

    def _leaves(self, offsets: Sequence[int]) -> dict[_Node, bytes]:
        """Return the leaf of each offset, a hole where none is stored."""
        if not offsets:
            return {}
        nodes = [_Node(0, offset) for offset in offsets]
        known = dict.fromkeys(nodes, HOLE_HASH)
        ranges = " OR ".join(
            f"kafka_offset BETWEEN {first} AND {last}" for _, first, last in _ranges(nodes)
        )
        found = self._clickhouse.query(
            "SELECT DISTINCT kafka_offset, kind, appended_ms, digest FROM log_leaves"  # noqa: S608 names of ours; every value is a number or bound
            f" WHERE {self._log.condition} AND ({ranges})",
            self._log.parameters,
        )
        seen: set[int] = set()
        for offset, kind, appended_ms, digest in found.rows:
            if offset in seen:
                raise IntegrityError(
                    f"partition {self._log.kafka_partition}: two leaves claim offset {offset}"
                )
            seen.add(offset)
            known[_Node(0, offset)] = hash_of_leaf(kind, appended_ms, digest)
        return known


def _children(node: _Node) -> list[_Node]:
    """Return the nodes of the stored level below, or the leaves, that *node* is made of."""
    level = node.level - NODE_LEVELS
    return [_Node(level, (node.place << NODE_LEVELS) + place) for place in range(1 << NODE_LEVELS)]


def _stored_below(node: _Node) -> list[_Node]:
    """Return the nodes of a stored level, or leaves, that *node* is made of: at most 128."""
    level = node.level // NODE_LEVELS * NODE_LEVELS
    count = 1 << (node.level - level)
    return [_Node(level, node.place * count + place) for place in range(count)]


def _ranges(nodes: Iterable[_Node]) -> list[tuple[int, int, int]]:
    """Return level, first and last index of each run of neighbours."""
    found: list[tuple[int, int, int]] = []
    for level, index in sorted(set(nodes)):
        if found and found[-1][0] == level and found[-1][2] == index - 1:
            found[-1] = (level, found[-1][1], index)
        else:
            found.append((level, index, index))
    return found
