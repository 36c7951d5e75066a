"""Values that no worker writes: each is told, and none ends the check."""

from attack import Who, on_copy
from attack_scene import AttackedLog

BIG = "18446744073709551615"
NOW = "SETTINGS mutations_sync = 2"


def _again(log: AttackedLog, table: str, replace: str, where: str = "true") -> None:
    """Store a row more, like one that is there, but for what *replace* says."""
    log.sql(
        f"INSERT INTO {table} SELECT * REPLACE ({replace})"
        f" FROM (SELECT * FROM {table} WHERE {where} LIMIT 1)"
    )


@on_copy(Who.CLICKHOUSE, "rows")
def a_row_stands_at_the_last_offset_that_a_column_can_hold(log: AttackedLog) -> None:
    _again(log, "event_log", f"{BIG} AS kafka_offset")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_leaf_stands_at_the_last_offset_that_a_column_can_hold(log: AttackedLog) -> None:
    _again(log, "log_leaves", f"{BIG} AS kafka_offset")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_leaf_is_of_the_last_millisecond_that_a_column_can_hold(log: AttackedLog) -> None:
    _again(log, "log_leaves", f"{BIG} AS appended_ms", "kafka_partition = 2 AND kafka_offset = 3")


@on_copy(Who.CLICKHOUSE, "ledger")
def a_batch_ends_at_the_last_offset_that_a_column_can_hold(log: AttackedLog) -> None:
    _again(log, "batch_ledger", f"{BIG} AS last_offset")


@on_copy(Who.CLICKHOUSE, "records")
def an_incident_ends_at_the_last_offset_that_a_column_can_hold(log: AttackedLog) -> None:
    _again(log, "event_incidents", f"0 AS first_offset, {BIG} AS last_offset, 'no_record' AS kind")


@on_copy(Who.CLICKHOUSE, "records")
def an_incident_ends_before_it_begins(log: AttackedLog) -> None:
    _again(log, "event_incidents", "3 AS first_offset, 1 AS last_offset, 'no_record' AS kind")
    _again(log, "event_incidents", "1 AS first_offset, 2 AS last_offset, 'no_record' AS kind")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_days_list_ends_at_the_last_offset_that_a_column_can_hold(log: AttackedLog) -> None:
    _again(log, "session_manifests", f"{BIG} AS end_offset")


@on_copy(Who.CLICKHOUSE, "manifests")
def a_days_list_is_of_a_day_that_there_is_not(log: AttackedLog) -> None:
    for day in ("2026-02-30", "", "²026-01-01", "0000-00-00", "99999-01-01"):
        _again(log, "session_manifests", f"'{day}' AS day")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_checkpoint_is_as_large_as_a_column_can_hold(log: AttackedLog) -> None:
    _again(log, "log_checkpoints", f"{BIG} AS size")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_checkpoint_is_no_text(log: AttackedLog) -> None:
    _again(log, "log_checkpoints", "unhex('ff00fe0a0a0a') AS checkpoint")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_subtree_is_of_a_level_that_no_tree_has(log: AttackedLog) -> None:
    row = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, generation"
    for level, place in (("255", BIG), ("64", "0"), ("7", "0"), ("8", BIG)):
        log.sql(
            f"INSERT INTO log_nodes SELECT {row}, {level}, {place}, digest FROM log_leaves LIMIT 1"
        )


@on_copy(Who.CLICKHOUSE, "leaves")
def a_generation_is_numbered_by_a_sign_that_is_no_number(log: AttackedLog) -> None:
    """It is a digit to whoever asks whether it is one, and none to whoever reads it."""
    for generation in ("²-" + "0" * 32, "²", "", "-1", "1\n"):
        _again(log, "log_leaves", f"'{generation}' AS generation")


@on_copy(Who.CLICKHOUSE, "anchors")
def an_anchor_has_the_last_number_that_a_column_can_hold(log: AttackedLog) -> None:
    log.sql(
        f"INSERT INTO log_anchors (number, anchor) SELECT {BIG}, anchor FROM log_anchors LIMIT 1"
    )


@on_copy(Who.CLICKHOUSE, "anchors")
def an_anchor_is_no_text(log: AttackedLog) -> None:
    log.sql("INSERT INTO log_anchors (number, anchor) VALUES (4, unhex('ff00fe'))")


@on_copy(Who.CLICKHOUSE, "policy")
def a_policy_is_no_text(log: AttackedLog) -> None:
    log.sql("INSERT INTO log_policies VALUES (2, unhex('ff00fe')), (4294967295, '')")


@on_copy(Who.CLICKHOUSE, "erasures")
def an_order_is_no_text(log: AttackedLog) -> None:
    log.sql(f"INSERT INTO log_erasures VALUES ({BIG}, 'erase', unhex('ff00fe')), (0, '', '')")


@on_copy(Who.CLICKHOUSE, "columns")
def an_event_happened_before_all_time(log: AttackedLog) -> None:
    _again(log, "event_index", "-9223372036854775808 AS occurred_us")
    _again(log, "event_usage", "9223372036854775807 AS occurred_us")


@on_copy(Who.CLICKHOUSE, "standings")
def a_seal_is_said_to_name_all_numbers(log: AttackedLog) -> None:
    _again(log, "seal_checks", f"0 AS first_seq, {BIG} AS last_seq, {BIG} AS sealed")


@on_copy(Who.CLICKHOUSE, "standings")
def a_seal_is_said_to_lie_where_nothing_is(log: AttackedLog) -> None:
    _again(log, "seal_checks", f"{BIG} AS kafka_offset, -9223372036854775808 AS occurred_us")


@on_copy(Who.CLICKHOUSE, "rows")
def a_record_lies_in_quarantine_at_the_last_offset(log: AttackedLog) -> None:
    _again(
        log, "event_quarantine", f"{BIG} AS kafka_offset, {BIG} AS last_offset, {BIG} AS size_bytes"
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_cost_is_as_high_as_a_column_can_hold(log: AttackedLog) -> None:
    log.sql(
        "ALTER TABLE event_log UPDATE cost_usd = toDecimal128('99999999999999999999', 18), duration_ms = inf,"
        f" input_tokens = {BIG} WHERE cost_usd > 0 {NOW}"
    )


@on_copy(Who.CLICKHOUSE, "leaves")
def an_event_its_leaf_and_its_batch_are_of_a_topic_whose_name_is_no_text(
    log: AttackedLog,
) -> None:
    for table in ("event_log", "log_leaves", "batch_ledger"):
        _again(log, table, "unhex('ff00fe') AS kafka_topic")


@on_copy(Who.CLICKHOUSE, "leaves")
def an_event_and_its_leaf_are_of_a_topic_whose_name_has_lines(log: AttackedLog) -> None:
    for table in ("event_log", "log_leaves", "batch_ledger"):
        _again(log, table, "'a\n\nb' AS kafka_topic")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_leaf_is_of_a_generation_that_is_no_text(log: AttackedLog) -> None:
    _again(log, "log_leaves", "unhex('31ff') AS generation")


@on_copy(Who.CLICKHOUSE, "columns")
def a_bad_record_is_said_to_end_before_it_begins(log: AttackedLog) -> None:
    log.sql(
        f"ALTER TABLE event_quarantine UPDATE last_offset = 0 WHERE last_offset = kafka_offset {NOW}"
    )
