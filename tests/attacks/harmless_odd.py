"""What looks like an attack and is none: signatures of strangers, rights and quotas, packing, folders by links."""

import os
import shutil

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit
from sealing_scene import claimed

LATER_MS = 2 * HOUR_MS - 150_000


@on_copy(Who.NOBODY)
def a_stranger_signs_policies_and_checkpoints_too(log: AttackedLog) -> None:
    """A line of a name that nobody knows is passed over."""
    signature = "A" * 91 + "="
    line = f"— stranger.example/log {signature}"
    for table, column in (("log_policies", "policy"), ("log_checkpoints", "checkpoint")):
        log.sql(
            f"INSERT INTO {table} SELECT * REPLACE (concat({column}, '{line}\\n') AS {column}) FROM {table}"
        )


@on_copy(Who.NOBODY)
def how_rows_are_kept_is_set_otherwise(log: AttackedLog) -> None:
    """Packing, syncing, and that a block which was inserted before is passed over."""
    log.anchor_under(log.policy())
    log.sql("ALTER TABLE event_log REMOVE TTL")
    for table in ("event_log", "log_leaves", "batch_ledger"):
        log.sql(
            f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 100,"
            " fsync_after_insert = 0, merge_max_block_size = 512"
        )
    commit = Commit({2: [claimed("legacy", "p9", 5, session_id="old")]}, {2: 6}, LATER_MS)
    log.store_more(commit)
    log.store_more(commit)
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def copies_are_taken_out_by_all_their_columns(log: AttackedLog) -> None:
    for table in ("event_log", "event_index", "batch_ledger", "log_leaves", "event_standings"):
        log.sql(f"INSERT INTO {table} SELECT * FROM {table}")
        log.sql(f"OPTIMIZE TABLE {table} FINAL DEDUPLICATE")


@on_copy(Who.NOBODY)
def detached_copies_of_parts_are_dropped(log: AttackedLog) -> None:
    parts = log.clickhouse.query(
        "SELECT DISTINCT partition_id FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'event_log' AND active"
    ).rows
    for (part,) in parts:
        log.sql("CREATE TABLE same CLONE AS event_log")
        log.sql(f"ALTER TABLE event_log DETACH PARTITION ID '{part}'")
        log.sql(f"ALTER TABLE event_log ATTACH PARTITION ID '{part}' FROM same")
        log.sql(
            f"ALTER TABLE event_log DROP DETACHED PARTITION ID '{part}' SETTINGS allow_drop_detached = 1"
        )
        log.sql("DROP TABLE same SYNC")


@on_copy(Who.NOBODY)
def the_folder_of_anchors_is_reached_by_a_link(log: AttackedLog) -> None:
    """A backup program has touched the files, and links stand for some of them."""
    true = log.folder.with_name("true")
    shutil.move(log.folder, true)
    log.folder.symlink_to(true)
    for each in true.rglob("*.anchor"):
        os.utime(each, (0, 0))
    last = max(true.rglob("*.anchor"))
    shutil.move(last, true / "moved away")
    last.symlink_to(true / "moved away")


@on_copy(Who.NOBODY)
def views_of_ones_own_stand_on_ours(log: AttackedLog) -> None:
    log.sql("CREATE VIEW mine AS SELECT type, count() AS n FROM events GROUP BY type")
    log.sql("CREATE VIEW by_name AS SELECT * FROM events WHERE type = {type:String}")
    log.sql("CREATE TABLE hourly (type String, n UInt64) ENGINE = SummingMergeTree ORDER BY type")
    log.sql(
        "CREATE MATERIALIZED VIEW counted TO hourly AS SELECT type, count() AS n FROM event_log GROUP BY type"
    )
    log.anchor_under(log.policy())
    log.store_more(Commit({2: [claimed("legacy", "p9", 5, session_id="old")]}, {2: 6}, LATER_MS))
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def checkpoints_are_said_to_be_of_other_times(log: AttackedLog) -> None:
    """When a row was written says nothing of when it was signed."""
    log.sql(
        "INSERT INTO log_checkpoints SELECT * REPLACE (written_at + INTERVAL 1 DAY AS written_at) FROM log_checkpoints"
    )
