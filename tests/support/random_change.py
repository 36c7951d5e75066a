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
}
"""What docs/threats.md says that nobody can hold against a log, times of writing, and holes of a batch's range."""
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
        column = _LAST_BATCH if table == "batch_ledger" and _is_last(clickhouse, where) else ""
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


def _is_last(clickhouse: ClickHouse, where: str) -> bool:
    """Tell whether no batch of its partition follows the one that *where* names."""
    partition = "kafka_topic, kafka_topic_id, kafka_partition"
    later = clickhouse.query(
        f"SELECT 1 FROM batch_ledger WHERE ({partition}) IN (SELECT {partition} FROM batch_ledger WHERE {where})"
        f" AND last_offset > (SELECT max(last_offset) FROM batch_ledger WHERE {where}) LIMIT 1"
    )
    return not later.rows


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
