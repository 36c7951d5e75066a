"""Attacks by who holds the log's key: another history is stored, signed and anchored as if it were true.

Only what others keep tells: anchors outside, or the checkpoint that an auditor has kept; and seals, of what is younger.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace

from attack import Who, on_copy, on_history
from attack_scene import (
    HOUR_MS,
    AtOffset,
    AttackedLog,
    Commit,
    Gone,
    History,
    Keys,
    anchor_with_a_witness,
)
from sealing_scene import claimed
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.keys import note_signed
from trailhouse.schemas import AuditEvent

NOW = "SETTINGS mutations_sync = 2"


def _is_legacy(value: object) -> bool:
    """Tell whether it is an event of a service that seals nothing."""
    return isinstance(value, AuditEvent) and value.session_id == "old" and value.source is not None


def _legacy(history: History, edit: Callable[[AuditEvent], AtOffset]) -> History:
    """Return *history* with another first event of the service that seals nothing."""
    return history.edited(
        lambda partition, offset, value: (
            edit(value)
            if isinstance(value, AuditEvent) and _is_legacy(value) and (partition, offset) == (2, 0)
            else value
        )
    )


@on_history(Who.CLICKHOUSE, "anchors", key=True, needs="anchors", rewritten=True)
def history_is_written_anew_with_another_event(history: History, keys: Keys) -> History:
    return _legacy(history, lambda value: value.record.replace(b"message_sent", b"message_lost"))


@on_history(Who.CLICKHOUSE, "anchors", key=True, needs="anchors", rewritten=True)
def history_is_written_anew_without_an_event(history: History, keys: Keys) -> History:
    return _legacy(history, lambda value: Gone)


@on_history(Who.CLICKHOUSE, "anchors", key=True, needs="anchors", rewritten=True)
def history_is_written_anew_with_one_event_more(history: History, keys: Keys) -> History:
    second = history.commits[1]
    values = {
        **second.values,
        2: [*second.values[2], claimed("legacy", "p9", 30, session_id="old")],
    }
    return History((history.commits[0], replace(second, values=values), *history.commits[2:]))


@on_history(Who.CLICKHOUSE, "anchors", key=True, needs="anchors", rewritten=True)
def the_end_of_history_is_cut_off(history: History, keys: Keys) -> History:
    first = replace(history.commits[0], is_anchored=True)
    return History((first,))


@on_history(Who.CLICKHOUSE, "anchors", "seals", key=True, rewritten=True)
def history_is_written_anew_with_another_sealed_event(history: History, keys: Keys) -> History:
    return history.edited(
        lambda _, __, value: (
            value.record.replace(b"denied", b"granted")
            if isinstance(value, AuditEvent) and value.type == "tool_approval_denied"
            else value
        )
    )


@on_history(Who.CLICKHOUSE, "anchors", key=True, needs="anchors", rewritten=True)
def the_brokers_times_are_written_anew(history: History, keys: Keys) -> History:
    first = history.commits[0]
    return History((replace(first, ago_ms=first.ago_ms + 60_000), *history.commits[1:]))


@on_copy(Who.CLICKHOUSE, "seals", key=True)
def what_no_anchor_holds_yet_is_written_anew(log: AttackedLog) -> None:
    """The events of the last minute, sealed already, are taken away with leaves and checkpoints, and others stored."""
    _forget_after_last_anchor(log)
    log.store_more(
        Commit(
            {
                0: [
                    claimed("agents", "p1", 15, session_id="s0", tenant_id="a"),
                    claimed("agents", "p1", 16, session_id="s0", tenant_id="a"),
                    b"nothing",
                ],
                1: [log.keys.last_seal],
            },
            {0: 13, 1: 8},
            7_000_000,
        )
    )


@on_copy(Who.CLICKHOUSE, "leaves", key=True)
def two_histories_are_signed(log: AttackedLog) -> None:
    """A checkpoint of another root beside the true one, by the log's own key."""
    text = log.one(
        "SELECT any(checkpoint) FROM log_checkpoints WHERE kafka_partition = 2 AND size = 6"
    )
    origin = text.split("\n")[0]
    forged = note_signed(Checkpoint(origin, 6, bytes(range(32))).text, log.keys.log, origin)
    log.sql(
        "INSERT INTO log_checkpoints SELECT * REPLACE ({text:String} AS checkpoint) FROM"
        " (SELECT * FROM log_checkpoints WHERE kafka_partition = 2 AND size = 6 LIMIT 1)",
        text=forged,
    )


@on_copy(Who.CLICKHOUSE, "anchors", key=True, needs="anchors")
def the_anchors_are_signed_anew(log: AttackedLog) -> None:
    """The same history, with anchors of other times."""
    log.sql("TRUNCATE TABLE log_anchors")
    kept = log.folder.with_name("kept")
    log.folder.rename(kept)
    log.anchor(1_700_000_000_000)
    shutil.rmtree(log.folder)
    kept.rename(log.folder)


@on_history(Who.ALL, "leaves", key=True, needs="kept")
def everything_is_written_anew_and_the_anchors_outside_too(history: History, keys: Keys) -> History:
    """The auditor's kept checkpoint tells, or a witness."""
    return _legacy(history, lambda value: value.record.replace(b"message_sent", b"message_lost"))


@on_history(Who.ALL, "leaves", key=True, needs="kept")
def everything_is_cut_off_and_the_anchors_outside_too(history: History, keys: Keys) -> History:
    return History(history.commits[:1])


@on_copy(Who.WORKER, "anchors", key=True)
def anchors_are_held_up(log: AttackedLog) -> None:
    """What was stored meanwhile could be changed before anybody else has seen it."""
    log.anchor(log.keys.now_ms - HOUR_MS)
    log.store_more(
        Commit({2: [claimed("legacy", "p9", 200, session_id="old")]}, {2: 6}, HOUR_MS - 600_000)
    )
    log.sql(
        f"ALTER TABLE batch_ledger UPDATE written_at = now64(3) - INTERVAL 40 MINUTE WHERE first_offset = 6 {NOW}"
    )
    log.anchor(log.keys.now_ms)


@on_copy(Who.CLICKHOUSE, "anchors", key=True)
def the_witnesses_are_left_out(log: AttackedLog) -> None:
    """The policy asks for one, and an hour ago one should have signed."""
    anchor_with_a_witness(log, is_cosigned=False)


def _forget_after_last_anchor(log: AttackedLog) -> None:
    for table, column, first in (
        ("log_leaves", "kafka_offset", 1), ("event_log", "kafka_offset", 1), ("event_quarantine", "kafka_offset", 1),
        ("batch_ledger", "first_offset", 1), ("log_checkpoints", "size", 0),
    ):  # fmt: skip
        limits = ((0, 12), (1, 7)) if first else ((0, 13), (1, 8))
        for partition, last in limits:
            log.sql(
                f"ALTER TABLE {table} DELETE WHERE kafka_partition = {partition} AND {column} > {last} {NOW}"
            )
    log.sql(
        f"ALTER TABLE event_index DELETE WHERE record_key NOT IN (SELECT record_key FROM event_log) {NOW}"
    )
