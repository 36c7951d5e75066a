"""More of what happens to every log and changes nothing of it."""

from attack import Who, on_copy, on_history
from attack_scene import HOUR_MS, AttackedLog, Commit, History, Keys
from proven import ORIGIN, ProvenLog
from sealing_scene import claimed
from trailhouse.proof.config import ProofConfig

NOW = "SETTINGS mutations_sync = 2"
LATER_MS = 2 * HOUR_MS - 150_000
"""Half a minute after the newest: no seal is due yet."""
EVENTS = [claimed("legacy", "p9", 200 + n, session_id="old") for n in range(6)]


@on_copy(Who.NOBODY)
def columns_are_explained_and_packed_otherwise(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log COMMENT COLUMN run_id ', CONSTRAINT TTL or PROJECTION'")
    log.sql("ALTER TABLE event_log MODIFY COLUMN trace_id CODEC(ZSTD(3))")
    log.sql("ALTER TABLE event_log ADD INDEX by_run run_id TYPE bloom_filter(0.01) GRANULARITY 1")
    log.sql(f"ALTER TABLE event_log MATERIALIZE INDEX by_run {NOW}")


@on_copy(Who.NOBODY)
def old_parts_are_packed_harder(log: AttackedLog) -> None:
    log.sql(
        "ALTER TABLE event_log MODIFY TTL toDateTime(appended_at) + INTERVAL 2 HOUR RECOMPRESS CODEC(ZSTD(9))"
    )


@on_copy(Who.NOBODY)
def a_table_is_moved_and_comes_back(log: AttackedLog) -> None:
    log.sql("RENAME TABLE event_log TO elsewhere")
    log.sql("RENAME TABLE elsewhere TO event_log")
    log.sql("DETACH TABLE log_leaves")
    log.sql("ATTACH TABLE log_leaves")


@on_copy(Who.NOBODY)
def rows_are_inserted_twice(log: AttackedLog) -> None:
    tables = "event_log event_index event_usage event_quarantine log_leaves log_nodes log_checkpoints log_anchors"
    for table in (*tables.split(), "log_policies", "batch_ledger", "event_incidents"):
        log.sql(f"INSERT INTO {table} SELECT * FROM {table}")


@on_copy(Who.NOBODY)
def an_erased_bad_record_is_blank(log: AttackedLog) -> None:
    log.erase("kafka_offset = 5", "event_quarantine")


@on_history(Who.NOBODY)
def the_brokers_clocks_differ_by_seconds(history: History, keys: Keys) -> History:
    later = [Commit({2: [EVENTS[n]]}, {2: 6 + n}, LATER_MS + 7_000 * (n % 2)) for n in range(4)]
    return History((*history.commits, *later))


@on_history(Who.NOBODY)
def records_are_empty_null_or_huge(history: History, keys: Keys) -> History:
    odd = [None, b"", None, b"\x00", b"{" * 70_000, b"x" * 3_000_000]
    return History((*history.commits, Commit({2: odd}, {2: 6}, LATER_MS)))


@on_copy(Who.NOBODY)
def a_view_of_ours_reads_the_log_into_a_table_of_ours(log: AttackedLog) -> None:
    log.sql("CREATE TABLE counted (events UInt64) ENGINE = MergeTree ORDER BY tuple()")
    log.sql(
        "CREATE MATERIALIZED VIEW counting TO counted AS SELECT count() AS events FROM event_log"
    )
    log.store_more(Commit({2: EVENTS[:1]}, {2: 6}, LATER_MS))


@on_copy(Who.NOBODY)
def a_note_lies_beside_the_kept_anchors(log: AttackedLog) -> None:
    (log.folder / "README").write_text("kept for the auditors")


@on_copy(Who.NOBODY)
def a_log_has_begun_before_there_was_a_key(log: AttackedLog) -> None:
    at_ms = log.keys.now_ms - LATER_MS
    without = ProvenLog(log.clickhouse, ProofConfig(), ORIGIN)
    without.store({5: EVENTS[:3]}, appended_ms=at_ms)
    signing = ProvenLog(log.clickhouse, log.proof, ORIGIN)
    # It reads again what nobody has signed, and Kafka still has it.
    signing.store({5: EVENTS}, first_offsets={5: 0}, appended_ms=at_ms)


@on_copy(Who.NOBODY)
def the_topic_is_deleted_and_made_anew(log: AttackedLog) -> None:
    anew = ProvenLog(log.clickhouse, log.proof, ORIGIN._replace(topic_id="made-anew"))
    anew.store({0: EVENTS}, appended_ms=log.keys.now_ms - LATER_MS)
