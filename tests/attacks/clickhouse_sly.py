"""Attacks by an administrator of ClickHouse that leave every table plausible by itself."""

import datetime as dt

import msgspec

from attack import Who, on_copy
from attack_scene import HOUR_MS, LOG, AttackedLog, Commit
from trailhouse.anchoring.day_manifests import made_manifest
from trailhouse.anchoring.stored_log import stored_logs
from trailhouse.proof.anchor import anchor_name, file_sha256, parse_anchor
from trailhouse.proof.erasure import hold_key
from trailhouse.proof.keys import note_signed
from trailhouse.store.tables import SESSION_MANIFEST_ENTRIES, SESSION_MANIFESTS

NOW = "SETTINGS mutations_sync = 2"
LATER_MS = 2 * HOUR_MS - 150_000


def _changed(log: AttackedLog, table: str, change: str, where: str) -> None:
    log.sql(f"ALTER TABLE {table} UPDATE {change} WHERE {where} {NOW}")


def _deleted(log: AttackedLog, table: str, where: str) -> None:
    log.sql(f"ALTER TABLE {table} DELETE WHERE {where} {NOW}")


@on_copy(Who.CLICKHOUSE, "erasures")
def the_last_hold_is_taken_away(log: AttackedLog) -> None:
    """No number is missing then; an anchor names it."""
    log.order("hold", 1, hold_key("session", "s0"))
    log.anchor_under(log.policy())
    log.sql("TRUNCATE TABLE log_erasures")


@on_copy(Who.CLICKHOUSE, "erasures")
def the_last_order_is_exchanged_for_another(log: AttackedLog) -> None:
    """Both are an operator's, who has given the other one to somebody and not stored it."""
    log.order("hold", 1, hold_key("session", "s0"))
    log.anchor_under(log.policy())
    log.sql("TRUNCATE TABLE log_erasures")
    log.order("hold", 1, hold_key("session", "s1"))


@on_copy(Who.CLICKHOUSE, "records")
def the_first_of_two_copies_is_deleted(log: AttackedLog) -> None:
    """Readers are shown the later one, with another place and time; a merge would have kept the first."""
    _deleted(log, "event_log", "kafka_partition = 0 AND kafka_offset = 1")


@on_copy(Who.CLICKHOUSE, "ledger")
def a_batch_is_said_to_have_had_more_bad_records(log: AttackedLog) -> None:
    """The sum is the same, and so is the hash."""
    _changed(
        log,
        "batch_ledger",
        "stored_rows = stored_rows - 1, quarantined_rows = quarantined_rows + 1",
        "kafka_partition = 1 AND first_offset = 0",
    )


@on_copy(Who.CLICKHOUSE, "ledger")
def a_batch_is_said_to_have_had_no_bad_record(log: AttackedLog) -> None:
    _changed(
        log,
        "batch_ledger",
        "stored_rows = stored_rows + quarantined_rows, quarantined_rows = 0",
        "kafka_partition = 0 AND quarantined_rows > 0",
    )


@on_copy(Who.CLICKHOUSE, "leaves")
def a_log_is_copied_to_a_partition_that_nobody_has_signed(log: AttackedLog) -> None:
    _copied_to_another_partition(log)


@on_copy(Who.CLICKHOUSE, "leaves")
def a_log_that_nobody_has_signed_is_older_than_what_was_signed_since(log: AttackedLog) -> None:
    """Its records are of no other log: only that a worker would have signed it tells."""
    _copied_to_another_partition(log)
    log.sql(
        "INSERT INTO log_leaves SELECT * REPLACE (appended_ms + 1 AS appended_ms) FROM log_leaves"
        " WHERE kafka_partition = 9"
    )
    log.sql(
        f"ALTER TABLE log_leaves DELETE WHERE kafka_partition = 9 AND (appended_ms, digest) IN"
        f" (SELECT appended_ms, digest FROM log_leaves WHERE kafka_partition = 2) {NOW}"
    )
    _changed(log, "batch_ledger", "written_at = now64(3) - INTERVAL 1 HOUR", "kafka_partition = 9")


def _copied_to_another_partition(log: AttackedLog) -> None:
    for table in ("event_log", "log_leaves", "batch_ledger", "event_incidents"):
        _again(log, table, "9 AS kafka_partition", "kafka_partition = 2")


def _again(log: AttackedLog, table: str, replace: str, where: str) -> None:
    log.sql(
        f"INSERT INTO {table} SELECT * REPLACE ({replace}) FROM (SELECT * FROM {table} WHERE {where})"
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_forged_row_stands_in_the_index_beside_the_true_one(log: AttackedLog) -> None:
    """FINAL shows the last of both, which is the true one; who reads rows as they are stored is shown the other too."""
    denied = "type = 'tool_approval_denied'"
    _again(log, "event_index", "'tool_call_started' AS type", denied)
    log.sql(f"INSERT INTO event_index SELECT * FROM event_index WHERE {denied}")


@on_copy(Who.CLICKHOUSE, "columns")
def a_forged_cost_stands_in_the_usage_beside_the_true_one(log: AttackedLog) -> None:
    _again(log, "event_usage", "99 AS cost_usd", "cost_usd > 0")
    log.sql("INSERT INTO event_usage SELECT * FROM event_usage WHERE cost_usd < 50")


@on_copy(Who.CLICKHOUSE, "records")
def a_batch_is_said_to_be_unreadable_that_was_read(log: AttackedLog) -> None:
    _again(
        log,
        "event_quarantine",
        "'batch: cannot be read' AS reason, 1 AS kafka_offset, 3 AS last_offset",
        "kafka_offset = 5",
    )


@on_copy(Who.CLICKHOUSE, "records")
def a_batch_is_said_to_be_unreadable_that_never_was(log: AttackedLog) -> None:
    _again(
        log,
        "event_quarantine",
        "'batch: cannot be read' AS reason, 900 AS kafka_offset, 910 AS last_offset",
        "kafka_offset = 5",
    )


@on_copy(Who.CLICKHOUSE, "records")
def a_bad_record_is_said_to_be_an_unreadable_batch(log: AttackedLog) -> None:
    _changed(log, "event_quarantine", "reason = 'batch: cannot be read'", "kafka_offset = 5")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_list_of_sessions_is_made_of_a_day_to_come(log: AttackedLog) -> None:
    """It lists none, and its root is right: who asks for that day is shown an absence, and no later day gets a list."""
    _manifest(log, "2099-01-01", 0, 0)


@on_copy(Who.CLICKHOUSE, "manifests")
def a_list_of_sessions_is_made_of_a_part_of_a_day(log: AttackedLog) -> None:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    _manifest(log, today, 2, 4)


def _manifest(log: AttackedLog, day: str, first: int, end: int) -> None:
    """Store the manifest that leaves and rows have of some offsets, as if they were a day's."""
    of = stored_logs(log.clickhouse)[0]
    made = made_manifest(log.clickhouse, of, str(of.origin(LOG)), day, first, end)
    rows = (
        [
            SESSION_MANIFEST_ENTRIES.block(
                {
                    **{name: [value] * len(made.entries) for name, value in of.parameters.items()},
                    "day": [day] * len(made.entries),
                    "session_key": [each.key for each in made.entries],
                    "leaves": [each.leaves for each in made.entries],
                    "root": [each.root for each in made.entries],
                }
            )
        ]
        if made.entries
        else []
    )
    header = {
        "day": day,
        "first_offset": first,
        "end_offset": end,
        "sessions": len(made.entries),
        "root": made.root,
    }
    row = {**of.parameters, **header}
    for block in (*rows, SESSION_MANIFESTS.block({name: [value] for name, value in row.items()})):
        log.clickhouse.insert(block)


@on_copy(Who.CLICKHOUSE, "ledger")
def batches_are_said_to_be_written_after_now(log: AttackedLog) -> None:
    """So nothing seems to have waited for a signature, or an anchor."""
    _changed(log, "batch_ledger", "written_at = now64(3) + INTERVAL 5 DAY", "kafka_partition = 1")


@on_copy(Who.CLICKHOUSE, "views")
def the_list_of_migrations_is_emptied(log: AttackedLog) -> None:
    """The next worker would take every table for missing."""
    log.sql("TRUNCATE TABLE schema_migrations")


@on_copy(Who.CLICKHOUSE, "views")
def a_column_is_added_whose_default_refuses_rows(log: AttackedLog) -> None:
    log.sql(
        "ALTER TABLE event_log ADD COLUMN sly UInt8 DEFAULT throwIf(type = 'tool_approval_denied')"
    )


@on_copy(Who.CLICKHOUSE, "views")
def a_column_is_added_by_the_name_of_something_in_a_view(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_index ADD COLUMN is_update UInt8")


@on_copy(Who.CLICKHOUSE, "views")
def a_texts_end_in_a_view_looks_like_a_comment(log: AttackedLog) -> None:
    """Whoever leaves comments out must not leave this out: the type is another one then."""
    text = log.one(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'token_usage'"
    )
    log.sql("DROP VIEW token_usage")
    log.sql(
        text.replace(
            "['token_usage_updated', 'model_call_completed'",
            "['token_usage COMMENT ' || '_updated', 'model_call_completed'",
        )
    )
    assert log.one("SELECT count() FROM token_usage WHERE book = 'updated'") == 0


@on_copy(Who.CLICKHOUSE, "columns")
def what_is_kept_of_a_large_record_is_changed(log: AttackedLog) -> None:
    """Its hash is of all of it, and cannot be worked out from the part."""
    log.store_more(Commit({2: [b"x" * 9_000_000]}, {2: 6}, LATER_MS))
    log.anchor_under(log.policy())
    _changed(
        log,
        "event_quarantine",
        "record = concat('another', substring(record, 8))",
        "kafka_partition = 2 AND kafka_offset = 6",
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_bad_record_is_said_to_have_been_too_large(log: AttackedLog) -> None:
    """And something else is put where a part of it would be kept."""
    _changed(
        log,
        "event_quarantine",
        "record = repeat('x', 65536), size_bytes = 9000000",
        "kafka_offset = 5",
    )


@on_copy(Who.NOBODY)
def a_part_is_kept_of_large_records(log: AttackedLog) -> None:
    """One is anchored, the other is not yet."""
    log.store_more(Commit({2: [b"x" * 9_000_000]}, {2: 6}, LATER_MS))
    log.anchor_under(log.policy())
    log.store_more(Commit({2: [b"y" * 9_000_000]}, {2: 7}, LATER_MS))


@on_copy(Who.CLICKHOUSE, "leaves")
def a_leaf_of_no_kind_is_added(log: AttackedLog) -> None:
    _again(
        log,
        "log_leaves",
        "0 AS kind, 6 AS kafka_offset",
        "kafka_partition = 2 AND kafka_offset = 3",
    )


@on_copy(Who.CLICKHOUSE, "leaves")
def a_leaf_is_added_where_no_partition_reaches(log: AttackedLog) -> None:
    _again(
        log,
        "log_leaves",
        "9223372036854775807 AS kafka_offset",
        "kafka_partition = 2 AND kafka_offset = 3",
    )


@on_copy(Who.CLICKHOUSE, "policy")
def every_policy_is_taken_away(log: AttackedLog) -> None:
    """Nobody's signature counts then; the anchors still name one."""
    log.sql("TRUNCATE TABLE log_policies")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_list_of_sessions_is_made_of_a_partition_without_a_log(log: AttackedLog) -> None:
    _again(log, "session_manifests", "77 AS kafka_partition", "kafka_partition = 0")


@on_copy(Who.CLICKHOUSE, "erasures")
def a_hold_is_shown_as_an_erasure(log: AttackedLog) -> None:
    """The view of erasures goes by the row, and not by what was signed."""
    log.order("hold", 1, hold_key("session", "s0"))
    log.sql("INSERT INTO log_erasures SELECT * REPLACE ('erase' AS kind) FROM log_erasures")
    log.sql(f"ALTER TABLE log_erasures DELETE WHERE kind = 'hold' {NOW}")


@on_copy(Who.CLICKHOUSE, "leaves")
def every_checkpoint_is_taken_away(log: AttackedLog) -> None:
    """The anchors name the logs."""
    log.sql("TRUNCATE TABLE log_checkpoints")


@on_copy(Who.CLICKHOUSE, "leaves")
def the_signatures_are_taken_off_the_checkpoints(log: AttackedLog) -> None:
    """So a worker without a key stores them."""
    log.sql(
        "INSERT INTO log_checkpoints SELECT * REPLACE (substring(checkpoint, 1, position(checkpoint, '\\n\\n'))"
        " AS checkpoint) FROM log_checkpoints"
    )
    log.sql(f"ALTER TABLE log_checkpoints DELETE WHERE position(checkpoint, '\\n\\n') > 0 {NOW}")


@on_copy(Who.CLICKHOUSE, "views", "records")
def another_copy_is_kept_by_another_engine(log: AttackedLog) -> None:
    """Of two copies a merge keeps the last then, and not the first."""
    text = log.one(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'event_log'"
    )
    log.sql("RENAME TABLE event_log TO before")
    log.sql(text.replace("ReplacingMergeTree(ver)", "ReplacingMergeTree"))
    log.sql("INSERT INTO event_log SELECT * FROM before ORDER BY appended_at")
    log.sql("OPTIMIZE TABLE event_log FINAL")


@on_copy(Who.CLICKHOUSE, "views")
def a_column_is_replaced_by_an_alias(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_usage DROP COLUMN model")
    log.sql("ALTER TABLE event_usage ADD COLUMN model LowCardinality(String) ALIAS 'another'")


@on_copy(Who.CLICKHOUSE, "records")
def an_incident_is_widened_over_stored_records(log: AttackedLog) -> None:
    _again(log, "event_incidents", "last_offset + 3 AS last_offset", "kind = 'no_record'")


@on_copy(Who.CLICKHOUSE, "columns")
def what_was_erased_comes_back_into_the_usage(log: AttackedLog) -> None:
    log.sql("CREATE TABLE before AS event_usage")
    log.sql("INSERT INTO before SELECT * FROM event_usage")
    log.erase("cost_usd > 0 LIMIT 1")
    log.sql("INSERT INTO event_usage SELECT * FROM before")


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def an_anchor_names_another_policy_of_the_same_version(log: AttackedLog) -> None:
    text = log.one("SELECT anchor FROM log_anchors WHERE number = 3")
    before, _ = parse_anchor(text)
    made = msgspec.structs.replace(
        before, number=4, previous_sha256=file_sha256(text), policy_sha256="0" * 64
    )
    content = note_signed(made.text, log.keys.log, anchor_name(LOG))
    log.sql("INSERT INTO log_anchors VALUES (4, {text:String})", text=content)


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_kept_anchor_is_replaced_by_an_older_one(log: AttackedLog) -> None:
    *_, first, last = sorted(log.folder.rglob("*.anchor"))
    content = first.read_bytes()
    last.unlink()
    last.write_bytes(content)
