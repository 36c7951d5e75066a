"""Questions to the batch ledger: which offsets of the worker's partitions are stored.

Each is a read along the table's key, cheap however long the ledger is, but for `until` and `earlier`,
which are asked only where something is wrong already, and `stretches`, which an operator asks.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.blocks import LONGEST_SPAN_RECORDS
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.schemas.ranges import Ranges
from trailhouse.store.block import Block
from trailhouse.store.clickhouse import Result

NO_LIMIT = 2**64 - 1

_OF_TOPIC = (
    " WHERE kafka_cluster = {cluster:String} AND kafka_topic_id = {topic_id:String}"
    " AND kafka_topic = {topic:String} AND "
)
_OF_EARLIER_TOPICS = _OF_TOPIC.replace("kafka_topic_id =", "kafka_topic_id !=")
_SPANS = "SELECT kafka_partition, first_offset, last_offset FROM batch_ledger"
_END = "SELECT max(last_offset) + 1 FROM batch_ledger"
_PARTITIONS = "SELECT DISTINCT kafka_partition FROM batch_ledger"
_ENDS = "SELECT kafka_partition, max(last_offset) + 1 FROM batch_ledger"
_INCIDENTS = "SELECT first_offset, last_offset FROM event_incidents"


_STRETCHES = f"""
    SELECT min(first_offset), max(last_offset)
    FROM (
        SELECT first_offset, last_offset, sum(is_behind_a_gap) OVER (ORDER BY first_offset, last_offset) AS stretch
        FROM (
            SELECT first_offset, last_offset, first_offset > 1 + max(last_offset) OVER (
                ORDER BY first_offset, last_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS is_behind_a_gap
            FROM batch_ledger {_OF_TOPIC} kafka_partition = {{partition:UInt16}}
        )
    )
    GROUP BY stretch
"""  # noqa: S608 - names of ours; every value is a bound parameter


class Store(Protocol):
    """What is asked of ClickHouse."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Result: ...
    def insert(self, block: Block) -> None: ...


class Ledger:
    """The ledger and the incidents of one topic, known by its id.

    Every method raises StorageError as `ClickHouse.query` does.
    """

    def __init__(self, store: Store, origin: Origin) -> None:
        self._store = store
        # A topic that was made anew under its name has another id, and offsets that begin at 0 again.
        self._names = origin._asdict()

    def covered(self, wanted: Mapping[int, tuple[int, int]]) -> dict[int, Ranges]:
        """Return, for each partition, what the ledger has of the offsets from *first* to *last*."""
        asked = {number: span for number, span in wanted.items() if span[0] <= span[1]}
        found: dict[int, list[tuple[int, int]]] = {number: [] for number in wanted}
        if asked:
            conditions: list[str] = []
            values: dict[str, Any] = {}
            for number, (first, last) in asked.items():
                conditions.append(
                    f"(kafka_partition = {number:d} AND first_offset BETWEEN {{low{number:d}:UInt64}}"
                    f" AND {{last{number:d}:UInt64}} AND last_offset >= {{first{number:d}:UInt64}})"
                )
                # A row that covers `first` begins no further below it: the read stays along the key.
                values[f"low{number}"] = max(0, first - LONGEST_SPAN_RECORDS)
                values[f"first{number}"] = first
                values[f"last{number}"] = last
            sql = f"{_SPANS}{_OF_TOPIC}({' OR '.join(conditions)})"
            for number, first, last in self._rows(sql, values):
                found[number].append((first, last))
        return {number: Ranges(found[number]) & Ranges([wanted[number]]) for number in wanted}

    def stretches(self, partition: int) -> Ranges:
        """Return all that the ledger has of *partition*: one row comes back a stretch, however many batches it was."""
        rows = self._rows(_STRETCHES, {"partition": partition})
        return Ranges((first, last) for first, last in rows)

    def until(self, below: Mapping[int, int | None]) -> dict[int, int]:
        """Return the offset after the last one stored below each limit (None: at all), where there is one."""
        found: dict[int, int] = {}
        for number, limit in below.items():
            under = NO_LIMIT if limit is None else limit
            rows = self._rows(
                f"{_END}{_OF_TOPIC}kafka_partition = {{number:UInt16}}"
                " AND first_offset < {limit:UInt64} HAVING count() > 0",
                {"number": number, "limit": under},
            )
            for (until,) in rows:
                found[number] = min(until, under)
        return found

    def knows(self, partitions: Iterable[int]) -> set[int]:
        """Return those partitions that have any row."""
        sql = f"{_PARTITIONS}{_OF_TOPIC}kafka_partition IN {{numbers:Array(UInt16)}}"
        return {number for (number,) in self._rows(sql, {"numbers": list(partitions)})}

    def earlier(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return how far earlier topics of this name went, where the ledger knows one."""
        sql = (
            f"{_ENDS}{_OF_EARLIER_TOPICS}kafka_partition IN {{numbers:Array(UInt16)}}"
            " GROUP BY kafka_partition"
        )
        return dict(self._rows(sql, {"numbers": list(partitions)}))

    def noted(self, incident: Incident) -> Ranges:
        """Return what has been written down of *incident* already."""
        values = {"number": incident.partition, "kind": incident.kind}
        sql = (
            f"{_INCIDENTS}{_OF_TOPIC}kafka_partition = {{number:UInt16}} AND kind = {{kind:String}}"
        )
        return Ranges((first, last) for first, last in self._rows(sql, values))

    def note(self, block: Block) -> None:
        """Write incidents down; acknowledged on return."""
        self._store.insert(block)

    def _rows(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        names = {
            "cluster": self._names["cluster"],
            "topic": self._names["topic"],
            "topic_id": self._names["topic_id"],
        }
        return self._store.query(sql, names | dict(values)).rows
