"""What the engine offers and an administrator uses: nothing of the log is changed by it, and nothing must be told."""

from attack import Who, on_copy, on_history
from attack_scene import HOUR_MS, AttackedLog, Commit, History, Keys
from sealing_scene import claimed

NOW = "SETTINGS mutations_sync = 2"
LATER_MS = 2 * HOUR_MS - 150_000


@on_copy(Who.NOBODY)
def statistics_are_kept_of_columns(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log ADD STATISTICS kafka_offset, type TYPE uniq")
    log.sql(f"ALTER TABLE event_log MATERIALIZE STATISTICS kafka_offset, type {NOW}")


@on_copy(Who.NOBODY)
def tables_are_detached_for_good_and_attached_again(log: AttackedLog) -> None:
    for table in ("event_log", "log_checkpoints", "events"):
        log.sql(f"DETACH TABLE {table} PERMANENTLY")
        log.sql(f"ATTACH TABLE {table}")


@on_copy(Who.NOBODY)
def a_frozen_backup_is_taken_away(log: AttackedLog) -> None:
    log.sql("ALTER TABLE log_leaves FREEZE WITH NAME 'weekly'")
    log.sql("ALTER TABLE log_leaves UNFREEZE WITH NAME 'weekly'")


@on_copy(Who.NOBODY)
def the_database_is_renamed_and_named_back(log: AttackedLog) -> None:
    ours = log.clickhouse.config.database
    for old, new in ((ours, f"{ours}_x"), (f"{ours}_x", ours)):
        log.clickhouse.command(f"RENAME DATABASE `{old}` TO `{new}`", in_database=False)


@on_copy(Who.NOBODY)
def others_read_the_log_by_tables_of_their_own(log: AttackedLog) -> None:
    ours = log.clickhouse.config.database
    theirs = f"{ours}_theirs"
    log.clickhouse.command(f"CREATE DATABASE `{theirs}`", in_database=False)
    log.also_drops.append(theirs)
    log.sql(f"CREATE VIEW `{theirs}`.events AS SELECT * FROM events")
    log.sql(f"CREATE TABLE `{theirs}`.event_log (type String) ENGINE = MergeTree ORDER BY type")
    log.sql(
        f"CREATE MATERIALIZED VIEW `{theirs}`.v TO `{theirs}`.event_log AS SELECT type FROM event_log"
    )
    log.store_more(Commit({2: [claimed("legacy", "p9", 600, session_id="old")]}, {2: 6}, LATER_MS))


@on_copy(Who.NOBODY)
def parts_of_a_copy_are_attached_beside_the_true_ones(log: AttackedLog) -> None:
    """Each row is there twice then, as after a backup that was restored beside what is there."""
    for table in ("event_log", "event_index", "log_leaves"):
        log.sql(f"CREATE TABLE again CLONE AS {table}")
        for (name,) in log.clickhouse.query(
            "SELECT DISTINCT partition_id FROM system.parts WHERE database = currentDatabase() AND table = 'again'"
            " AND active"
        ).rows:
            log.sql(f"ALTER TABLE {table} ATTACH PARTITION ID '{name}' FROM again")
        log.sql("DROP TABLE again SYNC")


@on_copy(Who.NOBODY)
def a_column_is_renamed_and_named_back(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_usage RENAME COLUMN model TO model_of_then")
    log.sql("ALTER TABLE event_usage RENAME COLUMN model_of_then TO model")


@on_copy(Who.NOBODY)
def nothing_is_deleted_and_updated(log: AttackedLog) -> None:
    log.sql("DELETE FROM event_log WHERE kafka_offset = 12345678")
    log.sql(f"ALTER TABLE event_log APPLY DELETED MASK {NOW}")
    log.sql(f"ALTER TABLE event_usage UPDATE model = model WHERE 1 {NOW}")
    log.sql(f"ALTER TABLE event_log CLEAR INDEX by_session {NOW}")


@on_copy(Who.NOBODY)
def a_worker_stores_more_than_other_tables_take(log: AttackedLog) -> None:
    log.sql(
        "ALTER TABLE event_log MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1"
    )
    log.store_more(Commit({2: [claimed("legacy", "p9", 700, session_id="old")]}, {2: 6}, LATER_MS))
    log.sql("OPTIMIZE TABLE event_log FINAL")


@on_copy(Who.NOBODY)
def an_order_names_what_never_was_here(log: AttackedLog) -> None:
    """As one for every log of the house."""
    log.order("erase", 1, bytes(range(32)))
    log.anchor_under(log.policy())


@on_history(Who.NOBODY)
def two_events_have_one_id(history: History, keys: Keys) -> History:
    first = claimed("legacy", "p9", 800, session_id="old")
    second = claimed("legacy", "p9", 801, session_id="old", event_id=first.event_id, data={"n": 1})
    return History((*history.commits, Commit({2: [first, second]}, {2: 6}, LATER_MS)))


@on_history(Who.NOBODY)
def tombstones_of_others_come_between(history: History, keys: Keys) -> History:
    events = [claimed("legacy", "p9", 900, session_id="old"), None, None, b"{}"]
    return History((*history.commits, Commit({2: events, 1: [None]}, {2: 6, 1: 9}, LATER_MS)))
