"""One log as ClickHouse holds it: which rows of `log_leaves`, `log_nodes` and `log_checkpoints` are its own."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.merkle import CompactRange, joined
from trailhouse.proof.origin import LogOrigin
from trailhouse.store.clickhouse import ClickHouse

PLACE_COLUMNS = (
    "kafka_cluster", "kafka_topic", "kafka_topic_id", "kafka_partition", "generation"
)  # fmt: skip


class StoredLog(NamedTuple):
    """The tree over one partition of one topic, in one generation; each table that is about it has these columns."""

    kafka_cluster: str
    kafka_topic: str
    kafka_topic_id: str
    kafka_partition: int
    generation: str = "1"

    def origin(self, log_name: str) -> LogOrigin:
        """Return its name within the logs of *log_name*."""
        return LogOrigin(
            log_name,
            self.kafka_topic,
            self.kafka_topic_id,
            self.kafka_partition,
            self.generation,
        )

    @property
    def condition(self) -> str:
        """What its rows fulfil, for a WHERE; the values are `parameters`."""
        return (
            "kafka_cluster = {kafka_cluster:String} AND kafka_topic_id = {kafka_topic_id:String}"
            " AND kafka_topic = {kafka_topic:String} AND kafka_partition = {kafka_partition:UInt16}"
            " AND generation = {generation:String}"
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of `condition`."""
        return self._asdict()


class StoredCheckpoint(NamedTuple):
    """A row of `log_checkpoints`: what it says, not checked against anything."""

    size: int
    roots: tuple[bytes, ...]
    note: str

    @property
    def is_whole(self) -> bool:
        """Whether its roots are as many as a log of its size has."""
        return len(self.roots) == self.size.bit_count()

    def tree(self) -> CompactRange:
        """Return the tree that it says, once `is_whole`."""
        return CompactRange(self.size, self.roots)

    def checkpoint(self, origin: str) -> Checkpoint:
        """Return what it says of the log *origin*."""
        return Checkpoint(origin, self.size, joined(self.roots))


def stored_logs(clickhouse: ClickHouse) -> list[StoredLog]:
    """Return every log that has a checkpoint, in order.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    columns = ", ".join(PLACE_COLUMNS)
    found = clickhouse.query(f"SELECT DISTINCT {columns} FROM log_checkpoints ORDER BY {columns}")  # noqa: S608 names of ours; every value is a number or bound
    return [StoredLog(*row) for row in found.rows]


def checkpoints_of(
    clickhouse: ClickHouse, log: StoredLog, *, first_size: int, limit: int
) -> Sequence[StoredCheckpoint]:
    """Return the checkpoints of *log* of *first_size* leaves or more, the smallest first; at most *limit*.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found = clickhouse.query(
        f"SELECT DISTINCT size, roots, checkpoint FROM log_checkpoints WHERE {log.condition}"  # noqa: S608 names of ours; every value is a number or bound
        " AND size >= {first:UInt64} ORDER BY size, checkpoint, roots LIMIT {limit:UInt32}",
        {**log.parameters, "first": first_size, "limit": limit},
    )
    return [StoredCheckpoint(size, tuple(roots), note) for size, roots, note in found.rows]
