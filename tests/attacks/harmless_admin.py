"""What an administrator of ClickHouse does every day, and changes nothing of the log: verify must call it intact."""

import datetime as dt

from attack import Who, on_copy, on_history
from attack_scene import HOUR_MS, AttackedLog, Commit, History, Keys
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


@on_copy(Who.NOBODY)
def incidents_are_noted_again(log: AttackedLog) -> None:
    log.sql(
        "INSERT INTO event_incidents SELECT * REPLACE (now64(3) AS noticed_at) FROM event_incidents"
    )


@on_copy(Who.NOBODY)
def a_record_comes_five_times_and_copies_are_merged(log: AttackedLog) -> None:
    """Twice in one partition, in the same millisecond, and in another one later."""
    event = claimed("legacy", "p9", 400, session_id="old")
    log.store_more(Commit({2: [event, event, event]}, {2: 6}, LATER_MS))
    log.store_more(Commit({1: [event, event]}, {1: 9}, LATER_MS - 7))
    log.sql("OPTIMIZE TABLE event_log FINAL")


@on_copy(Who.NOBODY)
def an_erased_copy_is_merged(log: AttackedLog) -> None:
    log.erase("kafka_partition = 0 AND kafka_offset = 11")
    log.sql("OPTIMIZE TABLE event_log FINAL")


@on_copy(Who.NOBODY)
def a_partition_is_moved_to_another_table_and_back(log: AttackedLog) -> None:
    name = log.one(
        "SELECT any(partition_id) FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'event_log' AND active"
    )
    log.sql("CREATE TABLE elsewhere AS event_log")
    log.sql(f"ALTER TABLE event_log MOVE PARTITION ID '{name}' TO TABLE elsewhere")
    log.sql(f"ALTER TABLE elsewhere MOVE PARTITION ID '{name}' TO TABLE event_log")


@on_copy(Who.NOBODY)
def old_checkpoints_and_subtrees_are_thinned(log: AttackedLog) -> None:
    log.sql(f"ALTER TABLE log_checkpoints DELETE WHERE kafka_partition = 0 AND size = 7 {NOW}")
    log.sql("TRUNCATE TABLE log_nodes")


@on_copy(Who.NOBODY)
def a_stranger_offers_an_anchor(log: AttackedLog) -> None:
    """Only one that the log has signed is taken."""
    log.sql("INSERT INTO log_anchor_offers VALUES (4, 'a stranger''s', now64(3))")
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def a_policy_is_renewed_twice(log: AttackedLog) -> None:
    first = log.policy()
    second = log.policy(version=2, previous=first.sha256)
    third = log.policy(version=3, previous=second.sha256, anchor_seconds=90)
    for policy in (second, third):
        log.publish(policy)
    log.anchor_under(third)
    log.judge(third)


@on_history(Who.NOBODY)
def events_are_of_every_year_and_name(history: History, keys: Keys) -> History:
    odd = [
        ("a/b\n\\", "t'\"`", dt.datetime(1, 1, 1, tzinfo=dt.UTC), {"input_tokens": 2**63}),
        ("\x00\x01", "\U0001f600", dt.datetime(2024, 12, 31, tzinfo=dt.UTC), {"cost_usd": 0.1}),
        ("x" * 200, "z", dt.datetime(2036, 1, 1, tzinfo=dt.UTC), {"duration_ms": -0.0}),
        ("s", "t", dt.datetime(9999, 12, 31, tzinfo=dt.UTC), {"cost_usd": "12.5"}),
    ]
    events = [
        claimed(
            "legacy", "p9", 500 + n, session_id=name, tenant_id=tenant, occurred_at=at, data=data
        )
        for n, (name, tenant, at, data) in enumerate(odd)
    ]
    return History((*history.commits, Commit({2: events}, {2: 6}, LATER_MS)))
