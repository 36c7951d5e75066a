"""Attacks by an administrator of ClickHouse that leave every table plausible by itself."""

from attack import Who, on_copy
from attack_scene import AttackedLog
from trailhouse.proof.erasure import hold_key

NOW = "SETTINGS mutations_sync = 2"


def _changed(log: AttackedLog, table: str, change: str, where: str) -> None:
    log.sql(f"ALTER TABLE {table} UPDATE {change} WHERE {where} {NOW}")


def _deleted(log: AttackedLog, table: str, where: str) -> None:
    log.sql(f"ALTER TABLE {table} DELETE WHERE {where} {NOW}")


@on_copy(Who.CLICKHOUSE, "erasures")
def the_last_hold_is_taken_away(log: AttackedLog) -> None:
    """No number is missing then; an anchor names it."""
    log.order("hold", 1, hold_key("session", "s0"))
    log.anchor_under(log.policy())
    log.sql("TRUNCATE TABLE log_erasures")


@on_copy(Who.CLICKHOUSE, "erasures")
def the_last_order_is_exchanged_for_another(log: AttackedLog) -> None:
    """Both are an operator's, who has given the other one to somebody and not stored it."""
    log.order("hold", 1, hold_key("session", "s0"))
    log.anchor_under(log.policy())
    log.sql("TRUNCATE TABLE log_erasures")
    log.order("hold", 1, hold_key("session", "s1"))


@on_copy(Who.CLICKHOUSE, "records")
def the_first_of_two_copies_is_deleted(log: AttackedLog) -> None:
    """Readers are shown the later one, with another place and time; a merge would have kept the first."""
    _deleted(log, "event_log", "kafka_partition = 0 AND kafka_offset = 1")


@on_copy(Who.CLICKHOUSE, "ledger")
def a_batch_is_said_to_have_had_more_bad_records(log: AttackedLog) -> None:
    """The sum is the same, and so is the hash."""
    _changed(
        log,
        "batch_ledger",
        "stored_rows = stored_rows - 1, quarantined_rows = quarantined_rows + 1",
        "kafka_partition = 1 AND first_offset = 0",
    )


@on_copy(Who.CLICKHOUSE, "ledger")
def a_batch_is_said_to_have_had_no_bad_record(log: AttackedLog) -> None:
    _changed(
        log,
        "batch_ledger",
        "stored_rows = stored_rows + quarantined_rows, quarantined_rows = 0",
        "kafka_partition = 0 AND quarantined_rows > 0",
    )
