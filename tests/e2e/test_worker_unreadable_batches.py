"""Batches that cannot be opened, or only at a price: the worker gets past each, and nothing else waits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import run_command, settings_of
from large_batches import MB, peak_bytes, send_one_batch
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import eventually
from worker_process import WorkerSite, place, some_events

pytestmark = pytest.mark.cluster

WORKER_BYTES = 300 * MB


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


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


@pytest.mark.long
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
