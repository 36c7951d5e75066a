"""The tables of logs in memory, as `StoredLog` reads and writes them; they can be set back, as by a backup."""

from collections.abc import Iterator, Sequence
from typing import Any

from trailhouse.broker.origin import Origin
from trailhouse.consumer.proof_log.leaves import Leaf
from trailhouse.consumer.proof_log.stored_log import Generation, StoredCheckpoint
from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.schemas.ranges import Ranges
from trailhouse.store.block import Block

ORIGIN = Origin("cluster", "events", "topic/id+")
Key = tuple[int, str]
"""Partition and generation."""


class FakeStoredLog:
    """Held against the real one by a test; `failing` is the number of inserts after which the next one fails."""

    def __init__(self) -> None:
        self.origin = ORIGIN
        self.leaf_rows: set[tuple[Any, ...]] = set()
        self.node_rows: set[tuple[Any, ...]] = set()
        self.checkpoint_rows: set[tuple[Any, ...]] = set()
        self.incidents: list[tuple[int, int, int]] = []
        self.inserted: list[str] = []
        self.failing: int | None = None

    def insert(self, block: Block) -> None:
        """Take in the rows, or fail."""
        if self.failing is not None:
            self.failing -= 1
            if self.failing < 0:
                self.failing = None
                raise StorageUnavailableError("away")
        self.inserted.append(block.table)
        columns: dict[str, Any] = dict(zip(block.names, block.columns, strict=True))
        rows = list(zip(*(columns[name] for name in block.names[3:]), strict=True))
        match block.table:
            case "log_leaves":
                self.leaf_rows |= set(rows)
            case "log_nodes":
                self.node_rows |= set(rows)
            case _:
                self.checkpoint_rows |= {(p, g, s, tuple(r), c) for p, g, s, r, c, _ in rows}

    def snapshot(self) -> tuple[set[tuple[Any, ...]], ...]:
        """Return what is there."""
        return set(self.leaf_rows), set(self.node_rows), set(self.checkpoint_rows)

    def restore(self, snapshot: tuple[set[tuple[Any, ...]], ...]) -> None:
        """Be as it was when *snapshot* was taken."""
        self.leaf_rows, self.node_rows, self.checkpoint_rows = (set(each) for each in snapshot)

    def generations(self, partitions: Sequence[int]) -> dict[int, list[Generation]]:
        """As `StoredLog.generations`."""
        found: dict[int, dict[str, list[int]]] = {}
        for partition, generation, size, *_ in self.checkpoint_rows:
            if partition in partitions:
                found.setdefault(partition, {}).setdefault(generation, []).append(size)
        return {
            partition: [Generation(name, min(sizes), max(sizes)) for name, sizes in names.items()]
            for partition, names in found.items()
        }

    def checkpoints(
        self, partition: int, generation: str, *, up_to: int, limit: int, skip: int = 0
    ) -> list[StoredCheckpoint]:
        """As `StoredLog.checkpoints`."""
        rows = [
            StoredCheckpoint(size, roots, text)
            for p, g, size, roots, text in self.checkpoint_rows
            if (p, g) == (partition, generation) and size <= up_to
        ]
        return sorted(rows, key=lambda row: -row.size)[skip : skip + limit]

    def leaves(self, partition: int, generation: str, first: int, end: int) -> Iterator[Leaf]:
        """As `StoredLog.leaves`."""
        yield from sorted(
            Leaf(*row[2:])
            for row in self.leaf_rows
            if row[:2] == (partition, generation) and first <= row[2] < end
        )

    def first_leaf(self, partition: int, generation: str, first: int, end: int) -> int | None:
        """As `StoredLog.first_leaf`."""
        return min(
            (leaf.offset for leaf in self.leaves(partition, generation, first, end)), default=None
        )

    def explained(self, partition: int, first: int, last: int) -> Ranges:
        """As `StoredLog.explained`."""
        spans = [span for number, *span in self.incidents if number == partition]
        return Ranges((low, high) for low, high in spans) & Ranges([(first, last)])
