"""Attacks by what the engine offers to move, exchange and stand in for; and what of it an administrator does daily."""

from attack import Who, on_copy
from attack_scene import AttackedLog
from trailhouse.proof.anchor import anchor_name
from trailhouse.proof.erasure import hold_key
from trailhouse.proof.keys import note_signed

NOW = "SETTINGS mutations_sync = 2"
_UNSEALED = "kafka_partition = 2 AND kafka_offset = 3"


def _again(log: AttackedLog, table: str, replace: str, where: str) -> None:
    log.sql(
        f"INSERT INTO {table} SELECT * REPLACE ({replace}) FROM (SELECT * FROM {table} WHERE {where})"
    )


def _moved(log: AttackedLog, table: str, replace: str, where: str) -> None:
    """Change columns of the key, which no mutation can: by other rows, and the first ones deleted."""
    log.sql(f"CREATE TABLE moved AS {table}")
    log.sql(f"INSERT INTO moved SELECT * REPLACE ({replace}) FROM {table} WHERE {where}")
    log.sql(f"ALTER TABLE {table} DELETE WHERE {where} {NOW}")
    log.sql(f"INSERT INTO {table} SELECT * FROM moved")
    log.sql("DROP TABLE moved")


def _swapped(log: AttackedLog, table: str) -> None:
    other = "if(kafka_partition = 1, 2, 1)::UInt16 AS kafka_partition"
    _moved(log, table, other, "kafka_partition IN (1, 2)")


@on_copy(Who.CLICKHOUSE, "leaves")
def the_leaves_of_two_partitions_change_places(log: AttackedLog) -> None:
    _swapped(log, "log_leaves")


@on_copy(Who.CLICKHOUSE, "rows")
def the_rows_of_two_partitions_change_places(log: AttackedLog) -> None:
    _swapped(log, "event_log")


@on_copy(Who.CLICKHOUSE, "leaves")
def the_checkpoints_of_two_partitions_change_places(log: AttackedLog) -> None:
    _swapped(log, "log_checkpoints")


@on_copy(Who.CLICKHOUSE, "anchors", "leaves")
def two_partitions_change_places_in_every_table(log: AttackedLog) -> None:
    """Rows, leaves, checkpoints and ledger fit each other then; the names that were signed do not."""
    for table in ("event_log", "log_leaves", "log_checkpoints", "log_nodes", "batch_ledger"):
        _swapped(log, table)


@on_copy(Who.CLICKHOUSE, "records")
def the_rows_of_two_offsets_change_places(log: AttackedLog) -> None:
    other = "if(kafka_offset = 2, 3, 2)::UInt64 AS kafka_offset"
    _moved(log, "event_log", other, "kafka_partition = 2 AND kafka_offset IN (2, 3)")


@on_copy(Who.CLICKHOUSE, "leaves")
def the_leaves_of_two_offsets_change_places(log: AttackedLog) -> None:
    other = "if(kafka_offset = 2, 3, 2)::UInt64 AS kafka_offset"
    _moved(log, "log_leaves", other, "kafka_partition = 2 AND kafka_offset IN (2, 3)")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_leaf_is_said_to_stand_for_no_value(log: AttackedLog) -> None:
    _moved(log, "log_leaves", "2::UInt8 AS kind", _UNSEALED)


@on_copy(Who.CLICKHOUSE, "records")
def a_partition_is_replaced_by_that_of_another_table(log: AttackedLog) -> None:
    """The parts are another table's, as after a restore of the wrong backup."""
    log.sql("CREATE TABLE doctored CLONE AS event_log")
    log.sql(f"ALTER TABLE doctored UPDATE record = concat(record, ' ') WHERE {_UNSEALED} {NOW}")
    name = log.one(f"SELECT any(_partition_id) FROM doctored WHERE {_UNSEALED}")
    log.sql(f"ALTER TABLE event_log REPLACE PARTITION ID '{name}' FROM doctored")


@on_copy(Who.CLICKHOUSE, "views")
def two_tables_exchange_their_names(log: AttackedLog) -> None:
    log.sql("EXCHANGE TABLES event_index AND event_usage")


@on_copy(Who.CLICKHOUSE, "views")
def two_views_exchange_their_names(log: AttackedLog) -> None:
    log.sql("EXCHANGE TABLES events AND events_as_stored")


@on_copy(Who.CLICKHOUSE, "views")
def a_table_is_kept_in_memory_alone(log: AttackedLog) -> None:
    """What is there is true, until the server stops."""
    log.sql("RENAME TABLE event_usage TO kept")
    log.sql("CREATE TABLE event_usage AS kept ENGINE = Memory")
    log.sql("INSERT INTO event_usage SELECT * FROM kept")


@on_copy(Who.CLICKHOUSE, "views")
def a_table_reads_another_by_a_filter(log: AttackedLog) -> None:
    log.sql("RENAME TABLE event_index TO kept")
    log.sql("CREATE TABLE event_index AS kept ENGINE = Merge(currentDatabase(), '^kept$')")


@on_copy(Who.CLICKHOUSE, "views")
def a_projection_answers_in_a_tables_place(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_index MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild'")
    log.sql("ALTER TABLE event_index ADD PROJECTION quick (SELECT type, count() GROUP BY type)")


@on_copy(Who.CLICKHOUSE, "views")
def the_order_of_a_table_is_changed(log: AttackedLog) -> None:
    """Two copies of one record are two rows then, which no merge makes one."""
    keys = log.one(
        "SELECT sorting_key FROM system.tables WHERE database = currentDatabase() AND name = 'event_log'"
    )
    log.sql(f"ALTER TABLE event_log ADD COLUMN z UInt8, MODIFY ORDER BY ({keys}, z)")


@on_copy(Who.CLICKHOUSE, "views")
def a_view_gives_an_answer_cut_short(log: AttackedLog) -> None:
    """Its text has settings of its own at the end: another one is no word more in what it selects."""
    text = log.one(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'token_usage'"
    )
    assert " SETTINGS " in text.rpartition(" FINAL")[2]
    log.sql("DROP VIEW token_usage")
    log.sql(f"{text}, max_block_size = 1, max_rows_to_read = 1, read_overflow_mode = 'break'")


@on_copy(Who.CLICKHOUSE, "views")
def one_migration_is_said_to_have_been_another(log: AttackedLog) -> None:
    log.sql(
        "INSERT INTO schema_migrations SELECT * REPLACE (repeat('0', 64) AS sha256) FROM schema_migrations"
        " ORDER BY number LIMIT 1"
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_row_of_usage_is_made_of_an_event_without_any(log: AttackedLog) -> None:
    key = log.one(f"SELECT hex(record_key) FROM event_log WHERE {_UNSEALED}")
    _again(log, "event_usage", f"unhex('{key}') AS record_key", "cost_usd > 0")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_sessions_root_in_a_days_list_is_another(log: AttackedLog) -> None:
    _moved(log, "session_manifest_entries", "reverse(root) AS root", "kafka_partition = 0")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_days_list_is_moved_to_another_day(log: AttackedLog) -> None:
    _moved(log, "session_manifests", "'2001-01-01' AS day", "kafka_partition = 0")


@on_copy(Who.CLICKHOUSE, "anchors")
def an_anchor_is_stored_under_another_number(log: AttackedLog) -> None:
    _again(log, "log_anchors", "9 AS number", "number = 2")


@on_copy(Who.CLICKHOUSE, "erasures")
def an_order_is_stored_under_another_number(log: AttackedLog) -> None:
    log.order("hold", 1, hold_key("session", "s0"))
    log.anchor_under(log.policy())
    _moved(log, "log_erasures", "2 AS number", "number = 1")


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def two_anchors_of_one_number_are_signed(log: AttackedLog) -> None:
    """The other one says that a log was smaller, under another root."""
    text = log.one("SELECT anchor FROM log_anchors WHERE number = 3").partition("\n\n")[0]
    lines = text.split("\n")
    origin, size, root = lines[7].split(" ")
    lines[7] = f"{origin} {int(size) - 1} {root}"
    content = note_signed("\n".join(lines) + "\n", log.keys.log, anchor_name(log.proof.log_name))
    log.sql("INSERT INTO log_anchors VALUES (3, {text:String})", text=content)


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_kept_anchor_is_emptied(log: AttackedLog) -> None:
    _kept_as(log, b"")


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_kept_anchor_is_cut_short(log: AttackedLog) -> None:
    newest = max(log.folder.rglob("*.anchor"))
    _kept_as(log, newest.read_bytes()[:-40])


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_byte_of_a_kept_anchor_is_changed(log: AttackedLog) -> None:
    content = bytearray(max(log.folder.rglob("*.anchor")).read_bytes())
    content[60] ^= 1
    _kept_as(log, bytes(content))


def _kept_as(log: AttackedLog, content: bytes) -> None:
    newest = max(log.folder.rglob("*.anchor"))
    newest.unlink()
    newest.write_bytes(content)


@on_copy(Who.NOBODY)
def tables_are_detached_and_attached_again(log: AttackedLog) -> None:
    for table in ("event_log", "log_leaves", "event_index"):
        log.sql(f"DETACH TABLE {table}")
        log.sql(f"ATTACH TABLE {table}")


@on_copy(Who.NOBODY)
def a_copy_of_the_log_lies_in_another_database(log: AttackedLog) -> None:
    ours = log.clickhouse.config.database
    log.clickhouse.command(f"CREATE DATABASE `{ours}_copy`", in_database=False)
    log.also_drops.append(f"{ours}_copy")
    for table in ("event_log", "log_leaves", "log_checkpoints"):
        log.sql(f"CREATE TABLE `{ours}_copy`.{table} CLONE AS {table}")


@on_copy(Who.NOBODY)
def checkpoints_anchors_and_policies_are_stored_twice(log: AttackedLog) -> None:
    """As by a worker whose insert was answered too late, and by a backup that is put beside."""
    for table in ("log_checkpoints", "log_anchors", "log_policies", "log_nodes", "event_incidents"):
        log.sql(f"INSERT INTO {table} SELECT * FROM {table}")


@on_copy(Who.NOBODY)
def two_anchors_are_made_at_once(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def a_mutation_waits_that_changes_nothing(log: AttackedLog) -> None:
    log.sql("SYSTEM STOP MERGES event_index")
    log.sql("ALTER TABLE event_index UPDATE type = type WHERE 1 SETTINGS mutations_sync = 0")


@on_copy(Who.NOBODY)
def every_part_is_written_anew(log: AttackedLog) -> None:
    for table in ("event_log", "log_leaves", "log_checkpoints", "batch_ledger"):
        log.sql(f"ALTER TABLE {table} REWRITE PARTS {NOW}")


@on_copy(Who.NOBODY)
def tables_are_copied_exchanged_and_dropped(log: AttackedLog) -> None:
    """As one does to move them to another disk."""
    for table in ("event_log", "log_leaves"):
        log.sql(f"CREATE TABLE moving AS {table}")
        log.sql(f"INSERT INTO moving SELECT * FROM {table}")
        log.sql(f"EXCHANGE TABLES moving AND {table}")
        log.sql("DROP TABLE moving")
