"""The logs that there are: which partitions have leaves or checkpoints, and how they are named in SQL and to people."""

from typing import Any, NamedTuple

from trailhouse.proof.origin import log_topic_id, parse_origin
from trailhouse.proof.policy import BEFORE_PROOF
from trailhouse.schemas.errors import ProofError
from trailhouse.store.clickhouse import ClickHouse

OF_LOG = (
    "kafka_cluster = {cluster:String} AND kafka_topic = {topic:String} AND kafka_topic_id = {topic_id:String}"
    " AND kafka_partition = {partition:UInt16}"
)
"""The rows of one partition; its parameters are `LogId.parameters`."""
OF_GENERATION = f"{OF_LOG} AND generation = {{generation:String}}"
"""The rows of one log."""


class LogId(NamedTuple):
    """One log, as the tables have it; its name is told by its checkpoints alone."""

    cluster: str
    topic: str
    topic_id: str
    partition: int
    generation: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The values in `OF_LOG` and `OF_GENERATION`."""
        return self._asdict()

    @property
    def place(self) -> tuple[str, str, str, int]:
        """The partition, whose generations share its offsets."""
        return self.cluster, self.topic, self.topic_id, self.partition

    def __str__(self) -> str:
        tail = "" if self.generation == "1" else f"/{self.generation}"
        return f"{self.topic}/{self.topic_id}/{self.partition}{tail}"


def all_logs(clickhouse: ClickHouse) -> tuple[LogId, ...]:
    """Return every log of which there is a leaf or a checkpoint, the generations of a partition in their order.

    Leaves that no worker has written, of rows that are older than the first that one did, are none of these.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    columns = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, generation"
    rows = clickhouse.query(
        f"SELECT DISTINCT {columns} FROM (SELECT DISTINCT {columns} FROM log_leaves"  # noqa: S608 - names of ours
        f" UNION ALL SELECT DISTINCT {columns} FROM log_checkpoints) WHERE generation != '{BEFORE_PROOF}'"
    ).rows
    logs = [LogId(str(row[0]), str(row[1]), str(row[2]), int(row[3]), str(row[4])) for row in rows]
    return tuple(sorted(logs, key=in_order))


def in_order(log: LogId) -> tuple[str, str, str, int, int]:
    """Return what sorts partitions, and the generations of each in the order in which they began."""
    return (*log.place, _number(log.generation))


def log_of(origin: str, logs: tuple[LogId, ...]) -> LogId | None:
    """Return which of *logs* goes by the name *origin*; None where none does."""
    try:
        named = parse_origin(origin)
    except ProofError:
        return None
    wanted = named._replace(topic_id=log_topic_id(named.topic_id))[1:]
    return next((log for log in logs if _names_of(log) == wanted), None)


def _names_of(log: LogId) -> tuple[str, str, int, str]:
    return log.topic, log_topic_id(log.topic_id), log.partition, log.generation


def _number(generation: str) -> int:
    head = generation.partition("-")[0]
    return int(head) if head.isdigit() and len(head) < 10 else 0
