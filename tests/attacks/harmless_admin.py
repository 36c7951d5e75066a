"""What an administrator of ClickHouse does every day, and changes nothing of the log: verify must call it intact."""

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit
from sealing_scene import claimed

NOW = "SETTINGS mutations_sync = 2"
LATER_MS = 2 * HOUR_MS - 150_000


@on_copy(Who.NOBODY)
def columns_of_ones_own_are_added(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log ADD COLUMN region LowCardinality(String) DEFAULT 'eu'")
    log.sql("ALTER TABLE event_log ADD COLUMN on_day Date ALIAS toDate(occurred_at)")
    log.sql("ALTER TABLE event_index ADD COLUMN note String COMMENT 'ours, DEFAULT ''x'''")
    log.store_more(Commit({2: [claimed("legacy", "p9", 300, session_id="old")]}, {2: 6}, LATER_MS))


@on_copy(Who.NOBODY)
def tables_and_views_are_explained(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log MODIFY COMMENT 'ours'")
    log.sql("ALTER TABLE events MODIFY COMMENT 'all that happened'")


@on_copy(Who.NOBODY)
def tables_of_ones_own_lie_beside(log: AttackedLog) -> None:
    log.sql(
        "CREATE TABLE mine (x UInt64, at DateTime) ENGINE = MergeTree ORDER BY x TTL at + INTERVAL 1 DAY"
    )
    log.sql("CREATE TABLE both AS event_log ENGINE = Merge(currentDatabase(), '^event_log$')")
    log.sql("CREATE VIEW costs AS SELECT sum(cost_usd) AS cost FROM token_usage")


@on_copy(Who.NOBODY)
def what_is_worked_out_is_worked_out_again(log: AttackedLog) -> None:
    log.sql(f"ALTER TABLE event_log MATERIALIZE COLUMN ver {NOW}")
    log.sql(f"ALTER TABLE event_log MATERIALIZE TTL {NOW}")
    log.sql("OPTIMIZE TABLE event_index FINAL DEDUPLICATE")


@on_copy(Who.NOBODY)
def offers_of_anchors_have_expired(log: AttackedLog) -> None:
    log.sql("TRUNCATE TABLE log_anchor_offers")


@on_copy(Who.NOBODY)
def parts_are_frozen_for_a_backup(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log FREEZE WITH NAME 'nightly'")
