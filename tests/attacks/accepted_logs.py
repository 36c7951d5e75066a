"""What the owner has accepted unsigned is intact as it stands; whoever changes it, or forges that word, is found."""

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit, records_of
from made_keys import made_key
from proven import ORIGIN, ProvenLog
from sealing_scene import claimed
from trailhouse.proof.config import ProofConfig

LATER_MS = 2 * HOUR_MS - 150_000
EVENTS = [claimed("legacy", "p9", 200 + n, session_id="old") for n in range(6)]
OTHERS = [claimed("legacy", "p8", 300 + n, session_id="late") for n in range(6)]
NOW = "SETTINGS mutations_sync = 2"
PROOF_TABLES = ("log_leaves", "log_nodes", "log_checkpoints")


def _a_version_without_proof(log: AttackedLog) -> None:
    """Store rows as one that made no leaves did, then go on as one that does."""
    at_ms = log.keys.now_ms - LATER_MS
    earlier = ProvenLog(log.clickhouse, ProofConfig(), ORIGIN)
    earlier.store({6: [*EVENTS[:2], b"no event", EVENTS[0]]}, appended_ms=at_ms)
    for table in PROOF_TABLES:
        log.sql(f"DELETE FROM {table} WHERE kafka_partition = 6")
    later = ProvenLog(log.clickhouse, log.proof, ORIGIN)
    later.write(records_of({6: EVENTS[3:]}, {6: 4}, at_ms), {6: 4})


def _a_key_that_came_late(log: AttackedLog) -> None:
    """Go without a key until Kafka has dropped the start, then sign."""
    at_ms = log.keys.now_ms - LATER_MS
    unsigned = ProvenLog(log.clickhouse, ProofConfig(), ORIGIN)
    unsigned.store({7: OTHERS[:4]}, appended_ms=at_ms)
    signing = ProvenLog(log.clickhouse, log.proof, ORIGIN)
    signing.write(records_of({7: OTHERS[3:]}, {7: 3}, at_ms), {7: 4}, {7: 3})


def _both(log: AttackedLog) -> None:
    _a_version_without_proof(log)
    _a_key_that_came_late(log)


def _accepted(log: AttackedLog) -> None:
    _both(log)
    log.accept()


@on_copy(Who.NOBODY)
def an_upgraded_log_is_accepted(log: AttackedLog) -> None:
    _a_version_without_proof(log)
    log.accept("stored by a version without proof")


@on_copy(Who.NOBODY)
def a_log_whose_key_came_late_is_accepted(log: AttackedLog) -> None:
    _a_key_that_came_late(log)
    log.accept("the key came when Kafka had dropped the start")


@on_copy(Who.NOBODY)
def an_end_that_an_election_has_left_unsigned_is_accepted(log: AttackedLog) -> None:
    at_ms = log.keys.now_ms - LATER_MS
    before = ProvenLog(log.clickhouse, log.proof, ORIGIN)
    before.store({8: EVENTS[:2]}, appended_ms=at_ms)
    before.store({8: EVENTS[2:4]}, appended_ms=at_ms)
    log.sql("DELETE FROM log_checkpoints WHERE kafka_partition = 8 AND size > 2")
    after = ProvenLog(log.clickhouse, log.proof, ORIGIN)
    after.write(records_of({8: OTHERS}, {8: 1}, at_ms), {8: 4})
    log.accept("a leader was elected that lacked two records, and nobody had signed the second")


@on_copy(Who.NOBODY)
def what_is_accepted_is_merged_and_goes_on(log: AttackedLog) -> None:
    _accepted(log)
    for table in ("event_log", "log_leaves", "event_quarantine"):
        log.sql(f"OPTIMIZE TABLE {table} FINAL")
    log.store_more(Commit({6: EVENTS[4:]}, {6: 7}, LATER_MS))


@on_copy(Who.NOBODY)
def what_is_accepted_is_erased_by_an_operator(log: AttackedLog) -> None:
    _accepted(log)
    log.erase("kafka_partition = 6 AND kafka_offset = 1")


@on_copy(Who.CLICKHOUSE, "rows")
def an_accepted_row_is_changed(log: AttackedLog) -> None:
    _accepted(log)
    log.sql(
        f"ALTER TABLE event_log UPDATE record = replaceOne(record, 'legacy', 'legate')"
        f" WHERE kafka_partition = 6 AND kafka_offset = 1 {NOW}"
    )


@on_copy(Who.CLICKHOUSE, "records")
def an_accepted_row_is_deleted(log: AttackedLog) -> None:
    _accepted(log)
    log.sql("DELETE FROM event_log WHERE kafka_partition = 6 AND kafka_offset = 1")


@on_copy(Who.CLICKHOUSE, "rows")
def a_row_is_added_below_what_is_accepted(log: AttackedLog) -> None:
    _accepted(log)
    log.sql(
        "INSERT INTO event_log SELECT * REPLACE (6 AS kafka_partition, 3 AS kafka_offset)"
        " FROM (SELECT * FROM event_log WHERE kafka_partition = 2 LIMIT 1)"
    )


@on_copy(Who.CLICKHOUSE, "leaves")
def accepted_leaves_are_deleted_with_their_rows(log: AttackedLog) -> None:
    _accepted(log)
    for table in ("event_log", "log_leaves"):
        log.sql(f"DELETE FROM {table} WHERE kafka_partition = 6 AND kafka_offset = 1")


@on_copy(Who.CLICKHOUSE, "leaves")
def a_row_and_its_leaf_join_what_is_accepted(log: AttackedLog) -> None:
    _accepted(log)
    log.sql(
        "INSERT INTO event_log SELECT * REPLACE (7 AS kafka_partition, 0 AS kafka_offset)"
        " FROM (SELECT * FROM event_log WHERE kafka_partition = 2 LIMIT 1)"
    )
    log.sql(
        "INSERT INTO log_leaves SELECT * REPLACE (7 AS kafka_partition, 0 AS kafka_offset)"
        " FROM (SELECT * FROM log_leaves WHERE kafka_partition = 2 LIMIT 1)"
    )


@on_copy(Who.CLICKHOUSE, "leaves")
def what_nobody_signed_is_accepted_by_another_than_the_owner(log: AttackedLog) -> None:
    _both(log)
    log.accept(owner=made_key(3))


@on_copy(Who.CLICKHOUSE, "leaves")
def the_word_of_the_owner_is_taken_away(log: AttackedLog) -> None:
    _accepted(log)
    log.sql(f"ALTER TABLE log_policies DELETE WHERE version = 2 {NOW}")
