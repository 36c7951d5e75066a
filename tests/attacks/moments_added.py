"""What somebody adds above the end of a log, as a worker would: rows alone, or rows, leaves and ledger of a batch."""

import datetime as dt
import time

from attack import Who, on_copy
from attack_scene import HOUR_MS, AttackedLog, Commit
from kafka_records import Record
from proven import ORIGIN
from sealing_scene import claimed
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.writer import BatchWriter
from trailhouse.consumer.monitoring.stored_ends import ends_block
from trailhouse.schemas import AuditEvent

NOW = "SETTINGS mutations_sync = 2"
LATER_MS = 2 * HOUR_MS - 150_000
FIRST, END = 6, 10
"""Where partition 2 ended before, and ends when the worker has stored what it was about to."""
TRUE = [claimed("legacy", "p9", n, session_id="old", tenant_id="a") for n in range(4, 8)]
ADDED = AuditEvent(
    type="tool_approval_granted", session_id="s0", tenant_id="a", data={"approval_id": "k"}
)
COMMIT = Commit({2: TRUE}, {2: FIRST}, LATER_MS)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _rows(log: AttackedLog, event: AuditEvent, partition: int, offset: int) -> None:
    """Store a row of *event* and of none of the tables of proof, as of when the worker's records came."""
    batch = Batch(Limits(rows=10, size_bytes=1_000_000), time.monotonic)
    at_ms = log.keys.now_ms - LATER_MS
    batch.add([Record(event.record, partition=partition, offset=offset, appended_ms=at_ms)])
    BatchWriter(log.clickhouse, ORIGIN, _now).store(batch)


def _enter(log: AttackedLog, partition: int, offset: int, written_at: str = "now64(3)") -> None:
    """Store row, leaf and batch of one event, which follow on what is there; all but the checkpoint."""
    _rows(log, ADDED, partition, offset)
    place = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition"
    its = f"FROM event_log WHERE kafka_partition = {partition} AND event_id = '{ADDED.event_id}'"
    log.sql(
        f"INSERT INTO log_leaves SELECT {place}, '1', kafka_offset, 1, toUnixTimestamp64Milli(appended_at),"
        f" SHA256(record) {its}"
    )
    log.sql(
        f"INSERT INTO batch_ledger SELECT {place}, kafka_offset, kafka_offset, 1, 0, SHA256(SHA256(record)), '1',"
        f" {written_at} {its}"
    )


def _killed(log: AttackedLog) -> None:
    """Have a worker be killed that has stored rows of four records, and none of their leaves."""
    log.anchor_under(log.policy())
    for place, event in enumerate(TRUE):
        _rows(log, event, 2, FIRST + place)


def _next(log: AttackedLog) -> None:
    """Have the next worker store what Kafka has of the partition, and end: it notes where it does."""
    log.store_more(COMMIT)
    _note(log, 2, END)
    log.anchor_under(log.policy())


def _note(log: AttackedLog, partition: int, end: int, ago_ms: int = 0) -> None:
    asked_at = _now() - dt.timedelta(milliseconds=ago_ms)
    log.clickhouse.insert(ends_block(ORIGIN, {partition: end}, asked_at))


@on_copy(Who.CLICKHOUSE, "rows")
def a_row_is_added_above_a_killed_workers_end(log: AttackedLog) -> None:
    """No worker comes to it, and nothing follows in its partition, nor in the topic."""
    _killed(log)
    _rows(log, ADDED, 2, END)
    _next(log)


@on_copy(Who.CLICKHOUSE, "rows")
def a_row_is_added_beside_those_of_a_killed_worker(log: AttackedLog) -> None:
    """The next one stores its own again, and takes none of the others away."""
    _killed(log)
    _rows(log, ADDED, 2, END - 2)
    _next(log)


@on_copy(Who.CLICKHOUSE, "rows", "columns")
def a_killed_workers_row_is_given_a_twin_that_came_before_it(log: AttackedLog) -> None:
    """The next one's row is of the same key, and a merge keeps the other."""
    _killed(log)
    log.sql(
        "INSERT INTO event_log SELECT * REPLACE ('tool_approval_granted' AS type,"
        " appended_at - INTERVAL 1 MILLISECOND AS appended_at)"
        f" FROM event_log WHERE kafka_partition = 2 AND kafka_offset = {END - 1}"
    )
    _next(log)
    log.sql("OPTIMIZE TABLE event_log FINAL")


@on_copy(Who.CLICKHOUSE, "rows")
def a_row_above_is_older_than_the_topic_since(log: AttackedLog) -> None:
    """Its partition goes on: another record comes to its offset."""
    _killed(log)
    _rows(log, ADDED, 2, END)
    log.store_more(COMMIT)
    log.store_more(Commit({2: [claimed("legacy", "p9", 8, session_id="old")]}, {2: END}, LATER_MS))
    log.anchor_under(log.policy())


@on_copy(Who.CLICKHOUSE, "rows")
def a_row_is_added_at_the_start_of_a_partition_that_nobody_knows(log: AttackedLog) -> None:
    """No leaf lies below it: nor does one above, or a worker's word that Kafka has the partition."""
    _rows(log, ADDED, 5, 0)


@on_copy(Who.CLICKHOUSE, "rows")
def a_row_is_added_at_the_start_of_a_partition_that_stays_empty(log: AttackedLog) -> None:
    _rows(log, ADDED, 5, 0)
    _note(log, 5, 0)


@on_copy(Who.CLICKHOUSE, "leaves")
def a_batch_is_entered_by_somebody_else_and_nothing_follows(log: AttackedLog) -> None:
    _enter(log, 2, FIRST)
    _note(log, 2, FIRST)


@on_copy(Who.CLICKHOUSE, "leaves")
def a_batch_is_entered_into_a_partition_that_is_empty(log: AttackedLog) -> None:
    _enter(log, 5, 0)
    _note(log, 5, 0)


@on_copy(Who.CLICKHOUSE, "leaves", "ledger")
def a_batch_is_entered_where_the_next_worker_stores_others(log: AttackedLog) -> None:
    _enter(log, 2, FIRST)
    _next(log)


@on_copy(Who.CLICKHOUSE, "leaves")
def a_batch_is_entered_and_others_are_signed_minutes_later(log: AttackedLog) -> None:
    log.anchor_under(log.policy())
    _enter(log, 2, FIRST, "now64(3) - INTERVAL 10 MINUTE")
    log.store_more(Commit({1: [claimed("legacy", "p9", 9, session_id="old")]}, {1: 9}, LATER_MS))
    log.anchor_under(log.policy())


@on_copy(Who.CLICKHOUSE, "leaves", key=True)
def a_batch_is_entered_and_signed_beside_a_worker_that_runs(log: AttackedLog) -> None:
    """The worker goes on from what it has in memory, and signs as many leaves of its own."""
    log.store_more(Commit({2: [ADDED]}, {2: FIRST}, LATER_MS))
    signed = f"kafka_partition = 2 AND size > {FIRST}"
    log.sql("CREATE TABLE hidden AS log_checkpoints")
    log.sql(f"INSERT INTO hidden SELECT * FROM log_checkpoints WHERE {signed}")
    log.sql(f"ALTER TABLE log_checkpoints DELETE WHERE {signed} {NOW}")
    log.store_more(COMMIT)
    log.sql("INSERT INTO log_checkpoints SELECT * FROM hidden")
    log.sql("DROP TABLE hidden SYNC")
    log.anchor_under(log.policy())


@on_copy(Who.NOBODY)
def a_killed_workers_rows_are_younger_than_where_the_partition_ended(log: AttackedLog) -> None:
    _note(log, 2, FIRST, LATER_MS + 1_000)
    _killed(log)
    _next(log)


@on_copy(Who.NOBODY)
def partitions_are_noted_to_end_where_kafka_has_cut_them_off(log: AttackedLog) -> None:
    """A leader that lacks what was signed is elected: nothing comes to these offsets yet."""
    _note(log, 1, 4)
    _note(log, 2, FIRST - 2)
