"""The logs that stand in ClickHouse, worked out again from their leaves: no code of the worker's is asked."""

from collections import defaultdict
from typing import NamedTuple

from trailhouse.proof.checkpoint import checkpoint_of
from trailhouse.proof.leaf import hash_of_leaf
from trailhouse.proof.merkle import CompactRange, hole_root
from trailhouse.proof.note import Note, parse_note
from trailhouse.store import ClickHouse

AtOffset = tuple[str, int, str]
"""Topic id, partition and generation."""


class FoundLog(NamedTuple):
    """A log as it is stored: its leaves by offset, and the checkpoints, the largest last."""

    leaves: dict[int, tuple[int, int, bytes]]
    checkpoints: list[tuple[int, str, Note | None]]

    @property
    def size(self) -> int:
        """How large its last checkpoint is; 0 without one."""
        return self.checkpoints[-1][0] if self.checkpoints else 0

    @property
    def is_signed(self) -> bool:
        """Whether its last size has a signature."""
        return any(note is not None for size, _, note in self.checkpoints if size == self.size)

    @property
    def end(self) -> int:
        """The offset after the last leaf."""
        return max(self.leaves, default=-1) + 1


def found_logs(clickhouse: ClickHouse) -> dict[AtOffset, FoundLog]:
    """Return every log, after each checkpoint and each node was held against the leaves."""
    # In this order, so that a worker that writes meanwhile makes nothing look as if it were missing.
    checkpoints: dict[AtOffset, list[tuple[int, str]]] = defaultdict(list)
    for topic_id, partition, generation, size, text in clickhouse.query(
        "SELECT DISTINCT kafka_topic_id, kafka_partition, generation, size, checkpoint FROM log_checkpoints"
        " ORDER BY size"
    ).rows:
        checkpoints[(topic_id, partition, generation)].append((size, text))
    nodes = _nodes(clickhouse)
    leaves: dict[AtOffset, dict[int, tuple[int, int, bytes]]] = defaultdict(dict)
    for topic_id, partition, generation, offset, *leaf in clickhouse.query(
        "SELECT DISTINCT kafka_topic_id, kafka_partition, generation, kafka_offset, kind, appended_ms, digest"
        " FROM log_leaves"
    ).rows:
        of = leaves[(topic_id, partition, generation)]
        assert offset not in of, f"expected one leaf at offset {offset}"
        of[offset] = (leaf[0], leaf[1], leaf[2])
    logs: dict[AtOffset, FoundLog] = {}
    for place in leaves.keys() | checkpoints.keys():
        logs[place] = _checked(place, leaves[place], checkpoints[place])
    _check_nodes(nodes, logs)
    return logs


def _checked(
    place: AtOffset, leaves: dict[int, tuple[int, int, bytes]], texts: list[tuple[int, str]]
) -> FoundLog:
    tree = CompactRange()
    found: list[tuple[int, str, Note | None]] = []
    for size, text in texts:
        note = parse_note(text) if "\n\n" in text else None
        checkpoint = checkpoint_of(text if note is None else note.text)
        grow(tree, leaves, size)
        assert checkpoint.size == size
        assert checkpoint.root == tree.root(), f"expected one root at size {size} of {place}"
        found.append((size, text, note))
    return FoundLog(leaves, found)


def grow(tree: CompactRange, leaves: dict[int, tuple[int, int, bytes]], size: int) -> None:
    """Grow *tree* to *size* by *leaves* and holes."""
    for offset in sorted(offset for offset in leaves if tree.size <= offset < size):
        tree.extend_holes(offset - tree.size)
        tree.extend([hash_of_leaf(*leaves[offset])])
    tree.extend_holes(size - tree.size)


def _nodes(clickhouse: ClickHouse) -> dict[AtOffset, dict[tuple[int, int], bytes]]:
    stored: dict[AtOffset, dict[tuple[int, int], bytes]] = defaultdict(dict)
    for topic_id, partition, generation, level, number, root in clickhouse.query(
        "SELECT DISTINCT kafka_topic_id, kafka_partition, generation, level, node_index, hash FROM log_nodes"
    ).rows:
        of = stored[(topic_id, partition, generation)]
        assert (level, number) not in of, "expected one root a node"
        of[(level, number)] = root
    return stored


def _check_nodes(
    stored: dict[AtOffset, dict[tuple[int, int], bytes]], logs: dict[AtOffset, FoundLog]
) -> None:
    """Hold the nodes against the leaves: each that may be there, and, below a checkpoint, each that must."""
    for place, log in logs.items():
        for level in (8, 16):
            wanted = {offset >> level for offset in log.leaves}
            for number in wanted:
                first, end = number << level, (number + 1) << level
                root = stored[place].pop((level, number), None)
                if root is None:
                    assert log.size < end, f"expected node {number} of level {level}"
                    continue
                tree = CompactRange()
                within = {o - first: leaf for o, leaf in log.leaves.items() if first <= o < end}
                grow(tree, within, end - first)
                assert root == tree.root() != hole_root(level)
        assert not [key for key in stored[place] if key[0] in (8, 16)], "expected no other nodes"
