"""The worker and its duties, the long part: outages, standstills, kills, a hot session, a topic made anew."""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cluster import Cluster
from tcp_gate import gate
from trailhouse.broker.admin import KafkaAdmin
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.topic import topic_options
from trailhouse.store import ClickHouseConfig
from waiting import eventually
from worker_process import RUN_WORKER, WorkerSite, place, some_events

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

DELIVERS_NOTHING = f"""
from trailhouse.consumer.membership.source import KafkaSource
read = KafkaSource.read
KafkaSource.read = lambda self, records, seconds: read(self, records, seconds) and []
{RUN_WORKER}
"""
STORES_FOR_EVER = f"""
import threading
from trailhouse.consumer.batch.writer import BatchWriter
BatchWriter.store = lambda self, batch: threading.Event().wait()
{RUN_WORKER}
"""
FLAT_BYTES = 40_000_000


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def threads_of(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def one_event(session_id: str) -> AuditEvent:
    """Return an event of a session."""
    return AuditEvent(type="a", session_id=session_id)


def is_seen(here: WorkerSite, session_id: str) -> bool:
    """Whether a reader sees an event of the session."""
    sql = f"SELECT count() FROM events WHERE session_id = '{session_id}'"
    return bool(here.rows(sql)[0][0])


def committed(here: WorkerSite) -> int:
    """Return how many records the group has committed in all partitions."""
    lag = KafkaAdmin(here.kafka).lag(f"{here.kafka.topic}-group")
    return sum(part.committed_offset or 0 for part in lag)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(DELIVERS_NOTHING, id="a consumer that delivers nothing"),
        pytest.param(STORES_FOR_EVER, id="a store that never answers"),
    ],
)
def test_a_standstill_ends_the_process(here: WorkerSite, program: str) -> None:
    """Lag and no progress for watchdog_seconds: exit 70; the next worker stores everything."""
    events = some_events(50)
    here.emit(events)
    stuck = here.start(program, worker_watchdog_seconds=3, clickhouse_timeout_seconds=1)
    assert stuck.process.wait(40) == 70, stuck.log
    assert committed(here) == 0
    here.start()
    eventually(lambda: here.count() == 50, "every event in the view")


def test_an_outage_of_clickhouse_is_no_standstill(here: WorkerSite) -> None:
    """Away for longer than watchdog_seconds and an attempt, under load: same process, same partitions, flat memory."""
    with gate(here.database.url) as way:
        worker = here.start(
            clickhouse_url=way.url,
            worker_batch_rows=4_000,
            worker_watchdog_seconds=3,
            clickhouse_timeout_seconds=1,
        )
        worker.wait_until_ready()
        way.shut()
        texts = [
            AuditEvent(
                type="a", session_id=f"s{number % 40}", data={"text": "x" * 1_000, "n": number}
            )
            for number in range(40_000)
        ]
        here.emit(texts[:30_000])
        eventually(lambda: worker.series()["insert_failures_total"] >= 5, "several attempts")
        filled_bytes = resident_bytes(worker.process.pid)
        until = time.monotonic() + 12
        here.emit(texts[30_000:])
        eventually(lambda: time.monotonic() > until, "the end of the outage")
        grown_bytes = resident_bytes(worker.process.pid) - filled_bytes
        assert worker.process.poll() is None, worker.log
        assert grown_bytes < FLAT_BYTES, f"expected flat memory, it grew by {grown_bytes} bytes"
        assert worker.series()["partitions"] == here.kafka.partitions
        assert worker.series()["batches_dropped_total"] == 0, "expected no rebalance"
        assert worker.series()["time_to_loss_seconds"] < 2 * 168 * 3_600
        way.open()
        eventually(lambda: here.count() == len(texts), "every event in the view", seconds=60)
    assert committed(here) <= len(texts)


def test_an_outage_of_kafka_is_no_standstill(here: WorkerSite, cluster: Cluster) -> None:
    """Kafka away for longer than watchdog_seconds, in the middle of the stream: the worker waits."""
    if cluster.stack is None:
        pytest.skip("the broker of a container is not ours to stop")
    # A broker that shuts down in order answers some questions to the last, so 3 s would be too short.
    worker = here.start(worker_batch_rows=50, worker_watchdog_seconds=10)
    worker.wait_until_ready()
    events = some_events(5_000)
    here.emit(events)
    worker.wait_for("records_stored_total", 100)
    cluster.stack.stop("kafka")
    try:
        eventually(lambda: not worker.is_ready(), "a worker that noticed the outage")
        before = threads_of(worker.process.pid)
        until = time.monotonic() + 20
        eventually(lambda: time.monotonic() > until, "the end of the outage")
        assert worker.process.poll() is None, worker.log
        assert threads_of(worker.process.pid) < before + 10, "expected no thread left behind"
    finally:
        cluster.stack.start("kafka")
    eventually(lambda: here.count() == len(events), "every event in the view", seconds=90)
    assert worker.process.poll() is None, worker.log


def test_a_topic_made_anew_is_read_from_its_start(here: WorkerSite) -> None:
    """The same name, another topic: noticed while running, noted, and nothing of either is lost."""
    old, new = some_events(400), some_events(300)
    here.emit(old)
    worker = here.start()
    worker.wait_for("records_stored_total", 400)
    admin = AdminClient(here.kafka.client_options())
    admin.delete_topics([here.kafka.topic])[here.kafka.topic].result(30)
    wanted = NewTopic(here.kafka.topic, here.kafka.partitions, 1, config=topic_options(here.kafka))

    def is_made() -> bool:
        return admin.create_topics([wanted])[here.kafka.topic].exception(30) is None

    eventually(is_made, "the topic made anew")
    here.emit(new)
    eventually(lambda: here.count() == 700, "every event of both topics", seconds=60)
    assert here.stored_records() == sorted(event.record for event in old + new)
    kinds = here.rows("SELECT kind, count() FROM incidents GROUP BY kind")
    assert [kind for kind, _ in kinds] == ["recreated"]
    assert worker.process.poll() is None


def test_a_killed_worker_is_back_in_seconds(here: WorkerSite) -> None:
    """kill -9, and a supervisor that starts the next at once: it commits within the session's timeout."""
    events = some_events(3_000)
    first = here.start()
    first.wait_until_ready()
    here.emit(events[:1_000])
    first.wait_for("records_stored_total", 1_000)
    here.emit(events[1_000:2_000])
    first.process.send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    here.emit(events[2_000:])
    here.start()
    eventually(lambda: here.count() == len(events), "every event in the view")
    seconds = time.monotonic() - killed_at
    assert seconds < 12, f"expected the session timeout (6 s) and a start, not {seconds:.1f} s"


def test_a_hot_session_does_not_starve_the_others(here: WorkerSite) -> None:
    """While one partition works off 150,000 records, what the others get is seen within seconds."""
    hot = [event.record for event in some_events(150_000, sessions=1)]
    for begin in range(0, len(hot), 50_000):
        here.send(hot[begin : begin + 50_000], partition=0)
    ages: list[float] = []
    worker = here.start()
    worker.wait_for("records_stored_total", 1)
    while worker.series()["lag_records/0"] > 5_000 and len(ages) < 12:
        began = time.monotonic()
        here.send([one_event(f"quiet-{len(ages)}").record], partition=1 + len(ages) % 3)
        eventually(partial(is_seen, here, f"quiet-{len(ages)}"), "the quiet session's event")
        ages.append(time.monotonic() - began)
    assert ages, "expected the hot partition to be busy for a while"
    assert max(ages) < 5, f"expected within 5 s, seen after {ages}"
    eventually(lambda: here.count() == len(hot) + len(ages), "every event in the view", seconds=90)
