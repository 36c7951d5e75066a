"""A long outage: ClickHouse away, and Kafka away, for minutes under load, with flat memory and no loss.

``make outage MINUTES=10``; the same in seconds is in the faults 9 and 23.
"""

import os
import signal
from collections.abc import Callable

import pytest

from cluster import Cluster
from fault_scene import LoadProcess, Scene, pause, stack_of
from oracle import resident_bytes
from tcp_gate import gate
from trailhouse.schemas import AuditEvent
from worker_process import Worker

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

MINUTES = float(os.environ.get("MINUTES") or "1")
LOOK_SECONDS = 2.0
SETTLED_SHARE = 0.25
"""After this part of the outage everything that is bounded is full."""
MAX_GROWTH_BYTES = 20_000_000
SETTLE_SECONDS = 300.0
BACKLOG = 40_000
QUEUE_EVENTS = 2_000
"""The producer's queue is full within seconds, however slow the machine: what grows after that is not bounded."""


class Memory:
    """The resident memory of producer and worker over an outage."""

    def __init__(self, worker: Worker, load: LoadProcess) -> None:
        self._pids = {"worker": worker.process.pid, "producer": load.process.pid}
        self._seen: dict[str, list[int]] = {name: [] for name in self._pids}

    def watch(self, minutes: float) -> None:
        """Look every few seconds, once the outage has lasted for a while."""
        pause(60 * minutes * SETTLED_SHARE)
        for _ in range(int(60 * minutes * (1 - SETTLED_SHARE) / LOOK_SECONDS)):
            pause(LOOK_SECONDS)
            for name, pid in self._pids.items():
                self._seen[name].append(resident_bytes(pid))

    def check(self) -> None:
        """Assert that neither grew, and print what both held."""
        for name, sizes in self._seen.items():
            first, last, most = sizes[0] / 1e6, sizes[-1] / 1e6, max(sizes) / 1e6
            told = f"{first:.1f} MB, {last:.1f} MB at the end, {most:.1f} MB at most"
            print(f"{name}: {told}", flush=True)  # noqa: T201 - shown with -s
            assert max(sizes) - sizes[0] < MAX_GROWTH_BYTES, (
                f"expected flat memory of the {name}, got {first:.1f} MB and later {most:.1f} MB"
            )


def run(stage: Scene, worker: Worker, outage: Callable[[Callable[[], None]], None]) -> None:
    """Emit through an outage, and check memory and every event."""
    worker.wait_until_ready()
    settings = {"producer_queue_events": QUEUE_EVENTS}
    load = stage.load(rate=500, body_bytes=640, sessions=50, settings=settings)
    load.wait_for(500)
    memory = Memory(worker, load)
    outage(lambda: memory.watch(MINUTES))
    load.end(SETTLE_SECONDS)
    view = stage.settle(SETTLE_SECONDS)
    print(f"{MINUTES:g} min: {len(view)} events, none lost", flush=True)  # noqa: T201 - shown with -s
    memory.check()
    assert worker.process.poll() is None, worker.log[-500:]


def test_clickhouse_away_for_minutes(stage: Scene) -> None:
    """The worker holds what it has, fetches no more, and stores everything once ClickHouse is back."""
    with gate(stage.place.database.url) as way:
        worker = stage.worker(clickhouse_url=way.url)

        def outage(watch: Callable[[], None]) -> None:
            # A full batch is on its way when it begins: what is tried again and again then counts most.
            worker.process.send_signal(signal.SIGSTOP)
            stage.emit([AuditEvent(type="x", session_id=f"s{n % 9}") for n in range(BACKLOG)])
            way.shut()
            worker.process.send_signal(signal.SIGCONT)
            watch()
            way.open()

        run(stage, worker, outage)


def test_kafka_away_for_minutes(stage: Scene, cluster: Cluster) -> None:
    """The producer spools on the disk, the worker waits, and all of it arrives once Kafka is back."""

    def outage(watch: Callable[[], None]) -> None:
        stack = stack_of(cluster)
        stack.stop("kafka")
        watch()
        stack.start("kafka")

    run(stage, stage.worker(), outage)
