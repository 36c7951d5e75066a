"""The tables without a mechanism of theirs: how each is switched off in the database of a fault test."""

from mechanisms import without
from trailhouse.store import ClickHouse, ClickHouseConfig

_KEY = "(session_id, tenant_id, occurred_us, event_id, record_key)"
_TABLE_CHANGES = {
    "hash_in_key": (f"ORDER BY {_KEY}", "ORDER BY (session_id, tenant_id, occurred_us, event_id)"),
    "coordinates_out_of_key": (
        f"ORDER BY {_KEY}",
        "ORDER BY (session_id, tenant_id, occurred_us, event_id, record_key, kafka_partition, kafka_offset)",
    ),
    "first_write_wins": ("ReplacingMergeTree(ver)", "ReplacingMergeTree"),
}


def prepare_database(database: ClickHouseConfig) -> None:
    """Switch the mechanism off in the database, if it is one of the tables."""
    name = without()
    with ClickHouse(database) as clickhouse:
        if name == "final_view":
            clickhouse.command(
                "CREATE OR REPLACE VIEW events AS SELECT * REPLACE (event_id AS event_id), occurred_at FROM event_log"
            )
        elif name in _TABLE_CHANGES:
            ((text,),) = clickhouse.query("SHOW CREATE TABLE event_log").rows
            old, new = _TABLE_CHANGES[name]
            assert old in text, f"expected {old!r} in {text}"
            clickhouse.command("DROP TABLE event_log")
            clickhouse.command(str(text).replace(old, new))
