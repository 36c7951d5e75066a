"""Attacks on what is seldom looked at: readers' copies of a policy, subtrees, incidents, tables that feed tables."""

import shutil
from pathlib import Path

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit
from sealing_scene import claimed

NOW = "SETTINGS mutations_sync = 2"
DENIED = "type = 'tool_approval_denied'"
LATER_MS = 2 * HOUR_MS - 150_000


def _again(log: AttackedLog, table: str, replace: str, where: str = "true") -> None:
    log.sql(
        f"INSERT INTO {table} SELECT * REPLACE ({replace}) FROM (SELECT * FROM {table} WHERE {where})"
    )


def _changed(log: AttackedLog, table: str, change: str, where: str = "true") -> None:
    log.sql(f"ALTER TABLE {table} UPDATE {change} WHERE {where} {NOW}")


def _moved(log: AttackedLog, table: str, replace: str, where: str) -> None:
    """Change columns of a table's key: the rows are taken out, and put back as others."""
    log.sql(f"CREATE TABLE moved AS {table}")
    log.sql(f"INSERT INTO moved SELECT * REPLACE ({replace}) FROM {table} WHERE {where}")
    log.sql(f"ALTER TABLE {table} DELETE WHERE {where} {NOW}")
    log.sql(f"INSERT INTO {table} SELECT * FROM moved")
    log.sql("DROP TABLE moved SYNC")


def _text_of(log: AttackedLog, name: str) -> str:
    return str(
        log.one(
            "SELECT create_table_query FROM system.tables"
            f" WHERE database = currentDatabase() AND name = '{name}'"
        )
    )


def _ended(log: AttackedLog, **fields: str) -> None:
    """Store one event more, of *fields*, which nobody seals."""
    log.anchor_under(log.policy())
    event = claimed("legacy", "p9", 950, "message_sent", "old", **fields)
    log.store_more(Commit({2: [event]}, {2: 6}, LATER_MS))
    log.anchor_under(log.policy())


# -- what readers are told of policies, and what workers go on from


@on_copy(Who.CLICKHOUSE, "standings")
def a_services_key_is_said_to_be_revoked_to_readers(log: AttackedLog) -> None:
    _changed(log, "policy_services", "last_anchor = 1", "service = 'tools'")


@on_copy(Who.CLICKHOUSE, "standings")
def a_services_key_is_said_to_be_of_a_later_version(log: AttackedLog) -> None:
    """Its seals would be judged again and again, or not when they must be."""
    _changed(log, "policy_services", "changed_in = 4000000000", "service = 'tools'")


@on_copy(Who.CLICKHOUSE, "standings")
def a_services_key_is_another_for_readers(log: AttackedLog) -> None:
    _moved(log, "policy_services", "reverse(public_key) AS public_key", "service = 'tools'")


@on_copy(Who.CLICKHOUSE, "standings")
def a_standing_is_given_to_a_time_at_which_nothing_was(log: AttackedLog) -> None:
    _again(log, "event_standings", "occurred_us + 7 AS occurred_us")


@on_copy(Who.CLICKHOUSE, "standings")
def a_standing_is_given_to_an_event_of_a_like_key(log: AttackedLog) -> None:
    _moved(log, "event_standings", "reverse(record_key) AS record_key", "standing = 'attested'")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_checkpoint_is_stored_with_one_leaf_more(log: AttackedLog) -> None:
    """The note is true and stands under another size: a worker would pass over a record by it."""
    _again(log, "log_checkpoints", "size + 1 AS size", "kafka_partition = 2")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_checkpoints_subtrees_change_places(log: AttackedLog) -> None:
    _moved(
        log,
        "log_checkpoints",
        "arrayReverse(roots) AS roots",
        "kafka_partition = 2 AND length(roots) > 1",
    )


@on_copy(Who.CLICKHOUSE, "leaves")
def a_checkpoint_is_stored_of_another_generation(log: AttackedLog) -> None:
    _again(log, "log_checkpoints", "'2' AS generation", "kafka_partition = 2")


@on_copy(Who.CLICKHOUSE, "records")
def an_incident_is_cut_short(log: AttackedLog) -> None:
    """A hole is left of which nothing says why."""
    log.anchor_under(log.policy())
    log.store_more(Commit({2: TWO}, {2: 9}, LATER_MS), {2: 6})
    log.anchor_under(log.policy())
    _moved(log, "event_incidents", "last_offset - 1 AS last_offset", "kafka_partition = 2")


TWO = [claimed("legacy", "p9", n, session_id="old") for n in (951, 952)]


@on_copy(Who.CLICKHOUSE, "records")
def an_incident_is_said_to_be_of_another_kind(log: AttackedLog) -> None:
    """One that explains no hole."""
    log.anchor_under(log.policy())
    log.store_more(Commit({2: TWO}, {2: 9}, LATER_MS), {2: 6})
    log.anchor_under(log.policy())
    _moved(log, "event_incidents", "'rewound' AS kind", "kafka_partition = 2")


@on_copy(Who.CLICKHOUSE, "columns")
def a_forged_record_stands_in_quarantine_beside_the_true_one(log: AttackedLog) -> None:
    """FINAL shows the true one, which came last; a copy of the table made meanwhile has both."""
    where = "kafka_partition = 0 AND kafka_offset = 5"
    _again(log, "event_quarantine", "'another event' AS record", where)
    _again(
        log, "event_quarantine", "'not an event' AS record", f"{where} AND record != 'x' LIMIT 1"
    )


@on_copy(Who.CLICKHOUSE, "ledger")
def partitions_are_said_to_be_stored_up_to_their_ends_for_ever(log: AttackedLog) -> None:
    """What a worker notes is older from then on, and is merged away."""
    origin = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition"
    log.sql(
        f"INSERT INTO partition_ends SELECT DISTINCT {origin}, 1000, now64(3) + INTERVAL 50 YEAR FROM log_leaves"
    )


# -- values that look alike


@on_copy(Who.CLICKHOUSE, "columns")
def a_text_is_stored_as_the_bytes_that_it_spells(log: AttackedLog) -> None:
    """Who shows bytes that are no text by their digits shows the same."""
    _ended(log, run_id="ff")
    _changed(log, "event_log", "run_id = unhex('ff')", "run_id = 'ff'")


@on_copy(Who.CLICKHOUSE, "columns")
def a_name_ends_in_a_byte_that_is_not_shown(log: AttackedLog) -> None:
    _changed(log, "event_log", "agent_id = concat(agent_id, '\\0')", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def a_name_is_written_in_letters_that_look_the_same(log: AttackedLog) -> None:
    """Composed and decomposed: equal to the eye, and to whoever normalises."""
    _ended(log, agent_id="Zo\u00eb")
    _changed(log, "event_log", "agent_id = normalizeUTF8NFD(agent_id)", "agent_id LIKE 'Zo%'")


@on_copy(Who.CLICKHOUSE, "columns")
def a_duration_that_is_missing_is_said_to_be_no_number(log: AttackedLog) -> None:
    _changed(log, "event_log", "duration_ms = nan", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def a_cost_grows_by_its_last_digit(log: AttackedLog) -> None:
    last_digit = "cost_usd = cost_usd + toDecimal128('0.000000000000000001', 18)"
    _changed(log, "event_log", last_digit, "cost_usd > 0")


@on_copy(Who.CLICKHOUSE, "columns")
def an_events_form_is_said_to_be_of_another_version(log: AttackedLog) -> None:
    _changed(log, "event_log", "schema_version = 2", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def an_event_happened_a_microsecond_later(log: AttackedLog) -> None:
    """In every table of events, so that all of them agree."""
    for table in ("event_index", "event_log"):
        _moved(log, table, "occurred_us + 1 AS occurred_us", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def a_record_is_said_to_be_shorter_in_the_index(log: AttackedLog) -> None:
    _changed(log, "event_index", "record_bytes = 1", DENIED)


@on_copy(Who.CLICKHOUSE, "columns")
def a_model_is_another_in_the_usage(log: AttackedLog) -> None:
    _changed(log, "event_usage", "model = 'cheaper'", "cost_usd > 0")


# -- rules and tables


@on_copy(Who.CLICKHOUSE, "views", "leaves")
def leaves_are_made_to_expire(log: AttackedLog) -> None:
    log.sql(
        "ALTER TABLE log_leaves MODIFY TTL toDateTime(intDiv(appended_ms, 1000)) + INTERVAL 3 HOUR"
        " SETTINGS materialize_ttl_after_modify = 0"
    )
    log.sql(f"ALTER TABLE log_leaves MATERIALIZE TTL {NOW}")
    log.sql("OPTIMIZE TABLE log_leaves FINAL")


@on_copy(Who.CLICKHOUSE, "records")
def a_partition_is_moved_to_another_table(log: AttackedLog) -> None:
    log.sql("CREATE TABLE elsewhere AS event_log")
    for (part,) in log.clickhouse.query(
        "SELECT DISTINCT partition_id FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'event_log' AND active"
    ).rows:
        log.sql(f"ALTER TABLE event_log MOVE PARTITION ID '{part}' TO TABLE elsewhere")


@on_copy(Who.CLICKHOUSE, "records")
def a_row_is_deleted_and_what_is_stored_again_is_dropped(log: AttackedLog) -> None:
    """The table takes a block for one that it has: the worker is told that its rows are stored."""
    log.anchor_under(log.policy())
    log.sql("ALTER TABLE event_log MODIFY SETTING non_replicated_deduplication_window = 1000")
    log.store_more(Commit({2: TWO}, {2: 6}, LATER_MS))
    log.sql(f"ALTER TABLE event_log DELETE WHERE kafka_partition = 2 AND kafka_offset = 7 {NOW}")
    log.store_more(Commit({2: TWO}, {2: 6}, LATER_MS), {2: 6})
    log.anchor_under(log.policy())


@on_copy(Who.CLICKHOUSE, "columns")
def the_index_is_filled_through_a_buffer_of_another_database(log: AttackedLog) -> None:
    ours = log.clickhouse.config.database
    other = f"{ours}_odd"
    log.also_drops.append(other)
    log.clickhouse.command(f"CREATE DATABASE `{other}`", in_database=False)
    log.sql(
        f"CREATE TABLE `{other}`.hop AS event_index"
        f" ENGINE = Buffer('{ours}', 'event_index', 1, 0, 0, 0, 0, 0, 0)"
    )
    log.sql(
        f"CREATE MATERIALIZED VIEW `{other}`.sly TO `{other}`.hop"
        " AS SELECT occurred_us + 1 AS occurred_us, session_id, 'odd' AS type FROM event_log"
    )
    _ended(log)
    log.sql(f"OPTIMIZE TABLE `{other}`.hop")


@on_copy(Who.CLICKHOUSE, "views")
def a_view_passes_over_what_a_setting_of_its_own_cuts_off(log: AttackedLog) -> None:
    text = _text_of(log, "quarantine")
    log.sql("DROP VIEW quarantine")
    log.sql(f"{text} SETTINGS max_rows_to_read = 1, read_overflow_mode = 'break'")


# -- orders


@on_copy(Who.CLICKHOUSE, "erasures")
def an_erased_record_is_put_back_into_quarantine(log: AttackedLog) -> None:
    where = "kafka_partition = 2 AND kafka_offset = 3"
    record = log.one(f"SELECT hex(record) FROM event_log WHERE {where}")
    log.erase(where)
    log.sql(
        "INSERT INTO event_quarantine SELECT kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset,"
        f" appended_at, kafka_offset, length(unhex('{record}')), SHA256(unhex('{record}')), NULL, unhex('{record}'),"
        f" [], 'type: required', '1', now64(3) FROM event_log WHERE {where}"
    )


@on_copy(Who.CLICKHOUSE, "anchors")
def an_anchor_is_given_a_strangers_signature_too(log: AttackedLog) -> None:
    """Who checks a note passes over the line; the next anchor names the file without it."""
    _moved(log, "log_anchors", "concat(anchor, '— stranger AAAA\\n') AS anchor", "number = 2")


# -- where others keep the anchors


def _kept(log: AttackedLog) -> list[Path]:
    return sorted(log.folder.rglob("*.anchor"))


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_kept_anchor_is_a_link_to_an_earlier_one(log: AttackedLog) -> None:
    *_, before, last = _kept(log)
    last.unlink()
    last.symlink_to(before)


@on_copy(Who.ALL, "anchors", needs="anchors")
def a_kept_anchors_lines_end_as_on_another_system(log: AttackedLog) -> None:
    last = _kept(log)[-1]
    content = last.read_bytes()
    last.unlink()
    last.write_bytes(content.replace(b"\n", b"\r\n"))


@on_copy(Who.ALL, "anchors", needs="anchors")
def the_kept_anchors_are_moved_into_a_folder_of_theirs(log: AttackedLog) -> None:
    """Nobody looks for them there, and receipts say that the folder keeps them."""
    log.anchor_under(log.policy())
    aside = log.folder.parent / "aside"
    shutil.move(log.folder, aside)
    log.folder.mkdir()
    shutil.move(aside, log.folder / "old")
