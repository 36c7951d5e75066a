"""Attacks by objects and moments that are rarely thought of: views that write later, changes that are still waiting."""

import shutil

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit
from sealing_scene import claimed
from waiting import eventually

NOW = "SETTINGS mutations_sync = 2"
DENIED = "type = 'tool_approval_denied'"
LATER_MS = 2 * HOUR_MS - 150_000


def _text_of(log: AttackedLog, name: str) -> str:
    return str(
        log.one(
            "SELECT create_table_query FROM system.tables"
            f" WHERE database = currentDatabase() AND name = '{name}'"
        )
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_change_is_asked_for_and_nobody_waits_for_it(log: AttackedLog) -> None:
    """ClickHouse answers at once, and writes the parts anew in its own time."""
    log.sql(
        f"ALTER TABLE event_log UPDATE type = 'tool_approval_granted' WHERE {DENIED} SETTINGS mutations_sync = 0"
    )
    _until_done(log)


@on_copy(Who.CLICKHOUSE, "records")
def a_deletion_is_asked_for_and_nobody_waits_for_it(log: AttackedLog) -> None:
    log.sql(f"ALTER TABLE event_log DELETE WHERE {DENIED} SETTINGS mutations_sync = 0")
    _until_done(log)


def _until_done(log: AttackedLog) -> None:
    """Until then the log is as it was, for readers as well."""
    left = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done"
    eventually(
        lambda: not log.clickhouse.query(left).rows[0][0], "the change in ClickHouse's own time"
    )


@on_copy(Who.CLICKHOUSE, "views")
def a_view_of_another_database_adds_to_the_index_each_year(log: AttackedLog) -> None:
    ours = log.clickhouse.config.database
    other = f"{ours}_far"
    log.also_drops.append(other)
    log.clickhouse.command(f"CREATE DATABASE `{other}`", in_database=False)
    log.sql(
        f"CREATE MATERIALIZED VIEW `{other}`.`a TO b` REFRESH EVERY 1 YEAR APPEND TO `{ours}`.event_index EMPTY"
        f" AS SELECT * FROM `{ours}`.event_index LIMIT 0"
    )


@on_copy(Who.CLICKHOUSE, "views", server=True)
def a_dictionary_stands_for_a_view(log: AttackedLog) -> None:
    log.sql(
        "CREATE TABLE kept ENGINE = MergeTree ORDER BY version AS SELECT * FROM policy_services"
    )
    log.sql("DROP VIEW services")
    log.sql(
        "CREATE DICTIONARY services (version UInt32, service String DEFAULT '') PRIMARY KEY version"
        " SOURCE(CLICKHOUSE(TABLE 'kept')) LAYOUT(FLAT()) LIFETIME(0)"
    )


@on_copy(Who.CLICKHOUSE, "views")
def a_table_joins_in_memory_in_place_of_ours(log: AttackedLog) -> None:
    log.sql("RENAME TABLE policy_services TO kept")
    log.sql("CREATE TABLE policy_services AS kept ENGINE = Log")
    log.sql("INSERT INTO policy_services SELECT * FROM kept")


@on_copy(Who.CLICKHOUSE, "views")
def a_rule_sums_rows_up_in_the_index(log: AttackedLog) -> None:
    """The engine of a table is another of its family: what has the same key is added up."""
    text = _text_of(log, "event_usage")
    log.sql("RENAME TABLE event_usage TO kept")
    log.sql(text.replace("ReplacingMergeTree", "SummingMergeTree", 1))
    log.sql("INSERT INTO event_usage SELECT * FROM kept")


@on_copy(Who.CLICKHOUSE, "views")
def the_usage_is_filled_of_costs_that_are_rounded(log: AttackedLog) -> None:
    text = _text_of(log, "event_usage_filled")
    log.sql("DROP VIEW event_usage_filled")
    log.sql(
        text.replace(" cost_usd", " round(cost_usd, 0) AS cost_usd", 1)
        if " cost_usd," in text
        else text + " AND 1"
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_column_is_added_and_takes_the_place_of_ours(log: AttackedLog) -> None:
    """Ours is renamed, and the new one has its name, type and place, and each row's default."""
    log.sql("ALTER TABLE event_log RENAME COLUMN agent_id TO agent_id_of_then")
    log.sql(
        "ALTER TABLE event_log ADD COLUMN agent_id LowCardinality(String) CODEC(ZSTD(1)) AFTER parent_run_id"
    )
    log.sql("ALTER TABLE event_log DROP COLUMN agent_id_of_then")
    log.sql(f"ALTER TABLE event_log UPDATE agent_id = 'nobody' WHERE {DENIED} {NOW}")


@on_copy(Who.CLICKHOUSE, "columns")
def parts_of_the_index_come_from_a_doctored_copy(log: AttackedLog) -> None:
    log.sql("CREATE TABLE doctored CLONE AS event_index")
    log.sql(f"ALTER TABLE doctored UPDATE tool_name = 'read' WHERE tool_name = 'pay' {NOW}")
    for (part,) in log.clickhouse.query(
        "SELECT DISTINCT partition_id FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'doctored' AND active"
    ).rows:
        log.sql(f"ALTER TABLE event_index REPLACE PARTITION ID '{part}' FROM doctored")


@on_copy(Who.CLICKHOUSE, "leaves")
def leaves_come_from_a_doctored_copy(log: AttackedLog) -> None:
    log.sql("CREATE TABLE doctored CLONE AS log_leaves")
    log.sql("ALTER TABLE doctored DELETE WHERE kafka_partition = 1 AND kafka_offset = 2 " + NOW)
    log.sql("ALTER TABLE log_leaves REPLACE PARTITION tuple() FROM doctored")


@on_copy(Who.CLICKHOUSE, "records")
def a_part_is_taken_away_with_its_files(log: AttackedLog) -> None:
    part = log.one(
        "SELECT any(name) FROM system.parts WHERE database = currentDatabase() AND table = 'event_log' AND active"
    )
    log.sql(f"ALTER TABLE event_log DROP PART '{part}'")


@on_copy(Who.CLICKHOUSE, "records")
def rows_expire_at_once_and_the_rule_is_taken_back(log: AttackedLog) -> None:
    """The table is as the migrations make it again, and its rows are gone."""
    log.sql("CREATE TABLE rules AS event_log")
    log.sql(
        f"ALTER TABLE event_log MODIFY TTL toDateTime(appended_at) + INTERVAL 1 SECOND DELETE WHERE {DENIED}"
        " SETTINGS materialize_ttl_after_modify = 0"
    )
    log.sql("OPTIMIZE TABLE event_log FINAL")
    log.sql(f"ALTER TABLE event_log MATERIALIZE TTL {NOW}")
    log.sql(
        "ALTER TABLE event_log MODIFY TTL toDateTime(appended_at) + INTERVAL 1 HOUR RECOMPRESS CODEC(ZSTD(6))"
        " SETTINGS materialize_ttl_after_modify = 0"
    )
    log.sql("DROP TABLE rules")


@on_copy(Who.CLICKHOUSE, "columns")
def a_columns_values_expire_and_the_rule_is_taken_back(log: AttackedLog) -> None:
    log.sql(
        "ALTER TABLE event_log MODIFY COLUMN tool_name LowCardinality(String)"
        " TTL toDateTime(appended_at) + INTERVAL 1 SECOND SETTINGS materialize_ttl_after_modify = 0"
    )
    log.sql(f"ALTER TABLE event_log MATERIALIZE TTL {NOW}")
    log.sql("OPTIMIZE TABLE event_log FINAL")
    log.sql("ALTER TABLE event_log MODIFY COLUMN tool_name REMOVE TTL")


@on_copy(Who.CLICKHOUSE, "rows")
def an_event_is_stored_once_more_with_another_id(log: AttackedLog) -> None:
    log.sql(
        "INSERT INTO event_log SELECT * REPLACE (toUUID('00000000-0000-4000-8000-000000000001') AS event_id,"
        f" kafka_offset + 1 AS kafka_offset) FROM event_log WHERE {DENIED}"
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_zero_is_given_a_sign(log: AttackedLog) -> None:
    """Both are equal to whoever compares, and neither to whoever is shown the text of it."""
    event = claimed("legacy", "p9", 950, session_id="old", data={"duration_ms": 0.0, "n": 1})
    log.store_more(Commit({2: [event]}, {2: 6}, LATER_MS))
    log.sql(f"ALTER TABLE event_log UPDATE duration_ms = -0.0 WHERE duration_ms = 0 {NOW}")


@on_copy(Who.CLICKHOUSE, "anchors")
def an_anchor_is_stored_with_a_blank_at_its_end(log: AttackedLog) -> None:
    log.sql(
        "INSERT INTO log_anchors (number, anchor)"
        " SELECT number, concat(anchor, '\\n') FROM log_anchors WHERE number = 2"
    )
    log.sql(
        "ALTER TABLE log_anchors DELETE WHERE number = 2 AND NOT endsWith(anchor, '\\n\\n') " + NOW
    )


@on_copy(Who.CLICKHOUSE, "policy")
def a_policy_is_stored_under_another_version(log: AttackedLog) -> None:
    log.sql("INSERT INTO log_policies SELECT version + 7, policy FROM log_policies")
    log.sql(f"ALTER TABLE log_policies DELETE WHERE version = 1 {NOW}")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_days_entries_are_stored_of_another_partition(log: AttackedLog) -> None:
    log.sql(
        "INSERT INTO session_manifest_entries SELECT * REPLACE (1::UInt16 AS kafka_partition)"
        " FROM (SELECT * FROM session_manifest_entries WHERE kafka_partition = 0)"
    )


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_kept_anchor_is_kept_under_a_later_number_too(log: AttackedLog) -> None:
    """The folder says that there is one more than there is."""
    newest = max(log.folder.rglob("*.anchor"))
    number = int(newest.name.partition(".")[0])
    shutil.copy(newest, newest.with_name(newest.name.replace(f"{number}.", f"{number + 1}.")))
