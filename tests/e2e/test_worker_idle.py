"""A worker that has nothing to do is asleep, and hears of what comes all the same."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import eventually
from worker_process import WorkerSite, place, some_events

pytestmark = pytest.mark.cluster

WATCHED_SECONDS = 3.0
WAKES_A_SECOND = 25
"""Measured: 14; with a read each twentieth of a second and a fetch each tenth it was 36 and more. Load adds few."""


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def wakes_of(pid: int) -> dict[str, int]:
    """Return how often each thread of a process has gone to sleep by itself, which is as often as it woke."""
    found: dict[str, int] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            status = (task / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        found[task.name] = int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return found


def test_an_idle_worker_sleeps(here: WorkerSite) -> None:
    """Its threads wake up a few times a second in all; a record that comes is read at once, and SIGTERM heard."""
    worker = here.start()
    worker.wait_until_ready()
    before, began = wakes_of(worker.process.pid), time.monotonic()
    eventually(lambda: time.monotonic() > began + WATCHED_SECONDS, "time to pass")
    after, seconds = wakes_of(worker.process.pid), time.monotonic() - began
    wakes = sum(count - before[thread] for thread, count in after.items() if thread in before)
    assert wakes / seconds < WAKES_A_SECOND

    here.emit(some_events(10))
    worker.wait_for("records_stored_total", 10)
    assert worker.end() == 0
