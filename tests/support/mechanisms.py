"""The mechanisms that guard the promise, each with how to switch it off, and the faults that then show.

``FAULTS_WITHOUT=<name>`` switches one off in all that a fault test starts: without it the test must fail.
"""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import weakened_producer
import weakened_worker
from faulty_programs import replace

VARIABLE = "FAULTS_WITHOUT"
Patch = Callable[[], None]


def _nothing() -> None:
    """Patch nothing: the mechanism is switched off by a setting, or in the database."""


def _returning(place: str, value: object = None) -> Patch:
    """Return a patch: the function at *place* does nothing and returns *value*."""
    return lambda: replace(place, lambda _: lambda *_args, **_kwargs: value)


class Mechanism(NamedTuple):
    """What guards, how it is switched off in a process, and the faults that must then be red."""

    patch: Patch
    faults: tuple[str, ...]
    settings: Mapping[str, object] = {}


_GROUP = "trailhouse.consumer.membership.session"
MECHANISMS: dict[str, Mechanism] = {
    # the worker
    "commit_after_insert": Mechanism(weakened_worker.commit_first, ("fault_02 and before_insert",)),
    "ledger": Mechanism(weakened_worker.no_ledger, ("fault_01",)),
    "repeat_same_batch": Mechanism(
        weakened_worker.drop_failed_batch, ("fault_07", "fault_10_status")
    ),
    "unknown_codes_pass": Mechanism(weakened_worker.every_code_blames_the_data, ("fault_11",)),
    "no_outage_by_overload": Mechanism(
        weakened_worker.overload_as_an_outage, ("fault_34_a_refused_ledger",)
    ),
    "parts_widen_batches": Mechanism(
        _returning("trailhouse.consumer.batch.insert_pace:InsertPace.note_parts"),
        ("fault_34_too_many",),
    ),
    "slow_inserts_widen_batches": Mechanism(
        _returning("trailhouse.consumer.batch.insert_pace:InsertPace.note_insert"),
        ("fault_35",),
    ),
    "insert_deadline": Mechanism(weakened_worker.no_insert_deadline, ("fault_08 and blackhole",)),
    "quarantine": Mechanism(
        _returning("trailhouse.consumer.batch.writer:BatchWriter._quarantine"), ("fault_13",)
    ),
    "bisect": Mechanism(weakened_worker.no_bisect, ("fault_12",)),
    "breaker": Mechanism(_returning(f"{_GROUP}:check_share"), ("fault_14",)),
    "row_cap": Mechanism(weakened_worker.no_row_cap, ("fault_36",)),
    "byte_cap": Mechanism(weakened_worker.no_byte_cap, ("fault_31",)),
    "drain": Mechanism(weakened_worker.exit_without_draining, ("fault_04",)),
    "drain_deadline": Mechanism(
        _returning("trailhouse.consumer.host.process:_cut_off_after"), ("fault_03_slow",)
    ),
    "drop_on_rebalance": Mechanism(weakened_worker.keep_hold_over_a_rebalance, ("fault_05",)),
    "polling_while_waiting": Mechanism(weakened_worker.no_polling_while_waiting, ("fault_09",)),
    "time_clamp": Mechanism(weakened_worker.unclamped_times, ("fault_16",)),
    "future_schema": Mechanism(weakened_worker.known_versions_only, ("fault_15",)),
    "begin_at_the_start": Mechanism(weakened_worker.begin_at_the_end, ("fault_17",)),
    "topic_id_check": Mechanism(weakened_worker.first_topic_id_for_ever, ("fault_20",)),
    "gap_check": Mechanism(weakened_worker.no_gap_check, ("fault_21", "fault_29")),
    "watchdog": Mechanism(_nothing, ("fault_32",), {"worker_watchdog_seconds": 0}),
    "progress_of_each_partition": Mechanism(
        _returning("trailhouse.consumer.membership.lag_monitor:LagMonitor._note_stalls"),
        ("fault_33",),
    ),
    "acknowledged_insert": Mechanism(weakened_worker.fire_and_forget_inserts, ("fault_30",)),
    "gathered_is_waited_for": Mechanism(
        weakened_worker.no_wait_for_what_is_gathered, ("fault_37_clickhouse_killed",)
    ),
    "refused_alone": Mechanism(
        weakened_worker.take_refusals_of_others, ("fault_37_a_server_that_lets",)
    ),
    # the tables
    "final_view": Mechanism(_nothing, ("fault_01", "fault_02_kill_while", "fault_06", "fault_07")),
    "first_write_wins": Mechanism(_nothing, ("fault_28",)),
    "hash_in_key": Mechanism(_nothing, ("fault_27",)),
    "coordinates_out_of_key": Mechanism(_nothing, ("fault_28",)),
    # the producer
    "spool": Mechanism(
        _nothing, ("fault_22_killed_once", "fault_26 and sigkill"), {"producer_mode": "memory"}
    ),
    "spool_checksum": Mechanism(weakened_producer.no_checksums, ("fault_24_bit_flip",)),
    "spool_adoption": Mechanism(weakened_producer.no_adoption, ("fault_22_killed_once",)),
    "spool_owner": Mechanism(weakened_producer.trust_any_owner, ("fault_24_a_spool_that_others",)),
    "spool_length": Mechanism(
        weakened_producer.no_note_of_what_was_written, ("fault_24_a_spool_that_was_cut",)
    ),
    "spool_order": Mechanism(weakened_producer.overtake_the_backlog, ("fault_23",)),
    "spool_errors": Mechanism(
        weakened_producer.swallow_spool_errors, ("fault_24_disk_full and limited",)
    ),
    "send_until_acknowledged": Mechanism(
        weakened_producer.give_up_sending, ("fault_19 and outage", "fault_23")
    ),
    "fork_reset": Mechanism(
        _returning("trailhouse.producer.delivery.dispatcher:Dispatcher.after_fork"),
        ("fault_25 and after_first",),
    ),
    "close_at_exit": Mechanism(weakened_producer.no_close_at_exit, ("fault_26 and return",)),
}


def without() -> str:
    """Return the name of the mechanism that is to be off, or nothing.

    Raises:
        KeyError: There is none of that name.
    """
    name = os.environ.get(VARIABLE, "")
    if name and name not in MECHANISMS:
        raise KeyError(f"{VARIABLE}={name}: known are {', '.join(MECHANISMS)}")
    return name


def switch_off_what_is_told() -> None:
    """Patch this process as `FAULTS_WITHOUT` says."""
    if name := without():
        MECHANISMS[name].patch()


def settings(section: str) -> dict[str, object]:
    """Return the settings of a *section*, producer or worker, that switch the mechanism off."""
    name = without()
    found = MECHANISMS[name].settings if name else {}
    return {key: value for key, value in found.items() if key.startswith(f"{section}_")}
