"""Attacks on what is stored: by who may write to the topic, by Kafka's administrator, and by a worker that is not ours.

Each makes another history of the true one. It is stored, signed and anchored as it is: the log is in order, and what
was lost or added before is told by seals, numbers and times alone.
"""

from collections.abc import Callable
from dataclasses import replace

from attack import Who, on_copy, on_history
from attack_scene import HOUR_MS, AtOffset, AttackedLog, Commit, Gone, History, Keys, Value
from made_keys import made_key
from sealing_scene import Logger, claimed
from trailhouse.schemas import AuditEvent
from trailhouse.store.tables import LATEST_MS

STRANGER = made_key(77)
DAY_MS = 86_400_000


def is_denial(value: Value) -> bool:
    """Tell whether it is the denial that somebody would rather not have."""
    return isinstance(value, AuditEvent) and value.type == "tool_approval_denied"


def _replaced(history: History, with_what: Callable[[AuditEvent], AtOffset]) -> History:
    return history.edited(
        lambda _, __, value: (
            with_what(value) if isinstance(value, AuditEvent) and is_denial(value) else value
        )
    )


def _with(history: History, *values: Value, ago_ms: int = HOUR_MS, partition: int = 2) -> History:
    """Return *history* with more at the end of a partition."""
    ends = {
        number: commit.first_offsets[number] + len(each)
        for commit in history.commits
        for number, each in commit.values.items()
    }
    more = Commit({partition: values}, {partition: ends[partition]}, ago_ms)
    return History((*history.commits, more))


@on_history(Who.KAFKA, "seals")
def a_sealed_record_is_lost(history: History, keys: Keys) -> History:
    return _replaced(history, lambda value: Gone)


@on_history(Who.KAFKA, "seals")
def a_sealed_record_has_other_bytes(history: History, keys: Keys) -> History:
    return _replaced(history, lambda value: value.record.replace(b'"no"', b'"ok"'))


@on_history(Who.KAFKA, "seals")
def a_denial_is_made_a_grant(history: History, keys: Keys) -> History:
    return _replaced(history, lambda value: value.record.replace(b"denied", b"granted"))


@on_history(Who.KAFKA, "seals")
def a_record_is_given_to_another_tenant(history: History, keys: Keys) -> History:
    return _replaced(
        history, lambda value: value.record.replace(b'"tenant_id":"a"', b'"tenant_id":"b"')
    )


@on_history(Who.KAFKA, "seals")
def a_record_is_emptied(history: History, keys: Keys) -> History:
    return _replaced(history, lambda value: None)


@on_history(Who.KAFKA, "seals")
def a_record_is_cut_short(history: History, keys: Keys) -> History:
    return _replaced(history, lambda value: value.record[:40])


@on_history(Who.KAFKA, "seals")
def a_whole_partition_is_lost(history: History, keys: Keys) -> History:
    return history.edited(lambda partition, _, value: Gone if partition == 1 else value)


@on_history(Who.KAFKA, "seals")
def a_seal_between_others_is_lost(history: History, keys: Keys) -> History:
    return history.edited(
        lambda _, offset, value: (
            Gone
            if isinstance(value, AuditEvent) and value.type == "audit_sealed" and offset == 12
            else value
        )
    )


@on_history(Who.KAFKA, "seals")
def the_newest_events_and_all_later_seals_are_lost(history: History, keys: Keys) -> History:
    """Others go on, so that what this logger has promised is overdue."""
    kept = history.edited(lambda _, offset, value: Gone if offset >= 13 or offset == 8 else value)
    return _with(kept, claimed("legacy", "p9", 50, session_id="old"))


@on_history(Who.KAFKA, "numbers")
def two_events_change_places(history: History, keys: Keys) -> History:
    first = history.commits[0]
    values = list(first.values[1])
    values[0], values[1] = values[1], values[0]
    return History((replace(first, values={**first.values, 1: values}), *history.commits[1:]))


@on_history(Who.KAFKA, "numbers")
def an_unsealed_event_is_moved_behind_later_ones(history: History, keys: Keys) -> History:
    return _with(
        history,
        claimed("legacy", "p9", 9, session_id="old"),
        claimed("legacy", "p9", 8, session_id="old"),
    )


@on_history(Who.KAFKA, "times")
def the_brokers_clock_goes_back_a_day(history: History, keys: Keys) -> History:
    return _with(history, claimed("legacy", "p9", 9), ago_ms=HOUR_MS + DAY_MS)


@on_history(Who.KAFKA, "times")
def the_brokers_clock_is_in_the_year_2299(history: History, keys: Keys) -> History:
    return _with(history, claimed("legacy", "p9", 9), ago_ms=-273 * 365 * DAY_MS)


@on_history(Who.KAFKA, "times")
def the_brokers_time_is_negative(history: History, keys: Keys) -> History:
    return _with(history, claimed("legacy", "p9", 9), ago_ms=2 * 1_800_000_000_000)


@on_history(Who.KAFKA, "times")
def the_topic_is_switched_to_its_senders_times(history: History, keys: Keys) -> History:
    return _with(history, claimed("legacy", "p9", 9), ago_ms=-LATEST_MS)


@on_history(Who.PRODUCER, "seals")
def a_stranger_writes_under_a_sealed_number(history: History, keys: Keys) -> History:
    return _with(history, claimed("agents", "p1", 3, "tool_approval_granted", "s0", tenant_id="a"))


@on_history(Who.PRODUCER, "seals")
def a_stranger_is_there_before_the_true_one(history: History, keys: Keys) -> History:
    first = history.commits[0]
    forged = Commit(
        {2: [claimed("agents", "p1", 3, "tool_approval_granted", "s0", tenant_id="a")]},
        {2: 0},
        4 * HOUR_MS,
    )
    moved = [
        replace(each, first_offsets={**each.first_offsets, 2: each.first_offsets.get(2, 0) + 1})
        for each in history.commits
    ]
    assert first.values
    return History((forged, *moved))


@on_history(Who.PRODUCER, "seals")
def a_stranger_writes_after_a_logger_has_closed(history: History, keys: Keys) -> History:
    return _with(history, claimed("tools", "p2", 40, tenant_id="a", session_id="s2"))


@on_history(Who.PRODUCER, "seals")
def a_stranger_seals_under_another_name(history: History, keys: Keys) -> History:
    other = Logger("tools", "p77", STRANGER)
    return _with(history, other.log(tenant_id="a"), other.seal(is_last=True))


@on_history(Who.PRODUCER, "seals")
def a_stranger_takes_back_what_was_sealed(history: History, keys: Keys) -> History:
    other = Logger("agents", "p1", STRANGER)
    return _with(history, other.log(tenant_id="a"), other.seal(is_last=True))


@on_history(Who.PRODUCER, "seals")
def a_service_seals_for_a_tenant_that_is_not_its(history: History, keys: Keys) -> History:
    own = Logger("tools", "p3", keys.tools.signer)
    return _with(history, own.log(tenant_id="b"), own.seal(is_last=True))


@on_history(Who.PRODUCER, "seals")
def a_service_key_is_in_two_hands(history: History, keys: Keys) -> History:
    twin = Logger("agents", "p1", keys.agents.signer)
    return _with(history, twin.log(tenant_id="b"), twin.seal())


@on_copy(Who.PRODUCER, "seals")
def an_unenrolled_service_writes_where_seals_are_demanded(log: AttackedLog) -> None:
    """The policy says for whom one may write without a key; `old` events are of no tenant, which is not among them."""
    log.publish(log.policy(version=2, previous=log.policy().sha256, unsealed_tenants=("z",)))


@on_history(Who.WORKER, "seals", key=True)
def a_worker_changes_a_record_and_signs_it(history: History, keys: Keys) -> History:
    return _replaced(history, lambda value: value.record.replace(b"denied", b"granted"))


@on_history(Who.WORKER, "seals", key=True)
def a_worker_passes_over_a_record_and_says_that_there_was_none(
    history: History, keys: Keys
) -> History:
    return _replaced(history, lambda value: Gone)


@on_history(Who.WORKER, "numbers", key=True)
def a_worker_stores_events_in_another_order(history: History, keys: Keys) -> History:
    first = history.commits[0]
    values = [*first.values[2][::-1]]
    return History((replace(first, values={**first.values, 2: values}), *history.commits[1:]))


@on_history(Who.WORKER, "times", key=True)
def a_worker_dates_what_it_stores_back(history: History, keys: Keys) -> History:
    return _with(history, claimed("legacy", "p9", 9), ago_ms=HOUR_MS + DAY_MS)
