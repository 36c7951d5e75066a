"""The logs that there are: which partitions have leaves or checkpoints, and how they are named in SQL and to people."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

from trailhouse.proof.origin import generation_number, log_topic_id, parse_origin
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
PLACE_COLUMNS = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition"
LOG_COLUMNS = f"{PLACE_COLUMNS}, generation"
"""What tells logs apart; `log_in` takes it from a row."""
LOGS_PER_STATEMENT = 250
"""Each adds some hundred bytes to the text of a statement; ClickHouse takes 256 KiB."""


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


class Bounds(NamedTuple):
    """Offsets of one log, from `first` up to and without `end`."""

    first: int
    end: int


class LogGroup(NamedTuple):
    """Logs of one topic and generation: a condition that the index of their tables answers, and its parameters."""

    by_partition: Mapping[int, LogId]
    condition: str
    parameters: Mapping[str, Any]


def in_groups(
    bounds: Mapping[LogId, Bounds],
    within: str = "kafka_offset >= {first} AND kafka_offset < {end}",
) -> Iterator[LogGroup]:
    """Yield what holds of the rows of many logs for which *within*, filled with the *bounds* of each, does."""
    for _, same in groupby(sorted(bounds, key=_kin), key=_kin):
        each = iter(same)
        while logs := list(islice(each, LOGS_PER_STATEMENT)):
            # Numbers of ours: as text they are found by the index, in an array they are not.
            each_one = " OR ".join(
                f"kafka_partition = {log.partition:d} AND {within.format(**bounds[log]._asdict())}"
                for log in logs
            )
            yield LogGroup(
                {log.partition: log for log in logs},
                f"{_OF_KIN} AND ({each_one})",
                logs[0].parameters,
            )


_OF_KIN = (
    "kafka_cluster = {cluster:String} AND kafka_topic = {topic:String} AND kafka_topic_id = {topic_id:String}"
    " AND generation = {generation:String}"
)


def _kin(log: LogId) -> tuple[str, str, str, str]:
    return log.cluster, log.topic, log.topic_id, log.generation


def place_in(row: Iterable[Any]) -> tuple[str, str, str, int]:
    """Return the partition that `PLACE_COLUMNS`, the first columns of *row*, say."""
    cluster, topic, topic_id, partition = islice(row, 4)
    return str(cluster), str(topic), str(topic_id), int(partition)


def log_in(row: Sequence[Any]) -> LogId:
    """Return the log that `LOG_COLUMNS`, the first columns of *row*, say."""
    return LogId(*place_in(row), str(row[4]))


def all_logs(clickhouse: ClickHouse) -> tuple[LogId, ...]:
    """Return every log of which there is a leaf or a checkpoint, the generations of a partition in their order.

    Leaves that no worker has written, of rows that are older than the first that one did, are none of these.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(
        f"SELECT DISTINCT {LOG_COLUMNS} FROM (SELECT DISTINCT {LOG_COLUMNS} FROM log_leaves"  # noqa: S608 - names of ours
        f" UNION ALL SELECT DISTINCT {LOG_COLUMNS} FROM log_checkpoints) WHERE generation != '{BEFORE_PROOF}'"
    ).rows
    return tuple(sorted(map(log_in, rows), key=in_order))


def in_order(log: LogId) -> tuple[str, str, str, int, int]:
    """Return what sorts partitions, and the generations of each in the order in which they began."""
    return (*log.place, generation_number(log.generation))


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
