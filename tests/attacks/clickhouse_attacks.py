"""Attacks by an administrator of ClickHouse who does not hold the log's key: any row, table and view."""

import time

import msgspec

from attack import Who, on_copy
from attack_scene import HOUR_MS, LOG, OPERATOR, AttackedLog, Commit
from kafka_records import Record
from made_keys import made_key
from proven import ORIGIN
from sealing_scene import claimed
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.blocks import event_block
from trailhouse.proof.anchor import anchor_name, parse_anchor
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.erasure import Order, erasure_name
from trailhouse.proof.keys import FileSigner, note_signed
from trailhouse.store.erasures import store_order

NOW = "SETTINGS mutations_sync = 2"
DENIED = "type = 'tool_approval_denied'"
OLD = "session_id = 'old'"
_KEY_OF_DENIED = f"SELECT record_key FROM event_log WHERE {DENIED}"
STRANGER = made_key(77)
LATER_MS = 2 * HOUR_MS - 150_000
_PART = "SELECT any({}) FROM system.parts WHERE database = currentDatabase() AND table = 'event_log' AND active"
_AT_SIX = "kafka_partition = 2 AND size = 6"


def _changed(log: AttackedLog, table: str, change: str, where: str) -> None:
    """Change columns that are not of the key in place."""
    log.sql(f"ALTER TABLE {table} UPDATE {change} WHERE {where} {NOW}")


def _deleted(log: AttackedLog, table: str, where: str) -> None:
    log.sql(f"ALTER TABLE {table} DELETE WHERE {where} {NOW}")


def _copied(log: AttackedLog, table: str, replace: str, where: str) -> None:
    """Insert a row like one that is there, with other values."""
    log.sql(
        f"INSERT INTO {table} SELECT * REPLACE ({replace}) FROM (SELECT * FROM {table} WHERE {where} LIMIT 1)"
    )


def _add_checkpoint(log: AttackedLog, text: str) -> None:
    log.sql(
        "INSERT INTO log_checkpoints SELECT * REPLACE ({text:String} AS checkpoint)"
        f" FROM (SELECT * FROM log_checkpoints WHERE {_AT_SIX} LIMIT 1)",
        text=text,
    )


@on_copy(Who.CLICKHOUSE, "rows")
def a_denial_becomes_a_grant_by_an_insert_alone(log: AttackedLog) -> None:
    """The row of the same key with the earlier time wins, and the merge destroys the other."""
    _copied(
        log,
        "event_log",
        "'tool_approval_granted' AS type, appended_at - INTERVAL 1 SECOND AS appended_at",
        DENIED,
    )
    log.sql("OPTIMIZE TABLE event_log FINAL")


@on_copy(Who.CLICKHOUSE, "columns")
def a_type_is_changed_in_place(log: AttackedLog) -> None:
    _changed(log, "event_log", "type = 'tool_approval_granted'", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def an_actor_is_put_into_a_column(log: AttackedLog) -> None:
    _changed(log, "event_log", "actor_id = 'somebody'", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def a_cost_is_changed_in_the_log(log: AttackedLog) -> None:
    _changed(log, "event_log", "cost_usd = 0", "cost_usd > 0")


@on_copy(Who.CLICKHOUSE, "columns")
def an_event_is_given_to_another_producer(log: AttackedLog) -> None:
    _changed(log, "event_log", "producer_id = 'p2'", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def a_number_is_changed(log: AttackedLog) -> None:
    _changed(log, "event_log", "seq = seq + 100", DENIED)


@on_copy(Who.CLICKHOUSE, "rows")
def a_record_is_changed_in_place(log: AttackedLog) -> None:
    _changed(log, "event_log", "record = replaceOne(record, 'denied', 'granted')", DENIED)


@on_copy(Who.CLICKHOUSE, "rows")
def a_blank_is_put_into_a_record(log: AttackedLog) -> None:
    _changed(log, "event_log", "record = concat(record, ' ')", OLD)


@on_copy(Who.CLICKHOUSE, "records")
def a_record_is_blanked_without_an_order(log: AttackedLog) -> None:
    _changed(log, "event_log", "record = ''", DENIED)


@on_copy(Who.CLICKHOUSE, "records")
def a_row_is_deleted(log: AttackedLog) -> None:
    _deleted(log, "event_log", DENIED)


@on_copy(Who.CLICKHOUSE, "records")
def a_row_is_deleted_lightly(log: AttackedLog) -> None:
    log.sql(f"DELETE FROM event_log WHERE {DENIED}")


@on_copy(Who.CLICKHOUSE, "records")
def an_event_is_deleted_from_every_table_of_events(log: AttackedLog) -> None:
    for table in ("event_log", "event_index", "event_usage"):
        _deleted(log, table, "type = 'token_usage_updated'")


@on_copy(Who.CLICKHOUSE, "records")
def a_year_is_dropped(log: AttackedLog) -> None:
    partition = log.one(_PART.format("partition_id"))
    log.sql(f"ALTER TABLE event_log DROP PARTITION ID '{partition}'")


@on_copy(Who.CLICKHOUSE, "records")
def a_part_is_detached_and_stays_so(log: AttackedLog) -> None:
    part = log.one(_PART.format("name"))
    log.sql(f"ALTER TABLE event_log DETACH PART '{part}'")


@on_copy(Who.CLICKHOUSE, "records")
def the_table_is_exchanged_for_another(log: AttackedLog) -> None:
    log.sql("CREATE TABLE other CLONE AS event_log")
    _deleted(log, "other", DENIED)
    log.sql("RENAME TABLE event_log TO gone, other TO event_log")
    log.sql("DROP TABLE gone")


@on_copy(Who.CLICKHOUSE, "rows")
def a_row_is_added(log: AttackedLog) -> None:
    _copied(
        log,
        "event_log",
        "replaceOne(record, 'old', 'odd') AS record, 'odd' AS session_id, 900 AS kafka_offset",
        OLD,
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_copy_of_a_row_is_given_to_another_tenant(log: AttackedLog) -> None:
    _copied(log, "event_log", "'b' AS tenant_id", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def a_row_is_moved_to_another_session(log: AttackedLog) -> None:
    _copied(log, "event_log", "'elsewhere' AS session_id", DENIED)
    _deleted(log, "event_log", f"{DENIED} AND session_id != 'elsewhere'")


@on_copy(Who.CLICKHOUSE, "rows")
def the_broker_time_of_a_row_is_changed(log: AttackedLog) -> None:
    _copied(log, "event_log", "appended_at - INTERVAL 1 DAY AS appended_at", DENIED)
    _deleted(log, "event_log", f"{DENIED} AND appended_at > now() - INTERVAL 1 DAY")


@on_copy(Who.CLICKHOUSE, "rows")
def the_offset_of_a_row_is_changed(log: AttackedLog) -> None:
    """Not while the true one is there: a merge would leave either of both."""
    log.sql(
        "CREATE TABLE moved ENGINE = Memory AS SELECT * REPLACE (kafka_offset + 1000 AS kafka_offset)"
        f" FROM event_log WHERE {DENIED} LIMIT 1"
    )
    _deleted(log, "event_log", DENIED)
    log.sql("INSERT INTO event_log SELECT * FROM moved")
    log.sql("DROP TABLE moved")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_row_and_its_leaf_are_deleted(log: AttackedLog) -> None:
    _deleted(
        log,
        "log_leaves",
        f"kafka_offset IN (SELECT kafka_offset FROM event_log WHERE {DENIED}) AND kafka_partition = 0",
    )
    _deleted(log, "event_log", DENIED)


@on_copy(Who.CLICKHOUSE, "leaves", "rows")
def a_leaf_is_deleted(log: AttackedLog) -> None:
    _deleted(log, "log_leaves", "kafka_partition = 2 AND kafka_offset = 1")


@on_copy(Who.CLICKHOUSE, "leaves")
def the_last_leaf_and_its_row_are_deleted(log: AttackedLog) -> None:
    """The end of a partition is cut off; its checkpoint is left."""
    _deleted(log, "log_leaves", "kafka_partition = 0 AND kafka_offset = 15")
    _deleted(log, "event_log", "kafka_partition = 0 AND kafka_offset = 15")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_second_leaf_is_added(log: AttackedLog) -> None:
    _copied(
        log,
        "log_leaves",
        "toFixedString(repeat('x', 32), 32) AS digest",
        "kafka_partition = 2 AND kafka_offset = 1",
    )


@on_copy(Who.CLICKHOUSE, "leaves")
def a_leaf_and_its_row_are_exchanged(log: AttackedLog) -> None:
    """The row has another record, and the leaf its digest; the root is another then."""
    _changed(
        log,
        "event_log",
        "record = replaceOne(record, 'denied', 'granted'), type = 'tool_approval_granted'",
        DENIED,
    )
    digest = "(SELECT SHA256(record) FROM event_log WHERE type = 'tool_approval_granted')"
    offset = log.one("SELECT kafka_offset FROM event_log WHERE type = 'tool_approval_granted'")
    _copied(
        log, "log_leaves", f"{digest} AS digest", f"kafka_partition = 0 AND kafka_offset = {offset}"
    )
    _deleted(
        log, "log_leaves", f"kafka_partition = 0 AND kafka_offset = {offset} AND digest != {digest}"
    )


@on_copy(Who.CLICKHOUSE, "leaves")
def a_row_and_a_leaf_are_added_at_the_end(log: AttackedLog) -> None:
    _copied(log, "event_log", "99 AS kafka_offset", OLD)
    _copied(log, "log_leaves", "99 AS kafka_offset", "kafka_partition = 2 AND kafka_offset = 1")


@on_copy(Who.CLICKHOUSE, "leaves")
def all_leaves_are_removed(log: AttackedLog) -> None:
    log.sql("TRUNCATE TABLE log_leaves")


@on_copy(Who.CLICKHOUSE, "leaves")
def the_time_in_a_leaf_is_changed(log: AttackedLog) -> None:
    leaf = "kafka_partition = 2 AND kafka_offset = 1"
    at_ms = log.one(f"SELECT any(appended_ms) FROM log_leaves WHERE {leaf}")
    _copied(log, "log_leaves", "appended_ms + 5 AS appended_ms", leaf)
    _deleted(log, "log_leaves", f"{leaf} AND appended_ms = {at_ms}")


@on_copy(Who.CLICKHOUSE, "leaves")
def the_newest_checkpoints_are_deleted(log: AttackedLog) -> None:
    _deleted(log, "log_checkpoints", "kafka_partition = 0 AND size > 12")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_checkpoint_of_another_root_is_added_without_a_signature(log: AttackedLog) -> None:
    text = log.one(f"SELECT any(checkpoint) FROM log_checkpoints WHERE {_AT_SIX}")
    forged = Checkpoint(text.split("\n")[0], 6, bytes(32)).text
    _add_checkpoint(log, forged)


@on_copy(Who.CLICKHOUSE, "leaves")
def a_checkpoint_of_another_root_is_signed_by_a_strangers_key(log: AttackedLog) -> None:
    text = log.one(f"SELECT any(checkpoint) FROM log_checkpoints WHERE {_AT_SIX}")
    origin = text.split("\n")[0]
    forged = note_signed(Checkpoint(origin, 6, bytes(32)).text, STRANGER, origin)
    _add_checkpoint(log, forged)


@on_copy(Who.CLICKHOUSE, "columns")
def an_event_is_taken_out_of_the_index(log: AttackedLog) -> None:
    _deleted(log, "event_index", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def an_event_is_added_to_the_index(log: AttackedLog) -> None:
    _copied(
        log,
        "event_index",
        "'tool_approval_granted' AS type, occurred_us + 1 AS occurred_us",
        DENIED,
    )


@on_copy(Who.CLICKHOUSE, "columns")
def an_agent_is_changed_in_the_index(log: AttackedLog) -> None:
    _changed(log, "event_index", "agent_id = 'another'", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def a_cost_is_changed_in_the_usage(log: AttackedLog) -> None:
    _changed(log, "event_usage", "cost_usd = 0", "cost_usd > 0")


@on_copy(Who.CLICKHOUSE, "columns")
def usage_is_taken_away(log: AttackedLog) -> None:
    log.sql("TRUNCATE TABLE event_usage")


@on_copy(Who.CLICKHOUSE, "verdicts")
def an_event_is_put_into_quarantine(log: AttackedLog) -> None:
    _into_quarantine(log, DENIED)


def _into_quarantine(log: AttackedLog, where: str) -> None:
    log.sql(
        "INSERT INTO event_quarantine SELECT kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset,"
        " appended_at, kafka_offset, length(record), SHA256(record), NULL, record, [], 'type: wrong', '1', now64(3)"
        f" FROM event_log WHERE {where}"
    )
    for table in ("event_log", "event_index"):
        _deleted(log, table, where)


@on_copy(Who.CLICKHOUSE, "standings")
def an_event_of_nobody_is_shown_as_attested(log: AttackedLog) -> None:
    log.sql(
        "INSERT INTO event_standings SELECT occurred_us, record_key, 'attested', 7 FROM event_log"
        f" WHERE {OLD} AND seq = 0"
    )


@on_copy(Who.CLICKHOUSE, "standings")
def an_attested_event_is_shown_as_disputed(log: AttackedLog) -> None:
    _changed(log, "event_standings", "standing = 'disputed'", f"record_key IN ({_KEY_OF_DENIED})")


@on_copy(Who.CLICKHOUSE, "standings")
def an_attested_event_is_shown_as_disputed_for_ever(log: AttackedLog) -> None:
    """By a row that no later judgement outweighs."""
    log.sql(
        "INSERT INTO event_standings SELECT occurred_us, record_key, 'disputed', 4000000 FROM event_log"
        f" WHERE {DENIED}"
    )


@on_copy(Who.CLICKHOUSE, "standings")
def an_attested_event_loses_its_standing(log: AttackedLog) -> None:
    _deleted(log, "event_standings", f"record_key IN ({_KEY_OF_DENIED})")


@on_copy(Who.CLICKHOUSE, "standings")
def all_standings_are_removed(log: AttackedLog) -> None:
    log.sql("TRUNCATE TABLE event_standings")


@on_copy(Who.CLICKHOUSE, "standings")
def what_was_found_of_a_seal_is_changed(log: AttackedLog) -> None:
    _changed(log, "seal_checks", "verdict = 'forged'", "producer_id = 'p2'")


@on_copy(Who.CLICKHOUSE, "standings")
def what_was_found_of_a_seal_is_removed(log: AttackedLog) -> None:
    _deleted(log, "seal_checks", "producer_id = 'p2'")


@on_copy(Who.CLICKHOUSE, "standings")
def a_seal_is_made_up_for_readers(log: AttackedLog) -> None:
    """By it the events of a producer who seals nothing are disputed."""
    _copied(
        log,
        "seal_checks",
        "'p9' AS producer_id, 'legacy' AS service, kafka_offset + 1000 AS kafka_offset",
        "producer_id = 'p2'",
    )


@on_copy(Who.CLICKHOUSE, "standings")
def a_seal_covers_more_numbers_for_readers(log: AttackedLog) -> None:
    _copied(log, "seal_checks", "last_seq + 1000 AS last_seq", "producer_id = 'p2'")


@on_copy(Who.CLICKHOUSE, "standings")
def a_service_is_given_more_tenants_for_readers(log: AttackedLog) -> None:
    _changed(log, "policy_services", "tenants = ['*']", "service = 'tools'")


@on_copy(Who.CLICKHOUSE, "standings")
def a_policy_of_nobody_is_shown_to_readers(log: AttackedLog) -> None:
    _copied(log, "policy_services", "toUInt32(9) AS version, ['*'] AS tenants", "service = 'tools'")


@on_copy(Who.CLICKHOUSE, "standings")
def readers_are_told_of_no_service(log: AttackedLog) -> None:
    log.sql("TRUNCATE TABLE policy_services")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_subtree_that_is_not_there_is_given_a_root(log: AttackedLog) -> None:
    """The worker that starts, and `prove`, would take it once the log is so large."""
    _add_node(log, 1)


@on_copy(Who.CLICKHOUSE, "leaves")
def a_subtrees_root_is_forged(log: AttackedLog) -> None:
    """The true one is deleted."""
    _more_than_a_node(log)
    _deleted(log, "log_nodes", "level = 8")
    _add_node(log, 0)


@on_copy(Who.CLICKHOUSE, "leaves")
def a_subtree_is_given_a_second_root(log: AttackedLog) -> None:
    _more_than_a_node(log)
    _add_node(log, 0)


def _more_than_a_node(log: AttackedLog) -> None:
    events = [claimed("legacy", "p9", 100 + n, session_id="old") for n in range(260)]
    log.store_more(Commit({2: events}, {2: 6}, LATER_MS))
    assert log.one("SELECT count() FROM log_nodes") == 1


def _add_node(log: AttackedLog, index: int) -> None:
    log.sql(
        "INSERT INTO log_nodes SELECT kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, generation, 8,"
        " {index:UInt64}, toFixedString(repeat('x', 32), 32) FROM log_checkpoints WHERE kafka_partition = 2 LIMIT 1",
        index=index,
    )


@on_copy(Who.CLICKHOUSE, "records")
def a_quarantined_record_is_deleted(log: AttackedLog) -> None:
    _deleted(log, "event_quarantine", "kafka_offset = 5")


@on_copy(Who.CLICKHOUSE, "columns")
def a_quarantined_record_is_changed(log: AttackedLog) -> None:
    _changed(log, "event_quarantine", "record = 'another'", "kafka_offset = 5")


@on_copy(Who.CLICKHOUSE, "records")
def the_reason_for_a_hole_is_taken_away(log: AttackedLog) -> None:
    log.sql("TRUNCATE TABLE event_incidents")


@on_copy(Who.CLICKHOUSE, "records")
def an_incident_is_made_up_over_stored_records(log: AttackedLog) -> None:
    log.sql(
        "INSERT INTO event_incidents SELECT * REPLACE (0 AS first_offset, 3 AS last_offset)"
        " FROM (SELECT * FROM event_incidents WHERE kind = 'no_record' LIMIT 1)"
    )


@on_copy(Who.CLICKHOUSE, "views")
def the_view_of_events_hides_one(log: AttackedLog) -> None:
    log.sql(
        "CREATE OR REPLACE VIEW events DEFINER = CURRENT_USER SQL SECURITY DEFINER AS"
        f" SELECT * FROM event_log FINAL WHERE NOT ({DENIED})"
    )


@on_copy(Who.CLICKHOUSE, "views")
def the_view_of_approvals_says_granted(log: AttackedLog) -> None:
    text = log.one(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'approvals'"
    )
    log.sql("DROP VIEW approvals")
    log.sql(text.replace("['granted', 'denied']", "['granted', 'granted']"))


@on_copy(Who.CLICKHOUSE, "views")
def the_view_that_fills_the_index_is_dropped(log: AttackedLog) -> None:
    log.sql("DROP VIEW event_index_filled")


@on_copy(Who.CLICKHOUSE, "views")
def rows_are_made_to_expire(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log MODIFY TTL toDateTime(appended_at) + INTERVAL 10 YEAR DELETE")


@on_copy(Who.CLICKHOUSE, "views")
def a_column_gets_a_default(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log MODIFY COLUMN run_id String DEFAULT 'r'")


@on_copy(Who.CLICKHOUSE, "views")
def a_view_of_ones_own_writes_into_the_index(log: AttackedLog) -> None:
    log.sql("CREATE MATERIALIZED VIEW sly TO event_index AS SELECT * FROM event_usage")


@on_copy(Who.CLICKHOUSE, "ledger")
def the_count_of_a_batch_is_changed(log: AttackedLog) -> None:
    _changed(
        log,
        "batch_ledger",
        "stored_rows = stored_rows + 1",
        "kafka_partition = 1 AND first_offset = 0",
    )


@on_copy(Who.CLICKHOUSE, "ledger")
def the_hash_of_a_batch_is_changed(log: AttackedLog) -> None:
    _changed(
        log,
        "batch_ledger",
        "records_hash = toFixedString(repeat('x', 32), 32)",
        "kafka_partition = 1 AND first_offset = 0",
    )


@on_copy(Who.CLICKHOUSE, "ledger")
def a_batch_is_taken_out_of_the_ledger(log: AttackedLog) -> None:
    _deleted(log, "batch_ledger", "kafka_partition = 1 AND first_offset = 4")


@on_copy(Who.CLICKHOUSE, "ledger")
def a_batch_is_made_up(log: AttackedLog) -> None:
    _copied(
        log,
        "batch_ledger",
        "500 AS first_offset, 509 AS last_offset",
        "kafka_partition = 1 AND stored_rows > 0",
    )


@on_copy(Who.CLICKHOUSE, "policy")
def a_policy_is_signed_by_a_stranger(log: AttackedLog) -> None:
    log.publish(log.policy(version=2, previous=log.policy().sha256, services=()), STRANGER)


@on_copy(Who.CLICKHOUSE, "policy")
def a_policy_is_overwritten(log: AttackedLog) -> None:
    log.sql("INSERT INTO log_policies VALUES (1, 'nothing of the owner''s')")


@on_copy(Who.CLICKHOUSE, "policy")
def the_newest_policy_is_taken_away(log: AttackedLog) -> None:
    """The owner has taken a service out, and an anchor names that policy; the older one would count again."""
    second = log.policy(version=2, previous=log.policy().sha256, anchor_seconds=30)
    log.publish(second)
    log.anchor_under(second)
    _deleted(log, "log_policies", "version = 2")


@on_copy(Who.CLICKHOUSE, "anchors")
def an_anchor_in_the_middle_is_deleted(log: AttackedLog) -> None:
    _deleted(log, "log_anchors", "number = 2")


@on_copy(Who.CLICKHOUSE, "anchors", needs="anchors")
def the_last_anchor_is_deleted(log: AttackedLog) -> None:
    _deleted(log, "log_anchors", "number = 3")


@on_copy(Who.CLICKHOUSE, "anchors")
def an_anchor_is_made_up(log: AttackedLog) -> None:
    log.sql("INSERT INTO log_anchors VALUES (4, {text:String})", text=_next_anchor(log))


@on_copy(Who.CLICKHOUSE, "anchors")
def a_byte_of_an_anchor_is_changed(log: AttackedLog) -> None:
    text = log.one("SELECT anchor FROM log_anchors WHERE number = 3")
    _deleted(log, "log_anchors", "number = 3")
    log.sql(
        "INSERT INTO log_anchors VALUES (3, {text:String})",
        text=text.replace(" ", "  ", 1),
    )


def _next_anchor(log: AttackedLog) -> str:
    anchor, _ = parse_anchor(log.one("SELECT anchor FROM log_anchors WHERE number = 3"))
    made = msgspec.structs.replace(anchor, number=4)
    return note_signed(made.text, STRANGER, anchor_name(made.log_name))


@on_copy(Who.CLICKHOUSE, "anchors", needs="anchors")
def everything_is_removed(log: AttackedLog) -> None:
    tables = log.clickhouse.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    ).rows
    for (name,) in tables:
        if name not in ("schema_migrations", "log_policies"):
            log.sql(f"TRUNCATE TABLE `{name}`")


@on_copy(Who.CLICKHOUSE, "anchors")
def a_partition_is_removed_from_every_table(log: AttackedLog) -> None:
    for table in (
        "log_leaves",
        "log_nodes",
        "log_checkpoints",
        "event_log",
        "event_quarantine",
        "batch_ledger",
        "event_incidents",
    ):
        _deleted(log, table, "kafka_partition = 2")
    _deleted(log, "event_index", f"{OLD} OR session_id = 's2'")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_days_list_of_sessions_is_changed(log: AttackedLog) -> None:
    sessions = log.one("SELECT any(sessions) FROM session_manifests WHERE kafka_partition = 0")
    _copied(log, "session_manifests", "sessions + 1 AS sessions", "kafka_partition = 0")
    _deleted(log, "session_manifests", f"kafka_partition = 0 AND sessions = {sessions}")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_session_is_taken_out_of_a_days_list(log: AttackedLog) -> None:
    key = log.one("SELECT hex(min(session_key)) FROM session_manifest_entries")
    _deleted(log, "session_manifest_entries", f"session_key = unhex('{key}')")


@on_copy(Who.CLICKHOUSE, "manifests")
def the_days_lists_are_taken_away(log: AttackedLog) -> None:
    log.sql("TRUNCATE TABLE session_manifests")


@on_copy(Who.CLICKHOUSE, "erasures")
def an_order_is_signed_by_no_operator(log: AttackedLog) -> None:
    _order(log, STRANGER)


@on_copy(Who.CLICKHOUSE, "erasures", "records")
def a_record_is_blanked_by_a_strangers_order(log: AttackedLog) -> None:
    _order(log, STRANGER)
    _changed(log, "event_log", "record = ''", DENIED)


@on_copy(Who.CLICKHOUSE, "erasures")
def an_erased_record_is_put_back(log: AttackedLog) -> None:
    """An operator has ordered it, and it is there."""
    _order(log, OPERATOR)


def _order(log: AttackedLog, signer: FileSigner) -> None:
    digest = bytes.fromhex(log.one(f"SELECT hex(SHA256(record)) FROM event_log WHERE {DENIED}"))
    order = Order(LOG, "erase", 1, "ops", log.keys.now_ms, 3, "asked for", (digest,))
    store_order(log.clickhouse, order, note_signed(order.text, signer, erasure_name(LOG)))


@on_copy(Who.CLICKHOUSE, "rows")
def a_whole_event_is_added_without_a_leaf(log: AttackedLog) -> None:
    """Its columns are those of its record, so that only its leaf is missing."""
    batch = Batch(Limits(rows=10, size_bytes=1 << 20), time.monotonic)
    event = claimed("legacy", "p9", 900, session_id="old")
    batch.add([Record(event.record, partition=2, offset=900, appended_ms=log.keys.now_ms)])
    log.clickhouse.insert(event_block(ORIGIN, batch.rows))


@on_copy(Who.CLICKHOUSE, "records")
def an_unsealed_event_is_deleted_from_every_table_of_events(log: AttackedLog) -> None:
    key = log.one(
        "SELECT hex(record_key) FROM event_log WHERE kafka_partition = 2 AND kafka_offset = 4"
    )
    for table in ("event_log", "event_index"):
        _deleted(log, table, f"record_key = unhex('{key}')")


@on_copy(Who.CLICKHOUSE, "verdicts")
def an_unsealed_event_is_put_into_quarantine(log: AttackedLog) -> None:
    key = log.one(
        "SELECT hex(record_key) FROM event_log WHERE kafka_partition = 2 AND kafka_offset = 4"
    )
    _into_quarantine(log, f"record_key = unhex('{key}')")
    # Else the ledger tells, which counts both apart.
    log.sql(
        "ALTER TABLE batch_ledger UPDATE stored_rows = stored_rows - 1, quarantined_rows = quarantined_rows + 1"
        f" WHERE kafka_partition = 2 AND first_offset <= 4 AND last_offset >= 4 {NOW}"
    )
