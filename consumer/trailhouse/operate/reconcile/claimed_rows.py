"""What the tables claim of a stretch of offsets: rows with their own hash worked out, by offset and by key."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trailhouse.broker.origin import Origin
from trailhouse.operate.known_records import KEYS_PER_QUERY, SESSION_BYTES_PER_QUERY
from trailhouse.operate.reconcile.derived_columns import DERIVED_COLUMNS
from trailhouse.schemas.ranges import Range
from trailhouse.store.clickhouse import ClickHouse

MAX_ROWS_PER_OFFSET = 8
"""More different rows at one offset are not told apart: the first ones are damning enough."""
MAX_UNKNOWN_TOPICS = 20

_OF_TOPIC = "kafka_cluster = {cluster:String} AND kafka_topic_id = {topic_id:String} AND kafka_topic = {topic:String}"
_PLACE = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset"
_COLUMNS = (
    f"{_PLACE}, toUnixTimestamp64Milli(appended_at), record_key,"
    " record_key = toFixedString(substring(SHA256(record), 1, 16), 16),"
    f" {', '.join(DERIVED_COLUMNS)}"
)


class Claim(NamedTuple):
    """One row of `event_log`: where it says it comes from, whether its record has its hash, its columns."""

    origin: Origin
    partition: int
    offset: int
    appended_ms: int
    record_key: bytes
    is_whole: bool
    columns: tuple[Any, ...]

    @property
    def session_id(self) -> str:
        """The session that it claims."""
        return str(self.columns[DERIVED_COLUMNS.index("session_id")])

    @property
    def event_id(self) -> str:
        """The event that it claims to be."""
        return str(self.columns[DERIVED_COLUMNS.index("event_id")])


class Beyond(NamedTuple):
    """The furthest row of a partition that claims an offset at or above what was asked."""

    partition: int
    offset: int
    session_id: str
    event_id: str


class UnknownTopic(NamedTuple):
    """Rows that claim a topic of which the ledger has no batch."""

    topic_id: str
    rows: int
    partition: int
    offset: int
    session_id: str
    event_id: str


def rows_at(
    storage: ClickHouse, origin: Origin, partition: int, within: Range
) -> dict[int, list[Claim]]:
    """Return the different rows of each offset within a stretch, merged or not.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = storage.query(
        f"""
        SELECT DISTINCT {_COLUMNS} FROM event_log
        WHERE {_OF_TOPIC} AND kafka_partition = {{partition:UInt16}}
            AND kafka_offset BETWEEN {{first:UInt64}} AND {{last:UInt64}}
        LIMIT {MAX_ROWS_PER_OFFSET} BY kafka_offset
        """,  # noqa: S608 - names of ours; every value is a bound parameter
        _within(origin, partition, within),
    ).rows
    found: dict[int, list[Claim]] = {}
    for claim in map(_claim, rows):
        found.setdefault(claim.offset, []).append(claim)
    return found


def rows_of(storage: ClickHouse, keys: Sequence[tuple[str, str]]) -> list[Claim]:
    """Return the rows of events, each named by session and id, wherever they claim to come from.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: list[Claim] = []
    left = sorted(set(keys))
    while left:
        part = _some(left)
        del left[: len(part)]
        rows = storage.query(
            f"""
            SELECT DISTINCT {_COLUMNS} FROM event_log
            WHERE session_id IN {{sessions:Array(String)}} AND event_id IN {{events:Array(UUID)}}
            LIMIT {MAX_ROWS_PER_OFFSET} BY session_id, event_id
            """,  # noqa: S608 - as above
            {
                "sessions": list(dict.fromkeys(session for session, _ in part)),
                "events": [event_id for _, event_id in part],
            },
        ).rows
        found += map(_claim, rows)
    return found


def quarantined_at(
    storage: ClickHouse, origin: Origin, partition: int, within: Range
) -> dict[int, set[bytes]]:
    """Return the hashes of the records in quarantine, by offset; a null record's is that of no bytes.

    Of what is kept in part it is the hash that the row names.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = storage.query(
        f"""
        SELECT DISTINCT kafka_offset, if(
            length(ifNull(record, '')) = size_bytes,
            SHA256(ifNull(record, '')), record_hash
        )
        FROM event_quarantine
        WHERE {_OF_TOPIC} AND kafka_partition = {{partition:UInt16}}
            AND kafka_offset BETWEEN {{first:UInt64}} AND {{last:UInt64}}
        LIMIT {MAX_ROWS_PER_OFFSET} BY kafka_offset
        """,  # noqa: S608 - as above
        _within(origin, partition, within),
    ).rows
    found: dict[int, set[bytes]] = {}
    for offset, digest in rows:
        found.setdefault(offset, set()).add(digest)
    return found


def rows_beyond(storage: ClickHouse, origin: Origin, ends: Mapping[int, int]) -> list[Beyond]:
    """Return for each partition the furthest row at or above its value in *ends*, or of no such partition.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    width = max(ends, default=-1) + 1
    rows = storage.query(
        f"""
        SELECT kafka_partition, max(kafka_offset), argMax(session_id, kafka_offset), argMax(event_id, kafka_offset)
        FROM event_log
        WHERE {_OF_TOPIC} AND kafka_offset >= {{ends:Array(UInt64)}}[kafka_partition + 1]
        GROUP BY kafka_partition ORDER BY kafka_partition
        """,  # noqa: S608 - as above
        # An index beyond the array gives 0, so that every row of a partition that is not there counts.
        origin._asdict() | {"ends": [ends.get(number, 0) for number in range(width)]},
    ).rows
    return [Beyond(*row) for row in rows]


def unknown_topics(storage: ClickHouse) -> list[UnknownTopic]:
    """Return the topics that rows claim and no batch of the ledger does, the largest first.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = storage.query(
        f"""
        SELECT kafka_topic_id, count() AS rows, any(kafka_partition), any(kafka_offset), any(session_id), any(event_id)
        FROM event_log
        WHERE (kafka_cluster, kafka_topic, kafka_topic_id) NOT IN (
            SELECT DISTINCT kafka_cluster, kafka_topic, kafka_topic_id FROM batch_ledger
        )
        GROUP BY kafka_cluster, kafka_topic, kafka_topic_id ORDER BY rows DESC LIMIT {MAX_UNKNOWN_TOPICS}
        """  # noqa: S608 - no value in it
    ).rows
    return [UnknownTopic(*row) for row in rows]


def _some(keys: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the first of *keys* that fit into one statement: values travel in its address."""
    part: list[tuple[str, str]] = []
    size_bytes, last = 0, None
    for session, event_id in keys[:KEYS_PER_QUERY]:
        # Sorted, so that the same session stands side by side and is named once in the statement.
        size_bytes += 4 * len(session) if session != last else 0
        last = session
        if part and size_bytes > SESSION_BYTES_PER_QUERY:
            break
        part.append((session, event_id))
    return part


def _claim(row: Sequence[Any]) -> Claim:
    cluster, topic, topic_id, partition, offset, appended_ms, record_key, is_whole, *rest = row
    origin = Origin(cluster, topic, topic_id)
    return Claim(origin, partition, offset, appended_ms, record_key, bool(is_whole), tuple(rest))


def _within(origin: Origin, partition: int, within: Range) -> dict[str, Any]:
    return origin._asdict() | {
        "partition": partition,
        "first": within.first,
        "last": within.last,
    }
