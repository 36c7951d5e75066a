"""What ClickHouse holds of the logs of one topic: generations, checkpoints, leaves; each a read along a table's key."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from trailhouse.broker.origin import Origin
from trailhouse.consumer.proof_log.leaves import Leaf
from trailhouse.schemas.ranges import Ranges
from trailhouse.store.block import Block
from trailhouse.store.clickhouse import Result

PAGE_LEAVES = 50_000

_OF_TOPIC = (
    " WHERE kafka_cluster = {cluster:String} AND kafka_topic_id = {topic_id:String}"
    " AND kafka_topic = {topic:String} AND "
)
MAX_CHECKPOINT_BYTES, MAX_ROOTS = 16_384, 63
"""No checkpoint of ours is longer: whoever stores longer ones does not fill a worker's memory."""
# Names of ours; every value is a bound parameter.
_GENERATIONS = f"""
    SELECT kafka_partition, generation, min(size), max(size) FROM log_checkpoints {_OF_TOPIC}
        kafka_partition IN {{numbers:Array(UInt16)}}
    GROUP BY kafka_partition, generation
"""  # noqa: S608
_CHECKPOINTS = f"""
    SELECT size, roots, checkpoint FROM log_checkpoints {_OF_TOPIC}
        kafka_partition = {{number:UInt16}} AND generation = {{generation:String}} AND size <= {{size:UInt64}}
        AND length(checkpoint) <= {MAX_CHECKPOINT_BYTES} AND length(roots) <= {MAX_ROOTS}
    ORDER BY size DESC, checkpoint DESC, roots DESC LIMIT {{limit:UInt32}} OFFSET {{skip:UInt64}}
"""  # noqa: S608
_LEAVES = f"""
    SELECT kafka_offset, kind, appended_ms, digest FROM log_leaves {_OF_TOPIC}
        kafka_partition = {{number:UInt16}} AND generation = {{generation:String}}
        AND kafka_offset >= {{first:UInt64}} AND kafka_offset < {{end:UInt64}}
    ORDER BY kafka_offset, digest, appended_ms, kind LIMIT {{limit:UInt32}}
"""  # noqa: S608
_FIRST_LEAF = f"""
    SELECT kafka_offset FROM log_leaves {_OF_TOPIC}
        kafka_partition = {{number:UInt16}} AND generation = {{generation:String}}
        AND kafka_offset >= {{first:UInt64}} AND kafka_offset < {{end:UInt64}}
    ORDER BY kafka_offset LIMIT 1
"""  # noqa: S608
_APPEND_TIMES = f"""
    SELECT kafka_offset, groupUniqArray(appended_ms) FROM log_leaves {_OF_TOPIC}
        kafka_partition = {{number:UInt16}} AND kafka_offset >= {{first:UInt64}} AND kafka_offset < {{end:UInt64}}
    GROUP BY kafka_offset ORDER BY kafka_offset DESC LIMIT {{limit:UInt32}}
"""  # noqa: S608
_INCIDENTS = f"""
    SELECT first_offset, last_offset FROM event_incidents {_OF_TOPIC}
        kafka_partition = {{number:UInt16}} AND last_offset >= {{first:UInt64}}
        AND first_offset <= {{last:UInt64}} AND kind IN {{kinds:Array(String)}}
"""  # noqa: S608
HOLE_KINDS = ("expired", "unreadable", "skipped", "no_record", "unproven")
"""The incidents that say why there is no record at an offset."""


class Store(Protocol):
    """What is asked of ClickHouse."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Result: ...
    def insert(self, block: Block) -> None: ...


class Generation(NamedTuple):
    """One generation of a partition's log, and the sizes of its smallest and its largest checkpoint."""

    name: str
    first_size: int
    last_size: int


class StoredCheckpoint(NamedTuple):
    """A row of `log_checkpoints`; whoever may write there may have written it."""

    size: int
    roots: tuple[bytes, ...]
    text: str


class StoredLog:
    """Every method raises StorageError as `ClickHouse.query` and `ClickHouse.insert` do; safe from any thread."""

    def __init__(self, store: Store, origin: Origin) -> None:
        self._store = store
        self.origin = origin

    def insert(self, block: Block) -> None:
        """Write *block*; acknowledged on return."""
        self._store.insert(block)

    def generations(self, partitions: Sequence[int]) -> dict[int, list[Generation]]:
        """Return the generations of each of *partitions* that has a checkpoint, in no order."""
        found: dict[int, list[Generation]] = {}
        for number, *rest in self._rows(_GENERATIONS, numbers=list(partitions)):
            found.setdefault(number, []).append(Generation(*rest))
        return found

    def checkpoints(
        self, partition: int, generation: str, *, up_to: int, limit: int, skip: int = 0
    ) -> list[StoredCheckpoint]:
        """Return at most *limit* checkpoints of sizes *up_to*, the largest first, without the first *skip* of them."""
        rows = self._rows(
            _CHECKPOINTS,
            number=partition,
            generation=generation,
            size=up_to,
            limit=limit,
            skip=skip,
        )
        return [StoredCheckpoint(size, tuple(roots), text) for size, roots, text in rows]

    def leaves(self, partition: int, generation: str, first: int, end: int) -> Iterator[Leaf]:
        """Yield the leaves from offset *first* up to and without *end*, in order; two that differ in one place both.

        It holds few of them at a time.
        """
        last: Leaf | None = None
        while first < end:
            rows = self._rows(
                _LEAVES,
                number=partition,
                generation=generation,
                first=first,
                end=end,
                limit=PAGE_LEAVES,
            )
            for row in rows:
                leaf = Leaf(*row)
                if leaf != last:  # copies that no merge has met yet
                    yield leaf
                last = leaf
            if len(rows) < PAGE_LEAVES:
                return
            # The last offset again: more of it may follow.
            first = max(rows[-1][0], first + 1)

    def first_leaf(self, partition: int, generation: str, first: int, end: int) -> int | None:
        """Return the offset of the first leaf from *first* up to and without *end*; None where there is none."""
        rows = self._rows(
            _FIRST_LEAF, number=partition, generation=generation, first=first, end=end
        )
        return int(rows[0][0]) if rows else None

    def append_times(
        self, partition: int, first: int, end: int, limit: int
    ) -> dict[int, frozenset[int]]:
        """Return what any generation has at the *limit* highest offsets from *first* up to and without *end*."""
        rows = self._rows(_APPEND_TIMES, number=partition, first=first, end=end, limit=limit)
        return {offset: frozenset(times) for offset, times in rows}

    def explained(self, partition: int, first: int, last: int) -> Ranges:
        """Return the offsets from *first* to *last* of which an incident says why there is no record."""
        rows = self._rows(
            _INCIDENTS, number=partition, first=first, last=last, kinds=list(HOLE_KINDS)
        )
        return Ranges((low, high) for low, high in rows) & Ranges([(first, last)])

    def _rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        names = self.origin._asdict()
        return self._store.query(sql, names | values).rows
