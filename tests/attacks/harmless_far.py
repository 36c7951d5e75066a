"""What administrators do now and then with tables, folders and clocks, and what changes nothing of the log."""

import shutil
import time

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit

NOW = "SETTINGS mutations_sync = 2"
LATER_MS = 2 * HOUR_MS - 150_000


def _moved_clock(log: AttackedLog, seconds: float) -> None:
    """Have the auditor's own clock go wrong by *seconds*."""
    true = time.time
    time.time = lambda: true() + seconds

    def set_right() -> None:
        time.time = true

    log.ending.callback(set_right)


@on_copy(Who.NOBODY)
def the_auditors_clock_is_a_day_ahead(log: AttackedLog) -> None:
    _moved_clock(log, 86_400)


@on_copy(Who.NOBODY, server=True)
def a_dropped_table_is_taken_back(log: AttackedLog) -> None:
    for table in ("event_index", "log_checkpoints"):
        log.sql(f"DROP TABLE {table}")
        log.sql(f"UNDROP TABLE {table}")


@on_copy(Who.NOBODY)
def the_database_is_detached_and_attached_again(log: AttackedLog) -> None:
    ours = log.clickhouse.config.database
    log.clickhouse.command(f"DETACH DATABASE `{ours}`", in_database=False)
    log.clickhouse.command(f"ATTACH DATABASE `{ours}`", in_database=False)


@on_copy(Who.NOBODY)
def columns_are_packed_by_settings_of_their_own(log: AttackedLog) -> None:
    log.sql(
        "ALTER TABLE event_log MODIFY COLUMN run_id MODIFY SETTING max_compress_block_size = 65536"
    )
    log.sql("ALTER TABLE event_log MODIFY COLUMN record CODEC(ZSTD(3))")
    log.sql(
        "ALTER TABLE event_log MODIFY SETTING max_parts_in_total = 5000, ttl_only_drop_parts = 1"
    )


@on_copy(Who.NOBODY)
def an_index_of_ones_own_is_added_and_worked_out(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log ADD INDEX by_agent agent_id TYPE set(100) GRANULARITY 2")
    log.sql(f"ALTER TABLE event_log MATERIALIZE INDEX by_agent {NOW}")
    log.sql("ALTER TABLE event_index ADD INDEX `TTL x` (type) TYPE bloom_filter GRANULARITY 1")


@on_copy(Who.NOBODY)
def each_partition_is_replaced_by_itself(log: AttackedLog) -> None:
    for table in ("event_log", "event_index"):
        log.sql("CREATE TABLE same CLONE AS " + table)
        for (part,) in log.clickhouse.query(
            "SELECT DISTINCT partition_id FROM system.parts"
            " WHERE database = currentDatabase() AND table = 'same' AND active"
        ).rows:
            log.sql(f"ALTER TABLE {table} REPLACE PARTITION ID '{part}' FROM same")
        log.sql("DROP TABLE same SYNC")


@on_copy(Who.NOBODY, server=True)
def caches_are_dropped_and_merges_stopped(log: AttackedLog) -> None:
    for what in ("DROP MARK CACHE", "DROP UNCOMPRESSED CACHE", "DROP QUERY CACHE", "FLUSH LOGS"):
        log.sql(f"SYSTEM {what}")
    log.sql("SYSTEM STOP MERGES event_log")
    log.sql("SYSTEM STOP TTL MERGES event_log")
    log.sql("INSERT INTO event_log SELECT * FROM event_log")


@on_copy(Who.NOBODY)
def a_copy_of_the_folder_lies_within_it(log: AttackedLog) -> None:
    shutil.copytree(log.folder, log.folder.parent / "copy")
    shutil.move(log.folder.parent / "copy", log.folder / "of yesterday")
    (log.folder / "lost+found").mkdir()
    (log.folder / ".000000009.anchor.tmp").write_bytes(b"cut o")


@on_copy(Who.NOBODY)
def a_projection_comes_and_goes(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild'")
    log.sql("ALTER TABLE event_log ADD PROJECTION mine (SELECT type, count() GROUP BY type)")
    log.sql(f"ALTER TABLE event_log MATERIALIZE PROJECTION mine {NOW}")
    log.sql(f"ALTER TABLE event_log DROP PROJECTION mine {NOW}")


@on_copy(Who.NOBODY)
def a_users_tables_are_filled_each_hour_of_ours(log: AttackedLog) -> None:
    """A view that is refreshed reads the log into a table of its own; its name holds what one into ours would say."""
    log.sql("CREATE TABLE mine (n UInt64) ENGINE = MergeTree ORDER BY n")
    log.sql(
        "CREATE MATERIALIZED VIEW `x TO event_index` REFRESH EVERY 1 HOUR APPEND TO mine EMPTY"
        " AS SELECT count() AS n FROM event_log"
    )


@on_copy(Who.NOBODY)
def a_log_starts_with_a_null_and_ends_with_a_bad_record(log: AttackedLog) -> None:
    log.anchor_under(log.policy())  # else what is stored would wait until this case had its turn
    log.store_more(Commit({3: [None, b"{", None, b""]}, {3: 7}, LATER_MS))
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def receipts_are_stored_twice(log: AttackedLog) -> None:
    log.sql("INSERT INTO log_anchor_receipts SELECT * FROM log_anchor_receipts")
    log.sql("INSERT INTO log_anchor_offers SELECT * FROM log_anchor_offers")
