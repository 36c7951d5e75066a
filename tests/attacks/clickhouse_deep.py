"""Attacks on what is rarely looked at: single columns, shapes that stay alike, what a worker goes on from, receipts."""

from attack import Who, on_copy
from attack_scene import AttackedLog

NOW = "SETTINGS mutations_sync = 2"
_UNSEALED = "kafka_partition = 2 AND kafka_offset = 3"
DENIED = "type = 'tool_approval_denied'"


def _changed(log: AttackedLog, table: str, change: str, where: str) -> None:
    log.sql(f"ALTER TABLE {table} UPDATE {change} WHERE {where} {NOW}")


def _again(log: AttackedLog, table: str, replace: str, where: str) -> None:
    log.sql(
        f"INSERT INTO {table} SELECT * REPLACE ({replace}) FROM (SELECT * FROM {table} WHERE {where})"
    )


def _text_of(log: AttackedLog, name: str) -> str:
    return str(
        log.one(
            "SELECT create_table_query FROM system.tables"
            f" WHERE database = currentDatabase() AND name = '{name}'"
        )
    )


@on_copy(Who.CLICKHOUSE, "columns")
def two_columns_exchange_their_names(log: AttackedLog) -> None:
    """Names and types are as before."""
    for old, new in (
        ("input_tokens", "x"),
        ("output_tokens", "input_tokens"),
        ("x", "output_tokens"),
    ):
        log.sql(f"ALTER TABLE event_log RENAME COLUMN {old} TO {new}")


@on_copy(Who.CLICKHOUSE, "columns")
def a_column_is_cleared(log: AttackedLog) -> None:
    partition = log.one(
        "SELECT any(partition_id) FROM system.parts WHERE database = currentDatabase() AND active"
        " AND table = 'event_log'"
    )
    log.sql(f"ALTER TABLE event_log CLEAR COLUMN tool_name IN PARTITION ID '{partition}' {NOW}")


@on_copy(Who.CLICKHOUSE, "columns")
def a_row_is_patched_beside_its_part(log: AttackedLog) -> None:
    """By a lightweight update, whose values lie in a part of their own."""
    log.sql(
        "ALTER TABLE event_log MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1"
    )
    log.sql("OPTIMIZE TABLE event_log FINAL")
    log.sql(f"UPDATE event_log SET type = 'tool_approval_granted' WHERE {DENIED}")
    assert log.one("SELECT countIf(type = 'tool_approval_granted') FROM event_log") == 1


@on_copy(Who.CLICKHOUSE, "columns")
def a_missing_number_of_tokens_is_said_to_be_none(log: AttackedLog) -> None:
    _changed(log, "event_log", "output_tokens = 0", "type = 'token_usage_updated'")


@on_copy(Who.CLICKHOUSE, "columns")
def the_hash_of_a_quarantined_record_is_changed(log: AttackedLog) -> None:
    _changed(log, "event_quarantine", "record_hash = toFixedString('x', 32)", "kafka_offset = 5")


@on_copy(Who.CLICKHOUSE, "rows")
def a_record_without_a_value_is_given_an_empty_one(log: AttackedLog) -> None:
    _changed(log, "event_quarantine", "record = ''", "kafka_offset = 6")


@on_copy(Who.CLICKHOUSE, "records")
def a_record_without_a_value_is_taken_away(log: AttackedLog) -> None:
    log.sql(f"ALTER TABLE event_quarantine DELETE WHERE kafka_offset = 6 {NOW}")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_leaf_is_of_a_kind_that_there_is_not(log: AttackedLog) -> None:
    _again(log, "log_leaves", "7::UInt8 AS kind", _UNSEALED)


@on_copy(Who.CLICKHOUSE, "leaves")
def a_topic_is_renamed_in_every_table(log: AttackedLog) -> None:
    tables = ("event_log", "event_quarantine", "log_leaves", "log_nodes", "log_checkpoints")
    for table in (*tables, "batch_ledger", "event_incidents"):
        log.sql(f"CREATE TABLE moved AS {table}")
        log.sql(f"INSERT INTO moved SELECT * REPLACE ('other' AS kafka_topic) FROM {table}")
        log.sql(f"EXCHANGE TABLES moved AND {table}")
        log.sql("DROP TABLE moved")


@on_copy(Who.CLICKHOUSE, "leaves")
def what_a_worker_goes_on_from_is_forged(log: AttackedLog) -> None:
    """The subtrees beside a signed checkpoint: no one has signed these."""
    log.sql(
        "INSERT INTO log_checkpoints SELECT * REPLACE (arrayMap(x -> toFixedString('x', 32), roots) AS roots,"
        " now64(3) + INTERVAL 1 DAY AS written_at) FROM log_checkpoints WHERE kafka_partition = 2"
    )
    log.sql(
        f"ALTER TABLE log_checkpoints DELETE WHERE kafka_partition = 2 AND written_at < now64(3) {NOW}"
    )


@on_copy(Who.CLICKHOUSE, "views")
def the_view_that_fills_the_index_leaves_one_type_out(log: AttackedLog) -> None:
    text = _text_of(log, "event_index_filled")
    log.sql("DROP VIEW event_index_filled")
    log.sql(f"{text} WHERE NOT ({DENIED})")


@on_copy(Who.CLICKHOUSE, "views")
def a_view_reads_by_the_rights_of_who_asks(log: AttackedLog) -> None:
    """So that rows are hidden by what binds a reader, and not the view's owner."""
    log.sql("ALTER TABLE events MODIFY SQL SECURITY INVOKER")


@on_copy(Who.CLICKHOUSE, "views")
def a_view_is_detached(log: AttackedLog) -> None:
    log.sql("DETACH TABLE approvals PERMANENTLY")


@on_copy(Who.CLICKHOUSE, "views")
def a_view_becomes_a_table_of_what_it_said(log: AttackedLog) -> None:
    log.sql("CREATE TABLE kept ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM approvals")
    log.sql("DROP VIEW approvals")
    log.sql("RENAME TABLE kept TO approvals")


@on_copy(Who.CLICKHOUSE, "views")
def what_is_inserted_waits_in_a_buffer(log: AttackedLog) -> None:
    """Until the server stops, or for ever."""
    log.sql("RENAME TABLE event_usage TO kept")
    log.sql(
        "CREATE TABLE event_usage AS kept ENGINE ="
        " Buffer(currentDatabase(), 'kept', 1, 100000, 1000000, 10000000, 100000000, 10000000, 100000000)"
    )


@on_copy(Who.CLICKHOUSE, "views")
def a_number_is_kept_less_exactly(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log MODIFY COLUMN duration_ms Nullable(Float32)")


@on_copy(Who.CLICKHOUSE, "views")
def a_later_migration_is_said_to_have_been_made(log: AttackedLog) -> None:
    """No reader and no worker of this version starts then."""
    _again(log, "schema_migrations", "99 AS number, 'later' AS name", "number = 1")


@on_copy(Who.CLICKHOUSE, "views")
def a_rule_of_age_gathers_rows(log: AttackedLog) -> None:
    log.sql(
        "ALTER TABLE event_usage MODIFY TTL fromUnixTimestamp64Micro(occurred_us) + INTERVAL 9 YEAR"
        " WHERE cost_usd > 0"
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_view_of_ones_own_fills_the_index_by_way_of_another_table(log: AttackedLog) -> None:
    """The view writes into a table that passes on to the index; what came there is no event of the log."""
    log.sql(
        "CREATE TABLE hop AS event_index ENGINE = Buffer(currentDatabase(), 'event_index', 1, 0, 0, 0, 0, 0, 0)"
    )
    log.sql("CREATE MATERIALIZED VIEW sly TO hop AS SELECT * FROM event_usage")
    log.sql(
        "INSERT INTO hop SELECT * REPLACE ('odd' AS type, occurred_us + 1 AS occurred_us) FROM event_index LIMIT 1"
    )
    log.sql("OPTIMIZE TABLE hop")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_days_list_is_stored_with_other_limits(log: AttackedLog) -> None:
    _again(log, "session_manifests", "end_offset + 1 AS end_offset", "kafka_partition = 0")


@on_copy(Who.CLICKHOUSE, "erasures")
def an_order_is_stored_with_another_reason(log: AttackedLog) -> None:
    """Its signature fits no more."""
    log.erase(_UNSEALED)
    log.sql(
        "INSERT INTO log_erasures SELECT * REPLACE (replaceOne(erasure, 'asked for', 'ordered to') AS erasure)"
        " FROM log_erasures"
    )


@on_copy(Who.CLICKHOUSE, "standings")
def a_standing_is_one_that_there_is_not(log: AttackedLog) -> None:
    _changed(log, "event_standings", "standing = 'proven'", "1")
