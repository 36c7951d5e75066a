"""A worker of ours on a benchmark's stack: started, asked for its series, ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, Protocol

from trailhouse.devstack.ports import free_port
from trailhouse.operate.setup import apply_init
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouseConfig

DEADLINE_SECONDS = 600.0
LOOK_SECONDS = 0.02


class Stack(Protocol):
    """A Kafka and a ClickHouse that run."""

    def environment(self) -> dict[str, str]:
        """Return the settings by which they are reached."""
        ...


class Pipe(NamedTuple):
    """A topic, and a database to drain it into."""

    kafka: KafkaConfig
    clickhouse: ClickHouseConfig

    @property
    def group_id(self) -> str:
        """The consumer group of whoever drains it."""
        return f"bench-{self.clickhouse.database}"


class Worker(NamedTuple):
    """A running worker."""

    process: subprocess.Popen[bytes]
    port: int

    def series(self, name: str) -> float:
        """Return a series of /metrics; 0 until the worker's web server answers."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/metrics", timeout=5
            ) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, OSError):
            return 0.0
        full = f"trailhouse_worker_{name}"
        values = [line.split()[-1] for line in text.splitlines() if line.startswith(f"{full} ")]
        return float(values[0]) if values else 0.0


def new_place(stack: Stack, *, partitions: int = 12, topic: str | None = None) -> Pipe:
    """Make a database and, unless *topic* is there already, a topic."""
    environment, name = stack.environment(), uuid.uuid4().hex[:8]
    place = Pipe(
        KafkaConfig(
            bootstrap_servers=environment["TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS"],
            topic=topic or f"bench-{name}",
            partitions=partitions,
        ),
        ClickHouseConfig(
            url=environment["TRAILHOUSE_CLICKHOUSE_URL"],
            user=environment.get("TRAILHOUSE_CLICKHOUSE_USER", "default"),
            password=environment.get("TRAILHOUSE_CLICKHOUSE_PASSWORD", ""),
            database=f"bench_{name}",
        ),
    )
    apply_init(*place)
    return place


@contextlib.contextmanager
def worker(stack: Stack, place: Pipe, freshness_seconds: float | None = None) -> Generator[Worker]:
    """Run a worker, and end it by SIGTERM; workers of one place are one group."""
    with workers(stack, place, 1, freshness_seconds) as [one]:
        yield one


@contextlib.contextmanager
def workers(
    stack: Stack, place: Pipe, count: int, freshness_seconds: float | None = None
) -> Generator[list[Worker]]:
    """Run *count* workers of one group, and end them all by SIGTERM at once.

    Args:
        stack: Where they run.
        place: What they drain.
        count: How many.
        freshness_seconds: The freshness that they are asked for; their default without.
    """
    started: list[Worker] = []
    try:
        started.extend(_started(stack, place, freshness_seconds) for _ in range(count))
        yield started
    finally:
        for each in started:
            each.process.send_signal(signal.SIGTERM)
        for each in started:
            each.process.wait(60)


def _started(stack: Stack, place: Pipe, freshness_seconds: float | None) -> Worker:
    port = free_port()
    environment = stack.environment() | {
        "TRAILHOUSE_KAFKA_TOPIC": place.kafka.topic,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": place.clickhouse.database,
        "TRAILHOUSE_CLICKHOUSE_ASYNC_INSERT": place.clickhouse.async_insert,
        "TRAILHOUSE_WORKER_WEB_PORT": str(port),
        "TRAILHOUSE_WORKER_GROUP_ID": place.group_id,
    }
    if freshness_seconds is not None:
        environment["TRAILHOUSE_WORKER_FRESHNESS_SECONDS"] = str(freshness_seconds)
    command = [sys.executable, "-m", "trailhouse.cli", "worker"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=os.environ | environment, stdout=quiet, stderr=quiet)
    return Worker(process, port)


def wait_assigned(group: Sequence[Worker], place: Pipe) -> None:
    """Return when *group* has all partitions of *place*, each worker its share."""
    least = place.kafka.partitions // len(group)

    def is_shared_out() -> bool:
        held = [each.series("partitions") for each in group]
        return sum(held) == place.kafka.partitions and min(held) >= least

    wait_until(is_shared_out, f"{len(group)} workers with their partitions", every_seconds=0.5)


def wait_until(
    is_done: Callable[[], bool],
    what: str,
    seconds: float = DEADLINE_SECONDS,
    every_seconds: float = LOOK_SECONDS,
) -> None:
    """Return when *is_done*; end the benchmark when that takes too long."""
    pause, end = threading.Event(), time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > end:
            raise SystemExit(f"benchmarks: expected {what} within {seconds:g} s")
        pause.wait(every_seconds)
