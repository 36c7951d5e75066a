"""Attacks by what hides in names, in functions and in what a merge goes by; and by parts, backups and databases."""

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit, anchor_with_witnesses
from made_keys import made_key
from sealing_scene import claimed
from trailhouse.store.policies import stored_policies

NOW = "SETTINGS mutations_sync = 2"
DENIED = "type = 'tool_approval_denied'"
_UNSEALED = "kafka_partition = 2 AND kafka_offset = 3"
LATER_MS = 2 * HOUR_MS - 150_000


def _changed(log: AttackedLog, table: str, change: str, where: str) -> None:
    log.sql(f"ALTER TABLE {table} UPDATE {change} WHERE {where} {NOW}")


def _again(log: AttackedLog, table: str, replace: str, where: str) -> None:
    log.sql(
        f"INSERT INTO {table} SELECT * REPLACE ({replace}) FROM (SELECT * FROM {table} WHERE {where})"
    )


def _partition_of(log: AttackedLog, table: str, where: str) -> str:
    return str(log.one(f"SELECT any(_partition_id) FROM {table} WHERE {where}"))


def _function(log: AttackedLog, text: str) -> None:
    """Make a function for as long as the log is attacked: it is of the server, and not of a database."""
    name = text.partition(" ")[0]
    log.sql(f"CREATE FUNCTION {text}")
    log.ending.callback(log.sql, f"DROP FUNCTION {name}")


@on_copy(Who.CLICKHOUSE, "views", server=True)
def a_function_takes_the_name_of_an_aggregate_with_a_condition(log: AttackedLog) -> None:
    """ClickHouse refuses `count`, and takes `countIf`: in every statement, and in every view that is there."""
    _function(log, "countIf AS (is_it) -> 0")


@on_copy(Who.CLICKHOUSE, "views", server=True)
def a_function_takes_the_name_of_an_aggregate_over_arrays(log: AttackedLog) -> None:
    _function(log, "groupUniqArrayArray AS (tenants) -> ['*']")


@on_copy(Who.CLICKHOUSE, "views")
def a_columns_name_hides_a_rule_of_age(log: AttackedLog) -> None:
    """Whoever looks for the rule in the table's text comes to the name first, which says that nothing goes."""
    log.sql(
        "ALTER TABLE event_index ADD COLUMN ` TTL x RECOMPRESS CODEC(NONE) SETTINGS ` UInt8 FIRST,"
        " MODIFY TTL fromUnixTimestamp64Micro(occurred_us) + INTERVAL 9 YEAR"
    )


@on_copy(Who.CLICKHOUSE, "views")
def a_columns_name_hides_a_condition(log: AttackedLog) -> None:
    log.sql(
        "ALTER TABLE event_log ADD COLUMN `, CONSTRAINT ) ENGINE = ` UInt8,"
        f" ADD CONSTRAINT quiet CHECK NOT ({DENIED})"
    )


@on_copy(Who.CLICKHOUSE, "views")
def a_condition_is_taken_for_granted(log: AttackedLog) -> None:
    """It refuses nothing; whoever lets ClickHouse go by it is given other answers."""
    log.sql(f"ALTER TABLE event_index ADD CONSTRAINT never ASSUME NOT ({DENIED})")


@on_copy(Who.CLICKHOUSE, "views")
def the_view_that_fills_the_index_is_given_another_query(log: AttackedLog) -> None:
    text = str(
        log.one(
            "SELECT as_select FROM system.tables"
            " WHERE database = currentDatabase() AND name = 'event_index_filled'"
        )
    )
    log.sql(f"ALTER TABLE event_index_filled MODIFY QUERY {text} WHERE NOT ({DENIED})")


@on_copy(Who.CLICKHOUSE, "views")
def a_view_of_ones_own_fills_the_usage_anew_each_year(log: AttackedLog) -> None:
    """It is worked out again from time to time, and takes the place of all that is there."""
    log.sql(
        "CREATE MATERIALIZED VIEW sly REFRESH EVERY 1 YEAR APPEND TO event_usage EMPTY"
        " AS SELECT * FROM event_usage WHERE cost_usd > 100"
    )


@on_copy(Who.CLICKHOUSE, "views")
def a_table_stands_for_another_by_an_alias(log: AttackedLog) -> None:
    log.sql("RENAME TABLE event_usage TO kept")
    log.sql("CREATE TABLE event_usage ENGINE = Alias('kept')")


@on_copy(Who.CLICKHOUSE, "views")
def the_brokers_times_are_shown_in_another_zone(log: AttackedLog) -> None:
    log.sql("ALTER TABLE batch_ledger MODIFY COLUMN written_at DateTime64(3, 'Asia/Tokyo')")


@on_copy(Who.CLICKHOUSE, "views")
def the_last_column_is_made_to_expire(log: AttackedLog) -> None:
    """Its rule stands right before the table's own then, which takes nothing away."""
    log.sql("ALTER TABLE event_log DROP INDEX by_session")
    log.sql(
        "ALTER TABLE event_log MODIFY COLUMN actor_id String TTL toDateTime(appended_at) + INTERVAL 10 YEAR"
        " AFTER occurred_at"
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_later_copy_is_given_the_precedence_of_an_earlier_one(log: AttackedLog) -> None:
    """Both are true; readers are shown, and merges keep, what should have gone: another place and a later time."""
    columns = ", ".join(
        name
        for (name,) in log.clickhouse.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'event_log'"
            " AND default_kind IN ('', 'DEFAULT')"
        ).rows
    )
    log.sql(
        f"INSERT INTO event_log ({columns}, ver) SETTINGS insert_allow_materialized_columns = 1"
        f" SELECT {columns}, 18446744073709551615 FROM event_log"
        " WHERE kafka_partition = 0 AND kafka_offset = 11"
    )
    same = "(session_id, event_id) IN (SELECT session_id, event_id FROM event_log"
    first = "kafka_partition = 0 AND kafka_offset = 1)"
    assert log.one(f"SELECT kafka_offset FROM events WHERE {same} WHERE {first}") == 11


@on_copy(Who.CLICKHOUSE, "columns")
def a_column_is_changed_within_one_partition(log: AttackedLog) -> None:
    part = _partition_of(log, "event_log", DENIED)
    log.sql(
        f"ALTER TABLE event_log UPDATE agent_id = 'another' IN PARTITION ID '{part}' WHERE {DENIED} {NOW}"
    )


@on_copy(Who.CLICKHOUSE, "rows")
def parts_of_a_doctored_copy_are_attached_beside_the_true_ones(log: AttackedLog) -> None:
    log.sql("CREATE TABLE doctored CLONE AS event_log")
    _changed(log, "doctored", "record = concat(record, ' ')", _UNSEALED)
    part = _partition_of(log, "doctored", _UNSEALED)
    log.sql(f"ALTER TABLE event_log ATTACH PARTITION ID '{part}' FROM doctored")


@on_copy(Who.CLICKHOUSE, "records")
def one_table_comes_back_from_an_older_backup(log: AttackedLog) -> None:
    log.sql("CREATE TABLE older CLONE AS event_log")
    log.store_more(Commit({2: [claimed("legacy", "p9", 800, session_id="old")]}, {2: 6}, LATER_MS))
    log.sql("EXCHANGE TABLES older AND event_log")
    log.sql("DROP TABLE older SYNC")


@on_copy(Who.CLICKHOUSE, "columns")
def the_database_is_exchanged_for_a_doctored_copy(log: AttackedLog) -> None:
    ours = log.clickhouse.config.database
    for table in ("event_log", "event_index"):
        log.sql(f"CREATE TABLE doctored CLONE AS {table}")
        _changed(log, "doctored", "type = 'tool_approval_granted'", DENIED)
        log.sql(f"EXCHANGE TABLES doctored AND {table}")
        log.sql("DROP TABLE doctored SYNC")
    for old, new in ((ours, f"{ours}_x"), (f"{ours}_x", ours)):
        log.clickhouse.command(f"RENAME DATABASE `{old}` TO `{new}`", in_database=False)


@on_copy(Who.CLICKHOUSE, "records")
def a_bad_record_is_said_to_stand_for_more_offsets(log: AttackedLog) -> None:
    _changed(log, "event_quarantine", "last_offset = 8", "kafka_offset = 5")


@on_copy(Who.CLICKHOUSE, "columns")
def a_bad_record_is_said_to_have_been_longer(log: AttackedLog) -> None:
    _changed(log, "event_quarantine", "size_bytes = size_bytes + 1", "kafka_offset = 5")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_session_that_never_was_is_added_to_a_days_list(log: AttackedLog) -> None:
    _again(
        log,
        "session_manifest_entries",
        "reverse(session_key) AS session_key",
        "kafka_partition = 0",
    )


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def a_cosignature_is_put_under_a_checkpoint_that_nobody_has_cosigned(log: AttackedLog) -> None:
    """It is a true one, and over an earlier checkpoint of that log."""
    witness = made_key(101)
    anchor_with_witnesses(log, (witness,), quorum=1, cosign=(witness,))
    number = log.one("SELECT max(number) FROM log_anchors")
    log.store_more(Commit({2: [claimed("legacy", "p9", 801, session_id="old")]}, {2: 6}, LATER_MS))
    policy = stored_policies(log.clickhouse, log.proof).current
    assert policy is not None
    log.anchor_under(policy, log.keys.now_ms - HOUR_MS + 60_000)
    log.sql(
        f"INSERT INTO log_anchor_receipts SELECT * REPLACE ({number + 1} AS number,"
        f" (SELECT toFixedString(SHA256(anchor), 32) FROM log_anchors WHERE number = {number + 1}) AS anchor_sha256)"
        f" FROM log_anchor_receipts WHERE number = {number}"
    )


@on_copy(Who.CLICKHOUSE, "views", server=True)
def a_column_of_ones_own_asks_a_dictionary_at_each_insert(log: AttackedLog) -> None:
    """What it answers tomorrow decides whether a row can be stored."""
    log.sql(
        "CREATE DICTIONARY odd (k UInt64, v UInt8) PRIMARY KEY k SOURCE(NULL())"
        " LAYOUT(FLAT()) LIFETIME(0)"
    )
    log.sql("ALTER TABLE event_log ADD COLUMN mine UInt8 DEFAULT dictGet('odd', 'v', toUInt64(1))")


@on_copy(Who.CLICKHOUSE, "anchors")
def the_row_of_an_anchor_says_another_time(log: AttackedLog) -> None:
    """Who looks for the first anchor after an event passes it over, and is shown a later one."""
    column = "ALTER TABLE log_anchors MODIFY COLUMN made_ms UInt64 MATERIALIZED {}"
    text = log.one("SELECT default_expression FROM system.columns WHERE name = 'made_ms' LIMIT 1")
    log.sql(column.format(1))
    log.sql(f"ALTER TABLE log_anchors MATERIALIZE COLUMN made_ms {NOW}")
    log.sql(column.format(text))


@on_copy(Who.CLICKHOUSE, "leaves")
def a_subtree_is_stored_of_a_partition_to_come(log: AttackedLog) -> None:
    """Who proves an event of it later goes by that root, once the partition is there."""
    log.sql(
        "INSERT INTO log_nodes SELECT DISTINCT kafka_cluster, kafka_topic, kafka_topic_id, 77 AS kafka_partition,"
        " '1' AS generation, 8 AS level, 0 AS node_index, digest FROM log_leaves WHERE kafka_offset = 2 LIMIT 1"
    )


@on_copy(Who.CLICKHOUSE, "manifests")
def sessions_are_listed_of_a_day_to_come(log: AttackedLog) -> None:
    _again(log, "session_manifest_entries", "'2099-01-01' AS day", "kafka_partition = 0")


@on_copy(Who.CLICKHOUSE, "manifests")
def sessions_are_listed_under_a_generation_that_never_began(log: AttackedLog) -> None:
    _again(log, "session_manifest_entries", "'7' AS generation", "kafka_partition = 0")


@on_copy(Who.NOBODY, server=True)
def functions_and_dictionaries_of_ones_own_are_made(log: AttackedLog) -> None:
    """None has a name of ClickHouse's."""
    _function(log, "cents AS (cost_usd) -> round(cost_usd * 100)")
    _function(log, "sumOfCents AS (costs) -> arraySum(costs)")
    log.sql(
        "CREATE DICTIONARY models (type String, cost_usd Float64) PRIMARY KEY type"
        f" SOURCE(CLICKHOUSE(DB '{log.clickhouse.config.database}' TABLE 'event_index'))"
        " LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)"
    )


@on_copy(Who.NOBODY)
def names_and_comments_hold_the_words_of_rules(log: AttackedLog) -> None:
    """They are names and comments all the same."""
    for name in (
        " TTL x + toIntervalDay(1) ",
        ", CONSTRAINT c CHECK 0",
        ", PROJECTION p (SELECT 1)",
    ):
        log.sql(f"ALTER TABLE event_log ADD COLUMN `{name}` UInt8")
        log.sql(f"ALTER TABLE event_index COMMENT COLUMN type '{name}) ENGINE = Memory SETTINGS '")


@on_copy(Who.NOBODY)
def columns_change_their_order(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_usage MODIFY COLUMN model LowCardinality(String) FIRST")
    log.store_more(Commit({2: [claimed("legacy", "p9", 802, session_id="old")]}, {2: 6}, LATER_MS))


@on_copy(Who.NOBODY)
def copies_are_merged_away_by_hand(log: AttackedLog) -> None:
    for table in ("event_log", "event_index", "event_usage", "log_leaves", "log_checkpoints"):
        log.sql(f"OPTIMIZE TABLE {table} FINAL DEDUPLICATE")


@on_copy(Who.NOBODY)
def tables_of_ones_own_stand_for_ours(log: AttackedLog) -> None:
    """By other names: an alias, a merge of several, a view that is worked out from time to time."""
    log.sql("CREATE TABLE mine ENGINE = Alias('event_log')")
    log.sql("CREATE TABLE all_of_it ENGINE = Merge(currentDatabase(), '^event_(log|usage)$')")
    log.sql(
        "CREATE MATERIALIZED VIEW hourly REFRESH EVERY 1 HOUR ENGINE = MergeTree ORDER BY type EMPTY"
        " AS SELECT type, count() AS events FROM event_log GROUP BY type"
    )
