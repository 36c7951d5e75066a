"""Attacks by who shows one history to one and another to others: owners, anchors, witnesses, and a log's stolen key."""

from collections.abc import Callable
from typing import Any

from msgspec import structs

from attack import Who, on_copy
from attack_scene import (
    HOUR_MS,
    LOG,
    AttackedLog,
    Commit,
    anchor_with_witnesses,
)
from kafka_records import Record
from made_keys import made_key
from proven import ORIGIN, ProvenLog
from sealing_scene import claimed
from trailhouse.operate.erase.blank import blank
from trailhouse.proof.anchor import Anchor, ManifestRoot, anchor_name, file_sha256, parse_anchor
from trailhouse.proof.erasure import hold_key
from trailhouse.proof.keys import note_signed
from trailhouse.proof.policy import Policy

NOW = "SETTINGS mutations_sync = 2"
WITNESSES = tuple(made_key(100 + each) for each in range(3))
PROVEN = ("event_log", "event_quarantine", "log_leaves", "log_nodes", "log_checkpoints", "batch_ledger")  # fmt: skip


def _second(log: AttackedLog, **fields: Any) -> Policy:
    return log.policy(version=2, previous=log.policy().sha256, **fields)


def _forget_policy(log: AttackedLog, version: int) -> None:
    log.sql(f"ALTER TABLE log_policies DELETE WHERE version = {version} {NOW}")


@on_copy(Who.OWNER, "policy")
def the_owner_signs_two_policies_of_one_version(log: AttackedLog) -> None:
    """Nobody has anchored either: who is shown both sees it."""
    for seconds in (61, 62):
        log.publish(_second(log, anchor_seconds=seconds))


@on_copy(Who.OWNER, "policy")
def a_policy_is_exchanged_after_it_was_anchored(log: AttackedLog) -> None:
    first = _second(log, anchor_seconds=61)
    log.publish(first)
    log.anchor_under(first)
    _forget_policy(log, 2)
    log.publish(_second(log, services=()))


@on_copy(Who.OWNER, "policy")
def an_auditor_is_shown_the_policies_before_the_last(log: AttackedLog) -> None:
    second = _second(log, anchor_seconds=61)
    log.publish(second)
    log.anchor_under(second)
    _forget_policy(log, 2)


@on_copy(Who.OWNER, "policy")
def the_first_policy_and_all_that_follow_are_written_anew(log: AttackedLog) -> None:
    """As by an owner who would rather have asked for no witness from the start."""
    log.sql("TRUNCATE TABLE log_policies")
    first = log.policy(services=(), anchor_seconds=59)
    log.publish(first)
    log.publish(log.policy(version=2, previous=first.sha256, services=()))


@on_copy(Who.OWNER, "anchors", "policy", key=True)
def two_policies_of_one_version_are_anchored(log: AttackedLog) -> None:
    for seconds in (61, 62):
        policy = _second(log, anchor_seconds=seconds)
        log.publish(policy)
        log.anchor_under(policy)


def _another(log: AttackedLog, number: int, edit: Callable[[Anchor], dict[str, Any]]) -> str:
    """Return an anchor of *number* that follows the one before as it is stored, with what *edit* makes other."""
    before = log.one(f"SELECT any(anchor) FROM log_anchors WHERE number = {number - 1}")
    newest, _ = parse_anchor(log.one("SELECT anchor FROM log_anchors ORDER BY number DESC LIMIT 1"))
    fields = {"number": number, "previous_sha256": file_sha256(before), **edit(newest)}
    made = structs.replace(newest, **fields)
    return note_signed(made.text, log.keys.log, anchor_name(LOG))


def _keep(log: AttackedLog, number: int, content: str) -> None:
    """Put *content* where others keep anchors, in the place of what is there."""
    folder = max(log.folder.rglob("*.anchor")).parent
    (folder / f"{number:012d}.anchor").write_text(content)


@on_copy(Who.ALL, "anchors", key=True, needs="anchors")
def two_anchors_of_one_number_are_given_to_two_places(log: AttackedLog) -> None:
    """They name the same checkpoints: one is a second later."""
    log.anchor_under(log.policy())
    _keep(log, 4, _another(log, 4, lambda newest: {"at_ms": newest.at_ms + 1_000}))


@on_copy(Who.ALL, "anchors", key=True, needs="anchors")
def two_checkpoints_of_one_size_are_given_to_two_places(log: AttackedLog) -> None:
    log.anchor_under(log.policy())

    def other(newest: Anchor) -> dict[str, Any]:
        first, *others = newest.checkpoints
        return {"checkpoints": (first._replace(root=bytes(32)), *others)}

    _keep(log, 4, _another(log, 4, other))


@on_copy(Who.ALL, "anchors", key=True, needs="anchors")
def one_place_is_given_an_anchor_that_another_never_saw(log: AttackedLog) -> None:
    _keep(log, 4, _another(log, 4, lambda newest: {"at_ms": newest.at_ms + 60_000}))


@on_copy(Who.ALL, "manifests", key=True, needs="anchors")
def one_place_is_told_of_a_day_that_another_never_saw(log: AttackedLog) -> None:
    def told(newest: Anchor) -> dict[str, Any]:
        made = ManifestRoot("2024-02-29", newest.checkpoints[0].origin, 1, bytes(32))
        return {"manifests": (made,)}

    _keep(log, 4, _another(log, 4, told))


@on_copy(Who.ALL, "anchors", key=True)
def two_anchors_of_one_number_are_stored_that_others_follow(log: AttackedLog) -> None:
    """Each chain goes on, so that whoever is shown one sees nothing; both lie in ClickHouse."""
    first, *_ = log.clickhouse.query("SELECT anchor FROM log_anchors ORDER BY number DESC").rows[0]
    made = _another(log, 3, lambda newest: {"at_ms": newest.at_ms + 1_000})
    newest, _ = parse_anchor(first)
    for before in (first, made):
        following = structs.replace(newest, number=4, previous_sha256=file_sha256(before))
        content = note_signed(following.text, log.keys.log, anchor_name(LOG))
        for number, text in ((3, before), (4, content)):
            log.sql(
                "INSERT INTO log_anchors VALUES ({number:UInt64}, {text:String})",
                number=number,
                text=text,
            )


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def fewer_witnesses_cosign_than_the_policy_asks_for(log: AttackedLog) -> None:
    anchor_with_witnesses(log, WITNESSES, quorum=2, cosign=WITNESSES[:1])


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def one_witness_cosigns_as_often_as_the_policy_asks_for(log: AttackedLog) -> None:
    anchor_with_witnesses(log, WITNESSES, quorum=2, cosign=WITNESSES[:1] * 2)


@on_copy(Who.NOBODY)
def one_of_three_witnesses_is_away(log: AttackedLog) -> None:
    anchor_with_witnesses(log, WITNESSES, quorum=2, cosign=WITNESSES[1:])


def _rewritten(log: AttackedLog, partition: int, edit: Callable[[int, bytes], bytes]) -> None:
    """Store a partition anew as *edit* makes its records, with leaves, subtrees and checkpoints by the log's key."""
    rows = log.clickhouse.query(
        "SELECT kafka_offset, toUnixTimestamp64Milli(appended_at) AS at_ms, record FROM event_log"
        " WHERE kafka_partition = {partition:UInt32} UNION ALL"
        " SELECT kafka_offset, toUnixTimestamp64Milli(appended_at), assumeNotNull(record) FROM event_quarantine"
        " WHERE kafka_partition = {partition:UInt32}",
        {"partition": partition},
        bytes_columns=("record",),
    ).rows
    for table in PROVEN:
        log.sql(f"ALTER TABLE {table} DELETE WHERE kafka_partition = {partition} {NOW}")
    for table in ("event_index", "event_usage"):
        log.sql(
            f"ALTER TABLE {table} DELETE WHERE record_key NOT IN (SELECT record_key FROM event_log) {NOW}"
        )
    writer = ProvenLog(log.clickhouse, log.proof, ORIGIN)
    for at_ms in sorted({at_ms for _, at_ms, _ in rows}):
        records = [
            Record(edit(offset, record), partition=partition, offset=offset, appended_ms=at_ms)
            for offset, each_ms, record in sorted(rows)
            if each_ms == at_ms
        ]
        writer.write(records, {partition: records[0].offset()})


def _lost(offset: int, record: bytes) -> bytes:
    return record.replace(b"message_sent", b"message_lost") if offset == 0 else record


@on_copy(Who.CLICKHOUSE, "anchors", "manifests", key=True)
def an_anchored_partition_is_signed_anew_with_another_event(log: AttackedLog) -> None:
    """Rows, leaves, subtrees, checkpoints and batches fit each other; only the stored anchors are left as they were."""
    _rewritten(log, 2, _lost)


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def an_anchored_partition_is_signed_anew_below_what_is_signed_since(log: AttackedLog) -> None:
    """So that the newest checkpoint fits what is stored, and was never anchored."""
    _rewritten(log, 2, _lost)
    log.store_more(Commit({2: [claimed("legacy", "p9", 200, session_id="old")]}, {2: 6}, HOUR_MS))


@on_copy(Who.OPERATOR, "erasures")
def an_anchored_hold_gives_its_number_to_an_erasure(log: AttackedLog) -> None:
    """By an operator's stolen key: the hold was never given, to whoever sees the orders alone."""
    log.order("hold", 1, hold_key("session", "old"))
    log.anchor_under(log.policy())
    log.sql("TRUNCATE TABLE log_erasures")
    log.erase("kafka_partition = 2 AND kafka_offset = 3")


@on_copy(Who.OPERATOR, "erasures")
def a_hold_is_lifted_and_both_are_forgotten(log: AttackedLog) -> None:
    where = "kafka_partition = 2 AND kafka_offset = 3"
    digest = bytes.fromhex(log.one(f"SELECT hex(SHA256(record)) FROM event_log WHERE {where}"))
    log.order("hold", 1, hold_key("session", "old"))
    log.order("lift", 2, hold_key("session", "old"))
    log.order("erase", 3, digest)
    blank(log.clickhouse, [digest])
    log.sql(f"ALTER TABLE log_erasures DELETE WHERE number < 3 {NOW}")


def _swapped(log: AttackedLog, table: str) -> None:
    """Give the events of one tenant to the other in *table*; of the log, also in what is filled from it."""
    swapped = "if(tenant_id = 'a', 'b', 'a') AS tenant_id"
    log.sql(
        f"CREATE TABLE swapped ENGINE = Memory AS SELECT * REPLACE ({swapped}) FROM {table}"
        " WHERE tenant_id IN ('a', 'b')"
    )
    for filled in ("event_log", "event_index", "event_usage") if table == "event_log" else (table,):
        log.sql(f"ALTER TABLE {filled} DELETE WHERE tenant_id IN ('a', 'b') {NOW}")
    log.sql(f"INSERT INTO {table} SELECT * FROM swapped")
    log.sql("DROP TABLE swapped SYNC")


@on_copy(Who.CLICKHOUSE, "columns", "standings")
def tenants_change_places_in_every_table_of_events(log: AttackedLog) -> None:
    _swapped(log, "event_log")


@on_copy(Who.CLICKHOUSE, "columns")
def tenants_change_places_in_the_index_alone(log: AttackedLog) -> None:
    _swapped(log, "event_index")
