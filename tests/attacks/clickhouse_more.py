"""More attacks by an administrator of ClickHouse: on what stands beside the log, its copies, its orders, its names."""

from attack import Who, on_copy
from attack_scene import AttackedLog, Commit
from sealing_scene import claimed
from trailhouse.proof.erasure import hold_key

NOW = "SETTINGS mutations_sync = 2"
DENIED = "type = 'tool_approval_denied'"
_UNSEALED = "kafka_partition = 2 AND kafka_offset = 3"


def _again(log: AttackedLog, table: str, replace: str, where: str) -> None:
    log.sql(
        f"INSERT INTO {table} SELECT * REPLACE ({replace}) FROM (SELECT * FROM {table} WHERE {where})"
    )


@on_copy(Who.CLICKHOUSE, "views")
def a_column_is_made_to_expire(log: AttackedLog) -> None:
    log.sql(
        "ALTER TABLE event_log MODIFY COLUMN actor_id String TTL toDateTime(appended_at) + INTERVAL 10 YEAR"
    )


@on_copy(Who.CLICKHOUSE, "views")
def a_view_of_another_database_writes_into_the_log(log: AttackedLog) -> None:
    ours = log.clickhouse.config.database
    log.clickhouse.command(f"CREATE DATABASE `{ours}_sly`", in_database=False)
    log.sql(
        f"CREATE MATERIALIZED VIEW `{ours}_sly`.sly TO event_index AS SELECT * FROM `{ours}`.event_usage"
    )
    log.also_drops.append(f"{ours}_sly")


@on_copy(Who.CLICKHOUSE, "views")
def a_view_with_a_blank_in_its_name_writes_into_the_index(log: AttackedLog) -> None:
    log.sql("CREATE MATERIALIZED VIEW `a sly one` TO event_index AS SELECT * FROM event_usage")


@on_copy(Who.CLICKHOUSE, "views")
def a_column_is_worked_out_and_not_stored(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_usage MODIFY COLUMN model MATERIALIZED 'another'")


@on_copy(Who.CLICKHOUSE, "views")
def a_condition_refuses_rows(log: AttackedLog) -> None:
    log.sql(f"ALTER TABLE event_log ADD CONSTRAINT quiet CHECK NOT ({DENIED})")


@on_copy(Who.CLICKHOUSE, "views")
def a_table_is_replaced_by_a_view(log: AttackedLog) -> None:
    log.sql("RENAME TABLE event_index TO kept")
    log.sql("CREATE VIEW event_index AS SELECT * FROM kept")


@on_copy(Who.CLICKHOUSE, "rows")
def a_record_is_put_into_quarantine_above_every_leaf(log: AttackedLog) -> None:
    _again(log, "event_quarantine", "900 AS kafka_offset, 900 AS last_offset", "kafka_offset = 5")


@on_copy(Who.CLICKHOUSE, "rows")
def a_record_is_put_into_quarantine_of_another_topic(log: AttackedLog) -> None:
    _again(log, "event_quarantine", "'another' AS kafka_topic", "kafka_offset = 5")


@on_copy(Who.CLICKHOUSE, "rows")
def events_are_said_to_be_of_another_topic(log: AttackedLog) -> None:
    _again(log, "event_log", "'another' AS kafka_topic, 'odd' AS session_id", _UNSEALED)


@on_copy(Who.CLICKHOUSE, "rows")
def events_are_said_to_be_of_another_cluster(log: AttackedLog) -> None:
    _again(log, "event_log", "'another' AS kafka_cluster, 'odd' AS session_id", _UNSEALED)


@on_copy(Who.CLICKHOUSE, "columns")
def a_quarantined_record_is_changed_and_said_to_be_cut(log: AttackedLog) -> None:
    """Of one that is too large only head and tail are kept, so that its hash cannot be worked out again."""
    log.sql(
        "ALTER TABLE event_quarantine UPDATE record = 'another', size_bytes = 10000000"
        f" WHERE kafka_offset = 5 {NOW}"
    )


@on_copy(Who.CLICKHOUSE, "columns")
def an_erased_event_is_given_an_actor(log: AttackedLog) -> None:
    log.erase(_UNSEALED)
    for table in ("event_log", "event_index"):
        log.sql(f"ALTER TABLE {table} UPDATE agent_id = 'somebody' WHERE {_row(log)} {NOW}")


@on_copy(Who.CLICKHOUSE, "records")
def the_row_of_an_erased_event_is_deleted(log: AttackedLog) -> None:
    log.erase(_UNSEALED)
    for table in ("event_index", "event_log"):
        log.sql(f"ALTER TABLE {table} DELETE WHERE {_row(log)} {NOW}")


def _row(log: AttackedLog) -> str:
    key = log.one(f"SELECT hex(record_key) FROM event_log WHERE {_UNSEALED}")
    return f"record_key = unhex('{key}')"


@on_copy(Who.CLICKHOUSE, "erasures")
def a_hold_is_taken_away(log: AttackedLog) -> None:
    """The next order names what was done since, so that its number is missing."""
    log.order("hold", 1, hold_key("session", "s0"))
    log.order("hold", 2, hold_key("session", "s1"))
    log.sql(f"ALTER TABLE log_erasures DELETE WHERE number = 1 {NOW}")


@on_copy(Who.CLICKHOUSE, "ledger")
def batches_of_another_partition_are_made_up(log: AttackedLog) -> None:
    _again(log, "batch_ledger", "77 AS kafka_partition", "stored_rows > 0")


@on_copy(Who.CLICKHOUSE, "ledger")
def everything_but_the_ledger_is_removed(log: AttackedLog) -> None:
    tables = log.clickhouse.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    ).rows
    for (name,) in tables:
        if name not in ("schema_migrations", "log_policies", "batch_ledger"):
            log.sql(f"TRUNCATE TABLE `{name}`")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_generation_is_made_up(log: AttackedLog) -> None:
    """A new one begins where Kafka has shown other records: so is a second record said to have been at an offset."""
    generation = "'2-0123456789abcdef0123456789abcdef' AS generation"
    _again(log, "log_leaves", generation, _UNSEALED)


@on_copy(Who.CLICKHOUSE, "leaves", key=True)
def a_copy_of_the_log_stands_for_it_before_the_anchors(log: AttackedLog) -> None:
    """Under another cluster's name, which no anchor has: the true history is there, and another one beside it."""
    tables = ("log_leaves", "log_checkpoints", "event_log", "batch_ledger", "event_incidents")
    for table in (*tables, "event_quarantine"):
        _again(log, table, "'aaa' AS kafka_cluster", "kafka_partition = 2")
    for table in tables:
        log.sql(
            f"ALTER TABLE {table} DELETE WHERE kafka_partition = 2 AND kafka_cluster != 'aaa' {NOW}"
        )
    events = [claimed("legacy", "p9", n, session_id="odd") for n in range(6)]
    log.store_more(Commit({2: events}, {2: 0}, 40 * 3_600_000))


@on_copy(Who.ALL, "anchors", needs="anchors")
def the_newest_anchor_is_deleted_where_it_is_kept(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    newest = max(log.folder.rglob("*.anchor"))
    newest.unlink()


@on_copy(Who.ALL, "anchors", needs="anchors")
def every_anchor_is_deleted_where_they_are_kept(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    for each in log.folder.rglob("*.anchor"):
        each.unlink()


@on_copy(Who.ALL, "anchors", needs="anchors")
def two_kept_anchors_change_places(log: AttackedLog) -> None:
    first, second, *_ = sorted(log.folder.rglob("*.anchor"))
    one, other = first.read_bytes(), second.read_bytes()
    for path, content in ((first, other), (second, one)):
        path.unlink()
        path.write_bytes(content)


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_kept_anchor_in_the_middle_is_deleted(log: AttackedLog) -> None:
    sorted(log.folder.rglob("*.anchor"))[1].unlink()
