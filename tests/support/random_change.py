"""One change of one stored row, drawn at random: a byte, a number, a deletion, a copy with another value."""

import random
from collections.abc import Mapping
from typing import NamedTuple

from trailhouse.store import ClickHouse

TABLES = (
    "event_log", "event_log", "event_index", "event_usage", "event_quarantine", "log_leaves",
    "log_anchors", "session_manifests", "session_manifest_entries", "batch_ledger",
    "event_standings", "log_policies", "log_erasures", "seal_checks",
)  # fmt: skip
_LAST_BATCH = "all of a partition's last batch"
"""A worker that was killed before it entered its last batch has left the same."""
_LAST_CHECK = "all of what was found of a partition's last seal, or of one copy of a seal"
"""A worker that has not looked at it yet has left the same; of a seal that came twice the other row says it too."""
HELD_BY_NOTHING: Mapping[str, frozenset[str]] = {
    "event_log": frozenset({"kafka_cluster"}),
    "event_quarantine": frozenset(
        {"kafka_cluster", "key", "headers", "reason", "worker_version", "quarantined_at"}
    ),
    "batch_ledger": frozenset(
        {
            _LAST_BATCH,
            "kafka_cluster",
            "first_offset",
            "last_offset",
            "worker_version",
            "written_at",
        }
    ),
    "event_standings": frozenset({"ver"}),
    "seal_checks": frozenset({_LAST_CHECK}),
}
"""What docs/threats.md says that nobody can hold against a log, times of writing, and holes of a batch's range."""
_ENDS = {
    "batch_ledger": ("last_offset", _LAST_BATCH),
    "seal_checks": ("kafka_offset", _LAST_CHECK),
}
"""Of tables whose last row of a partition may be gone: the column by which it is the last, and what is said of it."""
KEPT_OF_ERASED = frozenset({"session_id", "tenant_id", "type", "producer_id", "seq", "occurred_us"})
"""Columns of `event_log` that an erased row keeps, and no record is left to derive them from: docs/threats.md."""
_SEVERAL = {
    "String": (
        "concat({0}, '\\0')", "concat({0}, ' ')", "concat({0}, '\\n')", "concat(' ', {0})", "''", "'x'", "reverse({0})",
        "upper({0})", "substring({0}, 1, length({0}) - 1)", "replaceOne({0}, '1', '2')",
    ),
    "Number": ("{0} + 1", "{0} - 1", "0", "7"),
    "Time": ("{0} + INTERVAL 1 MILLISECOND", "{0} - INTERVAL 1 MILLISECOND", "{0} + INTERVAL 1 HOUR"),
    "UUID": ("toUUID('00000000-0000-0000-0000-000000000000')", "generateUUIDv4()"),
    "Array": ("arrayPopBack({0})", "arrayReverse({0})", "arrayConcat({0}, {0})"),
    "Hash": (
        "substring({0}, 2)", "concat(substring({0}, 1, length({0}) - 1), '\\0')",
        "concat('\\xff', substring({0}, 2))",
    ),
}  # fmt: skip


class Change(NamedTuple):
    """What is done to which column of which table, in words, and the statements that do it."""

    table: str
    column: str
    how: str
    statements: tuple[str, ...]
    is_of_erased: bool = False

    @property
    def can_be_found(self) -> bool:
        """Whether anything holds it against the log."""
        if self.is_of_erased and self.column in KEPT_OF_ERASED:
            return False
        return self.column not in HELD_BY_NOTHING.get(self.table, ())


def drawn_change(clickhouse: ClickHouse, draw: random.Random) -> Change | None:
    """Return a change of one row of some table; None where that table has no row."""
    table = draw.choice(TABLES)
    ((count,),) = clickhouse.query(f"SELECT count() FROM {table}").rows
    if not count:
        return None
    row = f"ORDER BY cityHash64(*) LIMIT 1 OFFSET {draw.randrange(count)}"
    ((part, place),) = clickhouse.query(f"SELECT _part, _part_offset FROM {table} {row}").rows
    where = f"_part = '{part}' AND _part_offset = {place}"
    delete = f"ALTER TABLE {table} DELETE WHERE {where} SETTINGS mutations_sync = 2"
    is_of_erased = table == "event_log" and bool(
        clickhouse.query(f"SELECT 1 FROM event_log WHERE {where} AND record = ''").rows
    )
    how = draw.choice(("deleted", "changed", "changed", "changed", "copied"))
    if how == "deleted":
        end = _ENDS.get(table)
        column = end[1] if end and _is_last(clickhouse, table, end[0], where) else ""
        if table == "seal_checks" and _has_twin(clickhouse, where):
            column = _LAST_CHECK
        return Change(table, column, how, (delete,))
    column, kind = draw.choice(_columns(clickhouse, table))
    value = _other(column, kind, draw)
    into = f"INSERT INTO {table} SELECT * REPLACE ({value} AS {column}) FROM"
    if how == "copied":
        return Change(
            table, column, f"{how}: {value}", (f"{into} {table} WHERE {where}",), is_of_erased
        )
    statements = (
        f"CREATE TABLE of_before ENGINE = Memory AS SELECT * FROM {table} WHERE {where}",
        delete,
        f"{into} of_before",
        "DROP TABLE of_before SYNC",
    )
    return Change(table, column, f"{how}: {value}", statements, is_of_erased)


def _is_last(clickhouse: ClickHouse, table: str, offset: str, where: str) -> bool:
    """Tell whether no row of its partition follows the one that *where* names."""
    partition = "kafka_topic, kafka_topic_id, kafka_partition"
    later = clickhouse.query(
        f"SELECT 1 FROM {table} WHERE ({partition}) IN (SELECT {partition} FROM {table} WHERE {where})"
        f" AND {offset} > (SELECT max({offset}) FROM {table} WHERE {where}) LIMIT 1"
    )
    return not later.rows


def _has_twin(clickhouse: ClickHouse, where: str) -> bool:
    """Tell whether another row says what was found of the seal that *where* names: it came twice."""
    twins = clickhouse.query(
        f"SELECT count() FROM seal_checks WHERE seal_key IN (SELECT seal_key FROM seal_checks WHERE {where})"
    )
    return int(twins.rows[0][0]) > 1


def _columns(clickhouse: ClickHouse, table: str) -> list[tuple[str, str]]:
    rows = clickhouse.query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
        " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position",
        {"table": table},
    ).rows
    return [(str(name), str(kind)) for name, kind in rows]


def _other(column: str, kind: str, draw: random.Random) -> str:
    """Return another value of *column*, as an expression of its type."""
    inner = kind.removeprefix("LowCardinality(").removeprefix("Nullable(")
    families = {
        "String": "String",
        "FixedString": "Hash",
        "DateTime64": "Time",
        "UUID": "UUID",
        "Array": "Array",
    }
    family = next((each for name, each in families.items() if inner.startswith(name)), "Number")
    value = draw.choice(_SEVERAL[family])
    known = column if family == "Array" else f"assumeNotNull({column})"
    return f"CAST({value.format(known)}, '{kind}')"
