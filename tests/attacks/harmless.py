"""What happens to every log and changes nothing of it: verify must call it intact."""

from functools import cache

from msgspec import structs

from attack import Who, on_copy, on_history
from attack_scene import (
    HOUR_MS,
    OPERATOR,
    AttackedLog,
    Commit,
    History,
    Keys,
    anchor_with_a_witness,
)
from sealing_scene import claimed
from trailhouse.operate.erase.orders import Operator, erase
from trailhouse.operate.erase.sought import Sought, find
from trailhouse.proof.policy import Policy
from trailhouse.schemas import AuditEvent

NOW = "SETTINGS mutations_sync = 2"
LATER_MS = 2 * HOUR_MS - 150_000
"""Half a minute after the newest: no seal is due yet."""


@cache
def event_at(offset: int) -> AuditEvent:
    """Return the event of an offset."""
    return claimed("legacy", "p9", 100 + offset, session_id="old")


def _more(
    log: AttackedLog, first: int, count: int = 3, partition: int = 2, ago_ms: int = LATER_MS
) -> None:
    """Store more events of a service that seals nothing: at an offset the same one whenever it is asked for."""
    events = [event_at(first + n) for n in range(count)]
    log.store_more(Commit({partition: events}, {partition: first}, ago_ms))


@on_copy(Who.NOBODY)
def every_table_is_merged(log: AttackedLog) -> None:
    tables = log.clickhouse.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    ).rows
    for (name,) in tables:
        log.sql(f"OPTIMIZE TABLE `{name}` FINAL")


@on_copy(Who.NOBODY)
def a_part_is_detached_and_attached_again(log: AttackedLog) -> None:
    part = log.one(
        "SELECT any(name) FROM system.parts WHERE database = currentDatabase() AND table = 'event_log' AND active"
    )
    log.sql(f"ALTER TABLE event_log DETACH PART '{part}'")
    log.sql(f"ALTER TABLE event_log ATTACH PART '{part}'")


@on_copy(Who.NOBODY)
def a_rebalance_gives_a_partition_to_another_worker(log: AttackedLog) -> None:
    _more(log, 6)
    _more(log, 9)


@on_copy(Who.NOBODY)
def a_zombie_stores_what_another_has_stored(log: AttackedLog) -> None:
    _more(log, 6)
    _more(log, 6)


@on_copy(Who.NOBODY)
def a_batch_is_read_again_with_what_follows(log: AttackedLog) -> None:
    """The first has died before its commit: the next one reads from there, and further."""
    _more(log, 6, 2)
    _more(log, 6, 5)


@on_history(Who.NOBODY)
def records_are_sent_again(history: History, keys: Keys) -> History:
    """Copies of what is stored, from a spool that did not see the answers."""
    copies = [value for value in history.commits[0].values[1] if value is not None]
    return History((*history.commits, Commit({1: copies}, {1: 9}, LATER_MS)))


@on_copy(Who.NOBODY)
def the_topic_gets_more_partitions(log: AttackedLog) -> None:
    _more(log, 0, partition=3)


@on_copy(Who.NOBODY)
def a_log_begins_far_from_its_start(log: AttackedLog) -> None:
    _more(log, 10**12, partition=4)


@on_copy(Who.NOBODY)
def a_backup_is_restored_and_the_rest_read_again(log: AttackedLog) -> None:
    """Rows, leaves and ledger after the backup are gone, and come back from Kafka."""
    _more(log, 6, ago_ms=LATER_MS)
    for table, column in (
        ("log_leaves", "kafka_offset"),
        ("event_log", "kafka_offset"),
        ("batch_ledger", "first_offset"),
    ):
        log.sql(f"ALTER TABLE {table} DELETE WHERE kafka_partition = 2 AND {column} >= 6 {NOW}")
    log.sql(f"ALTER TABLE log_checkpoints DELETE WHERE kafka_partition = 2 AND size > 6 {NOW}")
    _more(log, 6, ago_ms=LATER_MS)


@on_copy(Who.NOBODY)
def a_transactions_marker_takes_an_offset(log: AttackedLog) -> None:
    _more(log, 6)
    log.store_more(
        Commit({2: [claimed("legacy", "p9", 10**15)]}, {2: 10}, LATER_MS), reads_from={2: 9}
    )


@on_copy(Who.NOBODY)
def a_smaller_true_checkpoint_is_stored_later(log: AttackedLog) -> None:
    log.sql(
        "INSERT INTO log_checkpoints SELECT * REPLACE (now64(3) AS written_at) FROM"
        " (SELECT * FROM log_checkpoints ORDER BY size LIMIT 1)"
    )


@on_copy(Who.NOBODY)
def a_service_is_enrolled_in_a_new_policy(log: AttackedLog) -> None:
    first = log.policy()
    second: Policy = log.policy(
        version=2, previous=first.sha256, services=(*first.services, log.keys.legacy.key("*"))
    )
    log.publish(second)
    log.anchor_under(second)


@on_copy(Who.NOBODY)
def an_anchor_is_made_of_what_is_not_anchored_yet(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def an_index_is_dropped_and_settings_are_tuned(log: AttackedLog) -> None:
    log.sql("ALTER TABLE event_log DROP INDEX by_session")
    log.sql("ALTER TABLE event_log MODIFY SETTING old_parts_lifetime = 60")
    log.sql("CREATE VIEW ours AS SELECT count() AS events FROM events")


@on_copy(Who.NOBODY)
def a_witness_has_cosigned_as_the_policy_asks(log: AttackedLog) -> None:
    anchor_with_a_witness(log, is_cosigned=True)


@on_copy(Who.NOBODY)
def no_anchor_is_made_while_nothing_is_stored(log: AttackedLog) -> None:
    log.anchor(log.keys.now_ms - HOUR_MS)
    log.anchor(log.keys.now_ms)


@on_copy(Who.NOBODY)
def a_log_grows_beyond_a_stored_subtree(log: AttackedLog) -> None:
    _more(log, 6, 600)


@on_copy(Who.NOBODY)
def an_operator_erases_a_sealed_session(log: AttackedLog) -> None:
    """Its seals are older: what they name is erased by order, and neither missing nor anybody else's."""
    _erase(log, "s0")
    log.judge()


@on_copy(Who.NOBODY)
def an_operator_erases_seals(log: AttackedLog) -> None:
    """What they were about is held against none any more."""
    _erase(log, "seal:p1")


def _erase(log: AttackedLog, session: str) -> None:
    found = find(log.clickhouse, Sought(session=session))
    assert found.digests
    erase(
        log.clickhouse,
        log.policy(),
        Operator(name="ops", signer=OPERATOR),
        found,
        reason="asked for",
    )


@on_copy(Who.NOBODY)
def a_services_key_is_revoked_and_its_seals_judged_again(log: AttackedLog) -> None:
    """Before and after: what readers are shown follows from the policy of then."""
    first = log.policy()
    agents, tools = first.services
    second = log.policy(
        version=2,
        previous=first.sha256,
        services=(structs.replace(agents, last_anchor=3), tools),
    )
    log.publish(second)
    log.judge(second)


@on_history(Who.NOBODY)
def a_stranger_writes_in_his_own_name(history: History, keys: Keys) -> History:
    """It is attributed to nobody, which is so: it changes no answer about anybody else."""
    own = [claimed("unknown", "px", n, session_id="s0", tenant_id="a") for n in range(2)]
    return History((*history.commits, Commit({2: own}, {2: 6}, LATER_MS)))


@on_history(Who.NOBODY)
def a_stranger_writes_what_is_no_event(history: History, keys: Keys) -> History:
    bad = [b"", b"{}", b"\xff\xfe", b"[" * 1_000, None, b"x" * 100_000, b'{"type":"audit_sealed"}']
    return History((*history.commits, Commit({2: bad}, {2: 6}, LATER_MS)))


@on_history(Who.NOBODY)
def a_stranger_sends_seals_of_others_again(history: History, keys: Keys) -> History:
    seals = [commit.values[0][0] for commit in history.commits[2:3]]
    return History((*history.commits, Commit({2: [*seals, *seals]}, {2: 6}, LATER_MS)))
