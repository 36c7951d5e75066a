"""The stored roots of perfect subtrees (`log_nodes`), held against those that the leaves make on the way."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from trailhouse.operate.verify.logs import OF_GENERATION, Bounds, LogId, in_groups
from trailhouse.proof.merkle import hole_root
from trailhouse.store.clickhouse import ClickHouse

NODE_LEVELS = 8
MOST_TOLD = 10_000
_PAGE = 10_000
_SQL = f"""
    SELECT node_index, hash FROM log_nodes
    WHERE {OF_GENERATION} AND level = {{level:UInt8}} AND node_index >= {{index:UInt64}}
        AND (node_index, hash) > ({{index:UInt64}}, unhex({{hash:String}}))
    ORDER BY node_index, hash LIMIT {_PAGE}
"""  # noqa: S608 - names of ours; every value is a bound parameter
_FIRST_PAGES = """
    SELECT kafka_partition, level, node_index, hash FROM log_nodes WHERE {}
    ORDER BY kafka_partition, level, node_index, hash LIMIT {{most:UInt32}} BY kafka_partition, level
"""
_FROM = "node_index >= if(level < 64, bitShiftRight(toUInt64({first}), level % 64), toUInt64(0))"
_END = f"SELECT max(kafka_offset) + 1 FROM log_leaves WHERE {OF_GENERATION}"  # noqa: S608 - as above
_SIZE = f"SELECT max(size) FROM log_checkpoints WHERE {OF_GENERATION}"  # noqa: S608 - as above


class Node(NamedTuple):
    """A stored root: of a subtree of 2 ^ `level` leaves, and its place among those."""

    level: int
    place: int
    hash: bytes

    @property
    def end(self) -> int:
        """The offset after its last leaf."""
        return (self.place + 1) << self.level


class NodePage(NamedTuple):
    """Nodes of one level, in their order, and whether there may be more."""

    nodes: Sequence[Node]
    is_last: bool


def first_nodes(
    clickhouse: ClickHouse, firsts: Mapping[LogId, int]
) -> dict[LogId, dict[int, NodePage]]:
    """Return for each log, by level, the nodes that `StoredNodes` begins with: those of leaves from an offset on.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    most = max(10, _PAGE // max(1, len(firsts)))
    found: dict[LogId, dict[int, list[Node]]] = {log: {} for log in firsts}
    bounds = {log: Bounds(first, 0) for log, first in firsts.items()}
    for group in in_groups(bounds, _FROM):
        sql = _FIRST_PAGES.format(group.condition)
        for partition, level, index, digest in clickhouse.query(
            sql, {**group.parameters, "most": most}
        ).rows:
            node = Node(int(level), int(index), digest)
            found[group.by_partition[int(partition)]].setdefault(node.level, []).append(node)
    return {
        log: {level: NodePage(nodes, len(nodes) < most) for level, nodes in levels.items()}
        for log, levels in found.items()
    }


class StoredNodes:
    """The nodes of one log. One that is not stored is worked out by whoever needs it, and is no matter.

    Attributes:
        forged: Those that the leaves do not have, as first offset and the one after the last.
    """

    def __init__(self, clickhouse: ClickHouse, log: LogId, pages: Mapping[int, NodePage]) -> None:
        self._clickhouse = clickhouse
        self._log = log
        self.forged: list[tuple[int, int]] = []
        self._is_open = True
        self._next: dict[int, Node] = {}
        self._streams: dict[int, Iterator[Node]] = {}
        for level, page in pages.items():
            self._streams[level] = self._from(page)
            self._advance(level)

    def take(self, level: int, index: int, root: bytes) -> None:
        """Compare with *root*, which the leaves have; those of a level come in their order."""
        while self._is_open and (node := self._next.get(level)) is not None and node.place <= index:
            right = root if node.place == index else hole_root(level)
            if node.hash != right:
                self._note(node)
            self._advance(level)

    def stop(self) -> None:
        """Compare no more: the leaves are not those that were signed."""
        self._is_open = False

    def finish(self, size: int) -> None:
        """Look at those that no leaf of the *size* has led to; above it may be what was written meanwhile."""
        if not self._is_open:
            return
        self._is_open = False
        end = self._end() if self._next else size
        for level in list(self._next):
            while (node := self._next.get(level)) is not None:
                is_above = node.level < NODE_LEVELS or node.level % NODE_LEVELS or node.end > end
                is_hole = node.level < 64 and node.hash == hole_root(node.level)
                if is_above or (node.end <= size and not is_hole):
                    self._note(node)
                self._advance(level)

    def _end(self) -> int:
        rows = [self._clickhouse.query(sql, self._log.parameters).rows for sql in (_END, _SIZE)]
        return max(int(each[0][0] or 0) for each in rows)

    def _note(self, node: Node) -> None:
        if len(self.forged) < MOST_TOLD:
            self.forged.append((node.end - (1 << node.level), node.end))

    def _advance(self, level: int) -> None:
        node = next(self._streams[level], None)
        if node is None:
            self._next.pop(level, None)
        else:
            self._next[level] = node

    def _from(self, page: NodePage) -> Iterator[Node]:
        while True:
            yield from page.nodes
            if page.is_last:
                return
            last = page.nodes[-1]
            values = {"level": last.level, "index": last.place, "hash": last.hash.hex()}
            rows = self._clickhouse.query(_SQL, {**self._log.parameters, **values}).rows
            nodes = [Node(last.level, int(index), digest) for index, digest in rows]
            page = NodePage(nodes, len(nodes) < _PAGE)
