"""Batches that cannot be opened, or only at a price: the worker gets past each, and nothing else waits."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from confluent_kafka import Producer

from command_line import run_command, settings_of
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS
from worker_process import Worker, WorkerSite, eventually, place, some_events

pytestmark = pytest.mark.cluster

MB = 1_000_000
WORKER_BYTES = 300 * MB
READ_AS_ANYBODY = """
import sys
from confluent_kafka import Consumer, TopicPartition
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "bare", "enable.auto.commit": False})
consumer.assign([TopicPartition(sys.argv[2], int(sys.argv[3]), 0)])
left = int(sys.argv[4])
while left:
    message = consumer.poll(1)
    if message is not None and message.error() is None:
        left -= 1
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def send_one_batch(
    here: WorkerSite, records: Sequence[bytes], codec: str, partition: int = 0
) -> None:
    """Put *records* into one compressed batch, acknowledged on return."""
    producer = Producer(
        here.kafka.client_options()
        | {
            "compression.type": codec,
            "compression.level": 9 if codec == "gzip" else -1,
            "message.max.bytes": 1_000 * MB,
            "batch.size": 1_000 * MB,
            "queue.buffering.max.kbytes": 2_000_000,
            "linger.ms": 5_000,
        }
    )
    for record in records:
        producer.produce(here.kafka.topic, record, b"k", partition)
    assert producer.flush(DEADLINE_SECONDS) == 0


def peak_bytes(worker: Worker) -> int:
    """Return the most memory that *worker* ever had."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text(encoding="ascii")
    return next(int(ln.split()[1]) for ln in status.splitlines() if ln.startswith("VmHWM")) * 1_024


def bare_peak_bytes(here: WorkerSite, partition: int, records: int) -> int:
    """Return what a consumer takes that reads the partition and does nothing else."""
    arguments = (here.kafka.bootstrap_servers, here.kafka.topic, str(partition), str(records))
    done = subprocess.run(
        [sys.executable, "-c", READ_AS_ANYBODY, *arguments],
        check=True, capture_output=True, text=True, timeout=DEADLINE_SECONDS,
    )  # fmt: skip
    return int(done.stdout) * 1_024


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


def test_what_cannot_be_decompressed_is_one_row_and_the_rest_goes_on(here: WorkerSite) -> None:
    """300 MB in 9 kB of zstd: a bounded row of quarantine and an incident; the same worker goes on."""
    events = some_events(6)
    worker = here.start()
    worker.wait_until_ready()
    here.send([event.record for event in events[:2]])
    for _ in range(2):
        send_one_batch(here, [b"z" * 300 * MB], "zstd")
    here.send([event.record for event in events[2:4]])
    here.send([event.record for event in events[4:]], partition=1)
    eventually(lambda: here.count() == 6, f"every event, log: {worker.log}")
    assert here.stored_records() == sorted(event.record for event in events)
    rows = here.rows(
        "SELECT kafka_partition, kafka_offset, last_offset, size_bytes < 20000, length(record) < 70000, reason"
        " FROM quarantine ORDER BY kafka_offset"
    )
    assert [row[:5] for row in rows] == [(0, 2, 2, True, True), (0, 3, 3, True, True)]
    assert "_BAD_COMPRESSION" in rows[0][5]
    assert here.rows("SELECT kind, first_offset, last_offset FROM incidents ORDER BY 2") == [
        ("unreadable", 2, 2),
        ("unreadable", 3, 3),
    ]
    eventually(lambda: worker.series()["lag_records/0"] == 0, "everything committed")
    assert worker.series()["incidents_total/unreadable"] == 2
    assert worker.process.poll() is None, "expected the same worker to go on"
    assert peak_bytes(worker) < 100 * MB + WORKER_BYTES


def test_the_books_know_a_batch_that_nobody_can_read(here: WorkerSite) -> None:
    """It is in the ledger as quarantined: reconcile and account find no gap, replay finds the same row again."""
    events = some_events(4)
    here.send([events[0].record, events[1].record])
    send_one_batch(here, [b"z" * 150 * MB, b"y" * 150 * MB, b"x"], "zstd")
    here.send([events[2].record, events[3].record])
    worker = here.start()
    eventually(lambda: here.count() == 4, f"every event, log: {worker.log}")
    eventually(lambda: worker.series()["lag_records/0"] == 0, "everything committed")
    settings = settings_of(here.kafka, here.database) | {
        "TRAILHOUSE_WORKER_GROUP_ID": f"{here.kafka.topic}-group"
    }
    assert here.rows("SELECT sum(stored_rows), sum(quarantined_rows) FROM batch_ledger") == [(4, 3)]
    row = "SELECT kafka_offset, last_offset, record_hash, record FROM quarantine"
    before = here.rows(row, "record")
    assert [each[:2] for each in before] == [(2, 4)]
    assert run_command("reconcile", settings=settings).returncode == 0
    deep = run_command("reconcile", "--deep", settings=settings)
    assert deep.returncode == 0, deep.stdout
    assert run_command("account", settings=settings).returncode == 0
    assert run_command("replay", "--from", "0:0", "--to", "0:6", settings=settings).returncode == 0
    assert here.rows(row, "record") == before
    assert here.stored_records() == sorted(event.record for event in events)


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
