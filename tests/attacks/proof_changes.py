"""What happens between honest changes of a log's proof: upgrades, backups of some tables, orders, keys."""

from msgspec import structs

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit
from made_keys import made_key
from proven import ORIGIN, ProvenLog
from sealing_scene import Logger, claimed
from trailhouse.operate.erase.orders import reapply
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas import AuditEvent

NOW = "SETTINGS mutations_sync = 2"
LATER_MS = 2 * HOUR_MS - 150_000
EVENTS = [claimed("legacy", "p9", 400 + n, session_id="old") for n in range(8)]
PROOF_TABLES = ("log_leaves", "log_nodes", "log_checkpoints")


def _earlier(log: AttackedLog, topic_id: str = "") -> None:
    """Store rows of an idle partition as a version without proof did: no worker has come to it since."""
    log.anchor_under(log.policy())  # else what is stored would wait until this case had its turn
    origin = ORIGIN._replace(topic_id=topic_id) if topic_id else ORIGIN
    earlier = ProvenLog(log.clickhouse, ProofConfig(), origin)
    earlier.store(
        {6: [*EVENTS[:2], b"no event", EVENTS[0]]}, appended_ms=log.keys.now_ms - LATER_MS
    )
    for table in PROOF_TABLES:
        log.sql(f"DELETE FROM {table} WHERE kafka_partition = 6")


@on_copy(Who.NOBODY)
def an_idle_partition_is_accepted_and_goes_on(log: AttackedLog) -> None:
    _earlier(log)
    policy = log.accept()
    log.anchor_under(policy)
    log.store_more(Commit({6: EVENTS[3:6]}, {6: 4}, LATER_MS))
    log.anchor_under(policy)


@on_copy(Who.NOBODY)
def a_topic_that_was_deleted_is_accepted(log: AttackedLog) -> None:
    _earlier(log, "topic-of-before")
    log.anchor_under(log.accept())


@on_copy(Who.CLICKHOUSE, "leaves")
def an_idle_partition_that_was_accepted_is_removed(log: AttackedLog) -> None:
    _earlier(log)
    log.accept()
    for table in ("event_log", "event_quarantine", "log_leaves", "batch_ledger"):
        log.sql(f"ALTER TABLE {table} DELETE WHERE kafka_partition = 6 {NOW}")


@on_copy(Who.CLICKHOUSE, "rows")
def a_row_is_added_above_an_idle_partition_that_was_accepted(log: AttackedLog) -> None:
    _earlier(log)
    log.accept()
    log.sql(
        "INSERT INTO event_log SELECT * REPLACE (6 AS kafka_partition, 40 AS kafka_offset)"
        " FROM (SELECT * FROM event_log WHERE kafka_partition = 2 LIMIT 1)"
    )


@on_copy(Who.CLICKHOUSE, "leaves")
def a_row_and_its_accepted_leaf_are_changed(log: AttackedLog) -> None:
    """Both say the same then; the owner has signed another root."""
    _earlier(log)
    log.accept()
    event = claimed("legacy", "p9", 401, "tool_approval_granted", session_id="old")
    where = "kafka_partition = 6 AND kafka_offset = 1"
    log.sql(f"ALTER TABLE event_log DELETE WHERE {where} {NOW}")
    log.sql(f"ALTER TABLE log_leaves DELETE WHERE {where} {NOW}")
    made = ProvenLog(log.clickhouse, ProofConfig(), ORIGIN._replace(topic_id="scratch"))
    made.store({6: [event]}, first_offsets={6: 1}, appended_ms=log.keys.now_ms - LATER_MS)
    log.sql(
        f"INSERT INTO event_log SELECT * REPLACE ('{ORIGIN.topic_id}' AS kafka_topic_id) FROM event_log"
        " WHERE kafka_topic_id = 'scratch'"
    )
    log.sql(
        f"INSERT INTO log_leaves SELECT * REPLACE ('{ORIGIN.topic_id}' AS kafka_topic_id, '0' AS generation)"
        " FROM log_leaves WHERE kafka_topic_id = 'scratch'"
    )
    for table in ("event_log", "batch_ledger", *PROOF_TABLES):
        log.sql(f"ALTER TABLE {table} DELETE WHERE kafka_topic_id = 'scratch' {NOW}")


@on_copy(Who.NOBODY)
def what_was_erased_before_is_accepted(log: AttackedLog) -> None:
    _earlier(log)
    log.erase("kafka_partition = 6 AND kafka_offset = 1")
    log.accept()


def _backup(log: AttackedLog, *tables: str) -> None:
    for table in tables:
        log.sql(f"CREATE TABLE kept_{table} CLONE AS {table}")


def _restored(log: AttackedLog, *tables: str) -> None:
    for table in tables:
        log.sql(f"TRUNCATE TABLE {table}")
        log.sql(f"INSERT INTO {table} SELECT * FROM kept_{table}")
        log.sql(f"DROP TABLE kept_{table} SYNC")


def _sealed(log: AttackedLog) -> list[AuditEvent]:
    logger = Logger("agents", "p3", log.keys.agents.signer)
    events = [logger.log(session_id="s0", tenant_id="a") for _ in range(3)]
    return [*events, logger.seal(is_last=True)]


@on_copy(Who.NOBODY)
def what_readers_are_shown_of_seals_comes_from_an_older_backup(log: AttackedLog) -> None:
    tables = ("seal_checks", "event_standings")
    _backup(log, *tables)
    log.anchor_under(log.policy())
    log.store_more(Commit({2: _sealed(log)}, {2: 6}, LATER_MS))
    log.judge()
    log.anchor_under(log.policy())
    _restored(log, *tables)
    log.judge()


@on_copy(Who.NOBODY)
def standings_alone_come_from_an_older_backup_and_checks_are_made_again(log: AttackedLog) -> None:
    _backup(log, "event_standings")
    log.anchor_under(log.policy())
    log.store_more(Commit({2: _sealed(log)}, {2: 6}, LATER_MS))
    log.judge()
    log.anchor_under(log.policy())
    _restored(log, "event_standings")
    log.sql("TRUNCATE TABLE seal_checks")
    log.judge()


@on_copy(Who.CLICKHOUSE, "standings")
def standings_alone_come_from_an_older_backup(log: AttackedLog) -> None:
    _backup(log, "event_standings")
    log.anchor_under(log.policy())
    log.store_more(Commit({2: _sealed(log)}, {2: 6}, LATER_MS))
    log.judge()
    log.anchor_under(log.policy())
    _restored(log, "event_standings")


@on_copy(Who.NOBODY)
def rows_alone_come_from_an_older_backup_and_are_read_again(log: AttackedLog) -> None:
    tables = ("event_log", "event_index", "event_usage", "event_quarantine")
    _backup(log, *tables)
    log.anchor_under(log.policy())
    log.store_more(Commit({2: EVENTS[:3]}, {2: 6}, LATER_MS))
    log.anchor_under(log.policy())
    _restored(log, *tables)
    log.store_more(Commit({2: EVENTS[:3]}, {2: 6}, LATER_MS))


@on_copy(Who.CLICKHOUSE, "records")
def rows_alone_come_from_an_older_backup(log: AttackedLog) -> None:
    tables = ("event_log", "event_index", "event_usage", "event_quarantine")
    _backup(log, *tables)
    log.anchor_under(log.policy())
    log.store_more(Commit({2: EVENTS[:3]}, {2: 6}, LATER_MS))
    log.anchor_under(log.policy())
    _restored(log, *tables)


@on_copy(Who.CLICKHOUSE, "anchors")
def all_but_the_anchors_come_from_an_older_backup(log: AttackedLog) -> None:
    tables = (
        "event_log",
        "event_index",
        "event_usage",
        "log_leaves",
        "log_checkpoints",
        "batch_ledger",
    )
    _backup(log, *tables)
    log.anchor_under(log.policy())
    log.store_more(Commit({2: EVENTS[:3]}, {2: 6}, LATER_MS))
    log.anchor_under(log.policy())
    _restored(log, *tables)


@on_copy(Who.CLICKHOUSE, "erasures")
def orders_come_from_an_older_backup(log: AttackedLog) -> None:
    _backup(log, "log_erasures")
    log.erase("kafka_partition = 2 AND kafka_offset = 3")
    log.anchor_under(log.policy())
    _restored(log, "log_erasures")


@on_copy(Who.CLICKHOUSE, "erasures")
def an_erased_record_comes_back_by_a_worker_that_had_not_read_the_order(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    log.store_more(Commit({2: EVENTS[:3]}, {2: 6}, LATER_MS))
    log.erase("kafka_partition = 2 AND kafka_offset = 7")
    log.store_more(Commit({2: EVENTS[:5]}, {2: 6}, LATER_MS))
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def what_a_worker_has_brought_back_is_erased_again(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    log.store_more(Commit({2: EVENTS[:3]}, {2: 6}, LATER_MS))
    log.erase("kafka_partition = 2 AND kafka_offset = 7")
    log.store_more(Commit({2: EVENTS[:5]}, {2: 6}, LATER_MS))
    log.anchor_under(log.policy())
    reapply(log.clickhouse, log.policy())


@on_copy(Who.NOBODY)
def bad_records_are_erased_and_brought_back_and_erased_again(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    commit = Commit({2: [b"no event", EVENTS[0], b"no event"]}, {2: 6}, LATER_MS)
    log.store_more(commit)
    log.erase("kafka_partition = 2 AND kafka_offset = 6", "event_quarantine")
    log.store_more(commit)
    log.anchor_under(log.policy())
    reapply(log.clickhouse, log.policy())


@on_copy(Who.CLICKHOUSE, "rows")
def a_blank_row_of_an_erased_record_is_added_in_a_hole(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    log.store_more(Commit({2: EVENTS[:2]}, {2: 9}, LATER_MS), {2: 6})
    log.anchor_under(log.policy())
    log.erase("kafka_partition = 2 AND kafka_offset = 3")
    log.sql(
        "INSERT INTO event_log SELECT * REPLACE (7 AS kafka_offset, 'tool_approval_granted' AS type)"
        " FROM event_log WHERE record = ''"
    )


@on_copy(Who.CLICKHOUSE, "columns")
def a_blank_row_of_an_erased_record_is_added_in_another_session(log: AttackedLog) -> None:
    """At the offset of its leaf: readers are shown one event more, of a type and session that it never had."""
    log.erase("kafka_partition = 2 AND kafka_offset = 3")
    log.sql(
        "INSERT INTO event_log SELECT * REPLACE ('s0' AS session_id, 'tool_approval_granted' AS type)"
        " FROM event_log WHERE record = ''"
    )


@on_copy(Who.NOBODY)
def a_services_key_follows_another_in_the_middle_of_a_session(log: AttackedLog) -> None:
    """The old one counts up to the anchor that covers what it has sealed."""
    logger = Logger("agents", "p3", log.keys.agents.signer)
    events = [logger.log(session_id="s0", tenant_id="a") for _ in range(3)]
    log.anchor_under(log.policy())
    log.store_more(Commit({2: [*events, logger.seal()]}, {2: 6}, LATER_MS))
    log.judge()
    log.anchor_under(log.policy())
    first = log.policy()
    agents, tools = first.services
    logger.signer = made_key(21)
    old = structs.replace(agents, last_anchor=int(log.one("SELECT max(number) FROM log_anchors")))
    second = log.policy(
        version=2, previous=first.sha256, services=(old, logger.key("a", "b", ""), tools)
    )
    log.publish(second)
    more = [logger.log(session_id="s0", tenant_id="a") for _ in range(3)]
    log.store_more(Commit({2: [*more, logger.seal(is_last=True)]}, {2: 10}, LATER_MS))
    log.judge(second)
    log.anchor_under(second)


@on_copy(Who.CLICKHOUSE, "columns")
def the_row_in_the_index_of_an_erased_event_is_deleted(log: AttackedLog) -> None:
    log.erase("kafka_partition = 2 AND kafka_offset = 3")
    log.sql(
        "ALTER TABLE event_index DELETE WHERE record_key IN (SELECT record_key FROM event_log WHERE record = '')"
        f" {NOW}"
    )


@on_copy(Who.CLICKHOUSE, "rows")
def what_is_left_of_an_erased_bad_record_is_put_in_a_hole(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    log.store_more(Commit({2: [b"no event", *EVENTS[:2]]}, {2: 6}, LATER_MS))
    log.store_more(Commit({2: EVENTS[2:4]}, {2: 12}, LATER_MS), {2: 9})
    log.anchor_under(log.policy())
    log.erase("kafka_partition = 2 AND kafka_offset = 6", "event_quarantine")
    log.sql(
        "INSERT INTO event_quarantine SELECT * REPLACE (10 AS kafka_offset, 10 AS last_offset)"
        " FROM event_quarantine WHERE record = '' AND size_bytes > 0"
    )


@on_copy(Who.CLICKHOUSE, "standings")
def an_erased_attested_event_is_shown_as_disputed(log: AttackedLog) -> None:
    where = "kafka_partition = 0 AND kafka_offset = 2"
    log.erase(where)
    key = log.one(f"SELECT hex(record_key) FROM event_log WHERE {where}")
    log.sql(f"ALTER TABLE event_standings DELETE WHERE hex(record_key) = '{key}' {NOW}")
    log.sql(
        "INSERT INTO event_standings SELECT occurred_us, record_key, 'disputed', 6"
        f" FROM event_log WHERE {where}"
    )
