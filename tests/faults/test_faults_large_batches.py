"""Batches of hundreds of megabytes: they cost memory or a worker, and nothing else waits."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from confluent_kafka import Producer

from large_batches import MB, bare_peak_bytes, goes_on, peak_bytes, send_one_batch
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually
from worker_process import RUN_WORKER, Worker, WorkerSite, place, some_events

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

WORKER_BYTES = 300 * MB
LITTLE_MEMORY = (
    f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({700 * MB}, {700 * MB}))\n"
)


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def stored_beside(here: WorkerSite, worker: Worker, held_up: str) -> int:
    """Send events to partition 1, each once the one before is stored, until *held_up* counts something.

    Returns how many were stored.
    """
    sent = 0
    stored = "SELECT count() FROM events WHERE kafka_partition = 1"
    while not here.rows(held_up)[0][0]:
        sent += 1
        here.send([event.record for event in some_events(1)], partition=1)
        eventually(
            lambda: here.rows(stored)[0][0] == sent,  # noqa: B023 - it is over before the next
            f"{sent} events of partition 1, log: {worker.log}",
        )
    return sent


@pytest.mark.parametrize("count", [1, 600])
def test_a_batch_that_swells_costs_what_the_client_takes(here: WorkerSite, count: int) -> None:
    """600 MB of gzip, one record or many: what is sent to another partition is stored meanwhile, and beyond
    what a bare consumer takes, the worker needs 300 MB at most.
    """
    padding = "a" * (600 * MB // count - 300)
    swollen = [
        AuditEvent(type="message_sent", session_id="s", data={"text": "x"}).record.replace(
            b'"text":"x"', f'"text":"{padding}"'.encode()
        )
        for _ in range(count)
    ]
    send_one_batch(here, swollen, "gzip")
    after = some_events(2)
    here.send([event.record for event in after])
    worker = here.start(worker_freshness_seconds=0.2)
    beside = stored_beside(here, worker, "SELECT count() FROM events WHERE kafka_partition = 0")
    # At once, before it is fetched, and a moment before all is through: three times by chance.
    assert beside > 3, f"expected events of partition 1 meanwhile, log: {worker.log}"
    stored = 2 + beside + (count if count > 1 else 0)
    eventually(lambda: here.count() == stored, f"{stored} events, log: {worker.log}")
    if count == 1:
        [kept] = here.rows("SELECT size_bytes, record_hash, record FROM quarantine", "record")
        assert kept[:2] == (len(swollen[0]), sha256(swollen[0]).digest())
        assert kept[2] == swollen[0][:32_768] + swollen[0][-32_768:]
    assert worker.process.poll() is None, "expected the same worker to go on"
    bare = bare_peak_bytes(here, 0, count)
    peak = peak_bytes(worker)
    print(json.dumps({"records": count, "worker_mb": peak // MB, "bare_mb": bare // MB}))  # noqa: T201
    assert peak < bare + WORKER_BYTES


def test_a_batch_that_takes_all_memory_kills_one_worker(here: WorkerSite) -> None:
    """The next worker quarantines that batch as a range; what stands before and after it is stored, once."""
    events = some_events(30)
    here.send([event.record for event in events[:10]])
    producer = Producer(
        here.kafka.client_options()
        | {"compression.type": "gzip", "compression.level": 9, "message.max.bytes": 1_000 * MB}
    )
    producer.produce(here.kafka.topic, b"a" * 900 * MB, b"k", 0)
    assert producer.flush(DEADLINE_SECONDS) == 0
    here.send([event.record for event in events[10:20]])
    here.send([event.record for event in events[20:]], partition=1)
    first = here.start(LITTLE_MEMORY + RUN_WORKER)
    assert first.process.wait(DEADLINE_SECONDS) not in (0, 1), "expected it to die of the batch"
    second = here.start(LITTLE_MEMORY + RUN_WORKER)
    # Each attempt to read the batch opens hundreds of megabytes.
    eventually(lambda: here.count() == 30, "every event", 4 * DEADLINE_SECONDS)
    assert here.stored_records() == sorted(event.record for event in events)
    assert here.rows("SELECT kafka_partition, kafka_offset, last_offset FROM quarantine") == [
        (0, 10, 10)
    ]
    assert here.rows("SELECT kind, first_offset, last_offset FROM incidents") == [
        ("unreadable", 10, 10)
    ]
    goes_on(here, second)
