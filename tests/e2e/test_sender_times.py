"""Stretches of records that carry their sender's time: noted when they begin, now and then, and when they end."""

import datetime as dt

import pytest

from kafka_records import Clock, Record, empty_batch
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.batch.sender_times import SenderTimes
from trailhouse.consumer.batch.writer import BatchWriter
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ORIGIN = Origin("cluster", "topic", "id")


def batch_from(first_offset: int, kinds: str) -> Batch:
    """Return a batch of one partition: for each letter a record, ``s`` with its sender's time."""
    batch, _ = empty_batch()
    batch.add(
        [
            Record(
                AuditEvent(type="a", session_id="s").record,
                3,
                first_offset + number,
                is_sender_timed=kind == "s",
            )
            for number, kind in enumerate(kinds)
        ]
    )
    return batch


def test_a_stretch_is_noted_in_few_rows_that_hold_all_of_it(database: ClickHouseConfig) -> None:
    """The first batch at once, what follows at times that grow apart, the rest at the end; no offset is left out."""
    clock = Clock()
    with ClickHouse(database) as storage:
        metrics = WorkerMetrics()
        incidents = Incidents(Ledger(storage, ORIGIN), ORIGIN, metrics, lambda: AT)
        writer = BatchWriter(storage, ORIGIN, lambda: AT)
        times = SenderTimes(writer, incidents, metrics, clock)

        def noted() -> list[tuple[object, ...]]:
            sql = "SELECT first_offset, last_offset FROM incidents WHERE kind = 'create_time' ORDER BY ALL"
            return storage.query(sql).rows

        times.store(batch_from(0, "bb"))
        assert noted() == []
        times.store(batch_from(2, "bs"))
        assert noted() == [(3, 3)]
        times.store(batch_from(4, "ss"))
        assert noted() == [(3, 3)]
        clock.now_seconds += 61
        times.store(batch_from(6, "ss"))
        assert noted() == [(3, 3), (4, 7)]
        clock.now_seconds += 61
        times.store(batch_from(8, "ss"))
        times.store(batch_from(10, "bb"))
        assert noted() == [(3, 3), (4, 7), (8, 9)]
        times.store(batch_from(12, "s"))
        times.store(batch_from(13, "s"))
        times.end()
        times.end()
        assert noted() == [(3, 3), (4, 7), (8, 9), (12, 12), (13, 13)]
        assert b"sender_timed_records_total 9.0" in metrics.text(is_ready=True)
