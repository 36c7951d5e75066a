"""What a follower asks ClickHouse: rows by offset, as they are stored. No question here merges copies or reads all."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from trailhouse.query.follow.position import Home, LedgerSpan
from trailhouse.schemas.ranges import Ranges
from trailhouse.store import ClickHouse
from trailhouse.store.tables import LATEST_MS

HEAVY_BYTES = 32_768
"""A record of more is read by itself, once it is due: a page of them would fill the memory."""
_LOOK_BACK_MS = 600_000
"""How far behind the newest row known one of a partition that is not known yet may have been appended."""

_HOME = "kafka_topic_id, kafka_partition"
_KEY = "session_id, tenant_id, occurred_us"
_ROW = (
    f"{_HOME}, kafka_offset, toUnixTimestamp64Milli(appended_at), {_KEY}, event_id, record_key, type,"
    f" if(length(record) <= {HEAVY_BYTES}, record, '') AS light, length(record)"
)


class Identity(NamedTuple):
    """What tells an event from every other; copies share it."""

    session_id: str
    tenant_id: str
    occurred_us: int
    event_id: str
    record_key: bytes


class Row(NamedTuple):
    """A stored event and where in Kafka it stood."""

    home: Home
    offset: int
    appended_ms: int
    identity: Identity
    type: str
    record: bytes
    size_bytes: int

    @property
    def is_heavy(self) -> bool:
        """Whether its record has not been read yet."""
        return self.size_bytes > HEAVY_BYTES


class Beyond(NamedTuple):
    """Which rows of a partition stand at or after an offset: the first, the last."""

    first: int
    last: int


class Polling:
    """Questions to one ClickHouse; each raises StorageError as `ClickHouse.query` does."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def beyond(self, next_offsets: Mapping[Home, int]) -> dict[Home, Beyond]:
        """Return, for each partition that has any, which rows stand at or after its offset."""
        if not next_offsets:
            return {}
        where, values = _within({home: Ranges([(at, 2**63)]) for home, at in next_offsets.items()})
        sql = (
            f"SELECT {_HOME}, min(kafka_offset), max(kafka_offset) FROM events_as_stored"  # noqa: S608 - names of ours
            f" WHERE {where} GROUP BY {_HOME}"
        )
        return {Home(*row[:2]): Beyond(*row[2:]) for row in self._rows(sql, values)}

    def rows(self, wanted: Mapping[Home, Ranges]) -> dict[Home, list[Row]]:
        """Return the rows that stand there, one an offset, in the order of each partition."""
        if not any(wanted.values()):
            return {}
        where, values = _within(wanted)
        sql = (
            f"SELECT {_ROW} FROM events_as_stored WHERE {where}"  # noqa: S608 - numbers and names of ours
            f" ORDER BY {_HOME}, kafka_offset, notEmpty(record), record_key LIMIT 1 BY {_HOME}, kafka_offset"
        )
        found: dict[Home, list[Row]] = defaultdict(list)
        for row in self._clickhouse.query(sql, values, bytes_columns=("light",)).rows:
            home = Home(*row[:2])
            found[home].append(Row(home, row[2], row[3], Identity(*row[4:9]), *row[9:]))
        return found

    def record(self, row: Row) -> bytes | None:
        """Return the record of a heavy row; None if it was erased meanwhile."""
        where, values = _within({row.home: Ranges([(row.offset, row.offset)])})
        found = self._clickhouse.query(
            f"SELECT record FROM events_as_stored WHERE {where} AND record_key = unhex({{key:String}})"  # noqa: S608 - as below
            " ORDER BY notEmpty(record) LIMIT 1",
            values | {"key": row.identity.record_key.hex()},
            bytes_columns=("record",),
        ).rows
        return found[0][0] if found else None

    def copies(self, wanted: Mapping[Home, Ranges]) -> dict[Identity, list[tuple[Home, int]]]:
        """Return where every copy of the events that stand there stands, those themselves included."""
        where, values = _within(wanted)
        # By the log's key, and of the few parts whose times these are: what was stored long ago is not touched.
        sql = f"""
            SELECT {_KEY}, event_id, record_key, {_HOME}, kafka_offset FROM events_as_stored
            WHERE ({_KEY}) IN (SELECT {_KEY} FROM events_as_stored WHERE {where})
        """  # noqa: S608 - numbers and names of ours
        found: dict[Identity, list[tuple[Home, int]]] = defaultdict(list)
        for row in self._rows(sql, values):
            found[Identity(*row[:5])].append((Home(*row[5:7]), row[7]))
        return found

    def matching(
        self, wanted: Mapping[Home, Ranges], condition: str, values: Mapping[str, Any]
    ) -> set[tuple[Home, int]]:
        """Return which of the places hold an event that meets *condition*, whose values are given."""
        where, places = _within(wanted)
        sql = (
            f"SELECT {_HOME}, kafka_offset FROM events_as_stored WHERE ({where}) AND ({condition})"  # noqa: S608
        )
        return {(Home(*row[:2]), row[2]) for row in self._rows(sql, places | dict(values))}

    def spans(self, wanted: Mapping[Home, Ranges]) -> dict[Home, list[LedgerSpan]]:
        """Return what the ledger has that touches *wanted*."""
        if not any(wanted.values()):
            return {}
        where, values = _within(wanted, first="first_offset", last="last_offset")
        sql = (
            f"SELECT {_HOME}, first_offset, last_offset, stored_rows = last_offset - first_offset + 1"  # noqa: S608
            f" FROM stored_batches WHERE {where}"
        )
        found: dict[Home, list[LedgerSpan]] = defaultdict(list)
        for row in self._rows(sql, values):
            found[Home(*row[:2])].append(LedgerSpan(row[2], row[3], bool(row[4])))
        return found

    def last_entries(self, wanted: Mapping[Home, Ranges]) -> dict[Home, str]:
        """Return, for each partition, something that changes when the ledger has anything new that touches *wanted*."""
        if not any(wanted.values()):
            return {}
        where, values = _within(wanted, first="first_offset", last="last_offset")
        sql = (
            f"SELECT {_HOME}, toString(groupBitXor(cityHash64(first_offset, last_offset, stored_rows, written_at)))"  # noqa: S608
            f" FROM (SELECT DISTINCT * FROM stored_batches WHERE {where}) GROUP BY {_HOME}"
        )
        return {Home(*row[:2]): row[2] for row in self._rows(sql, values)}

    def quarantined(self, wanted: Mapping[Home, Ranges]) -> dict[Home, Ranges]:
        """Return which of the offsets are of records in quarantine."""
        if not any(wanted.values()):
            return {}
        where, values = _within(wanted, first="kafka_offset", last="last_offset")
        sql = f"SELECT {_HOME}, kafka_offset, last_offset FROM quarantine WHERE {where}"  # noqa: S608
        found: dict[Home, list[tuple[int, int]]] = defaultdict(list)
        for row in self._rows(sql, values):
            found[Home(*row[:2])].append((row[2], row[3]))
        return {home: Ranges(parts) for home, parts in found.items()}

    def ledger_ends(self) -> dict[Home, tuple[int, int]]:
        """Return the last offset that the ledger has of each partition, and when it was last written, ms."""
        sql = (
            f"SELECT {_HOME}, max(last_offset), toUnixTimestamp64Milli(max(written_at))"  # noqa: S608 - names of ours
            f" FROM stored_batches GROUP BY {_HOME}"
        )
        return {Home(*row[:2]): (row[2], row[3]) for row in self._rows(sql, {})}

    def newest(self, since_ms: int) -> dict[Home, tuple[int, int]]:
        """Return the last offset, and the broker's time, of each partition with rows appended about then or later."""
        appended_ms = "toUnixTimestamp64Milli(appended_at)"
        sql = (
            f"SELECT {_HOME}, max(kafka_offset), maxIf({appended_ms}, {appended_ms} < {LATEST_MS})"  # noqa: S608
            " FROM events_as_stored WHERE appended_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')"
            f" GROUP BY {_HOME}"
        )
        rows = self._rows(sql, {"since_ms": max(0, since_ms - _LOOK_BACK_MS)})
        return {Home(*row[:2]): (row[2], row[3]) for row in rows}

    def _rows(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._clickhouse.query(sql, values).rows


def _within(
    wanted: Mapping[Home, Ranges], first: str = "kafka_offset", last: str = "kafka_offset"
) -> tuple[str, dict[str, Any]]:
    """Return the condition that holds the rows from *first* to *last* that touch *wanted*, and its values."""
    topics = sorted({home.topic_id for home in wanted})
    conditions: list[str] = []
    for home, parts in wanted.items():
        # Numbers of ours stand in the text: thousands of them as parameters would not fit into an address.
        offsets = " OR ".join(
            f"({last} >= {part.first:d} AND {first} <= {part.last:d})" for part in parts
        )
        if offsets:
            conditions.append(
                f"(kafka_topic_id = {{topic{topics.index(home.topic_id)}:String}}"
                f" AND kafka_partition = {home.partition:d} AND ({offsets}))"
            )
    return " OR ".join(conditions) or "false", {
        f"topic{number}": topic for number, topic in enumerate(topics)
    }


def places_of(rows: Iterable[Row]) -> dict[Home, Ranges]:
    """Return where *rows* stand."""
    found: dict[Home, list[int]] = defaultdict(list)
    for row in rows:
        found[row.home].append(row.offset)
    return {home: Ranges.of(offsets) for home, offsets in found.items()}


def in_append_order(rows: Mapping[Home, Sequence[Row]]) -> list[Row]:
    """Return *rows* as Kafka appended them: by offset within a partition, by the broker's clock between them."""
    placed: list[tuple[int, Home, int, Row]] = []
    for home, of_home in rows.items():
        clock_ms = 0
        for row in of_home:
            # A running maximum: the broker's clock may step back, the order of a partition may not.
            if row.appended_ms < LATEST_MS:
                clock_ms = max(clock_ms, row.appended_ms)
            placed.append((clock_ms, home, row.offset, row))
    return [row for *_, row in sorted(placed, key=lambda each: each[:3])]
