"""The worker and its duties, the quick part: it never stands still in silence, and skips nothing in silence."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tcp_gate import gate
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually
from worker_process import RUN_WORKER, WorkerSite, place, some_events

pytestmark = pytest.mark.cluster

HANGS = f"""
import threading
from trailhouse.consumer.membership.committer import Committer
Committer.commit = lambda self, offsets: threading.Event().wait()
{RUN_WORKER}
"""


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def test_a_worker_that_hangs_ends_itself(here: WorkerSite) -> None:
    """An ingest thread that does not come back: exit 70 with one line, nothing committed."""
    here.emit(some_events(10))
    worker = here.start(HANGS, worker_watchdog_seconds=2)
    assert worker.process.wait(DEADLINE_SECONDS) == 70
    (line,) = [line for line in worker.log.splitlines() if "level=error" in line]
    assert "event=stalled" in line
    assert here.count() == 10


@pytest.mark.long
def test_records_that_are_gone_are_named_before_it_goes_on(here: WorkerSite) -> None:
    """Mode stop ends with 1 and an incident; mode record goes on with what is left, and counts it."""
    events = some_events(60)
    here.send([event.record for event in events[:40]])
    first = here.start()
    first.wait_for("records_stored_total", 40)
    assert first.end() == 0
    here.send([event.record for event in events[40:]])
    admin = AdminClient(here.kafka.client_options())
    for future in admin.delete_records([TopicPartition(here.kafka.topic, 0, 50)]).values():
        future.result(DEADLINE_SECONDS)
    stopped = here.start()
    assert stopped.process.wait(DEADLINE_SECONDS) == 1
    assert "offsets 40 to 49" in stopped.log
    assert "TRAILHOUSE_WORKER_ON_GAP=record" in stopped.log
    assert here.count() == 40, "expected nothing read"
    going_on = here.start(worker_on_gap="record")
    going_on.wait_for("records_stored_total", 10)
    assert here.stored_records() == sorted(event.record for event in events[:40] + events[50:])
    assert here.rows("SELECT kind, first_offset, last_offset FROM incidents") == [
        ("expired", 40, 49)
    ]
    assert going_on.process.poll() is None


@pytest.mark.long
def test_what_clickhouse_forgets_is_read_again(here: WorkerSite) -> None:
    """ClickHouse comes back from an outage without its last batches: they are stored again, at once."""
    events = some_events(300)
    with gate(here.database.url) as way:
        worker = here.start(clickhouse_url=way.url, clickhouse_timeout_seconds=2)
        worker.wait_until_ready()
        for begin in (0, 100, 200):
            here.send([event.record for event in events[begin : begin + 100]])
            worker.wait_for("records_stored_total", begin + 100)
        way.shut()
        eventually(lambda: not worker.is_ready(), "a worker that noticed the outage")
        with ClickHouse(here.database) as clickhouse:
            for table, column in (("batch_ledger", "first_offset"), ("event_log", "kafka_offset")):
                clickhouse.command(f"DELETE FROM {table} WHERE {column} >= 100")
        way.open()
        more = some_events(5)
        here.send([event.record for event in more])
        eventually(lambda: here.count() == 305, "every record in the view")
    assert here.stored_records() == sorted(event.record for event in events + more)
    worker.wait_for("incidents_total/rewound", 1)
    assert worker.series()["incidents_total/expired"] == 0
    assert [row[0] for row in here.rows("SELECT kind FROM incidents")] == ["rewound"]
