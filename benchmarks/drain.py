"""How fast one worker drains recorded events from a real Kafka into ClickHouse over HTTP.

Run `make bench`, or ``python -m benchmarks.drain --events 300000 --rounds 3``. Each round takes a
fresh topic and database: the topic is filled, the worker is started, and the time counts from the
first record consumed to the last one stored. Kafka and ClickHouse share the machine.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import cpu_seconds, describe, peak_resident_mb
from trailhouse.consumer.init import apply_init
from trailhouse.devstack import DevStack
from trailhouse.devstack.ports import free_port
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.schemas import ClickHouseConfig, KafkaConfig
from trailhouse.store import ClickHouse

RECORDED = Path(__file__).parents[1] / "tests" / "data" / "airline_runs.jsonl"
DEADLINE_SECONDS = 300.0


class Round(NamedTuple):
    """What one round measured."""

    events_per_second: float
    cpu_microseconds_per_event: float
    peak_resident_mb: float


def fill(kafka: KafkaConfig, events: int) -> None:
    """Emit recorded events, each with an id of its own, until *events* are acknowledged."""
    recorded = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    config = ProducerConfig(kafka=kafka, queue_timeout_seconds=60.0, service="bench")
    with AuditLogger(config) as audit:
        for number in range(events):
            audit.log(**recorded[number % len(recorded)])
        audit.flush(DEADLINE_SECONDS)


def metric(port: int, name: str) -> float:
    """Return a series of the worker; 0 until its web server answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return 0.0
    values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(values[0]) if values else 0.0


@contextlib.contextmanager
def worker(environment: dict[str, str]) -> Generator[subprocess.Popen[bytes]]:
    """Run a worker, and end it by SIGTERM."""
    with subprocess.Popen(
        [sys.executable, "-m", "trailhouse.cli", "worker"], env=os.environ | environment
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def drain(
    kafka: KafkaConfig, clickhouse: ClickHouseConfig, environment: dict[str, str], events: int
) -> Round:
    """Start a worker on a full topic and measure until everything is stored."""
    port = free_port()
    variables = environment | {
        "TRAILHOUSE_KAFKA_TOPIC": kafka.topic,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": clickhouse.database,
        "TRAILHOUSE_WORKER_WEB_PORT": str(port),
        "TRAILHOUSE_WORKER_GROUP_ID": f"bench-{kafka.topic}",
    }
    pause, end = threading.Event(), time.monotonic() + DEADLINE_SECONDS
    with worker(variables) as process:
        started_at, cpu_before = time.monotonic(), 0.0
        while (stored := metric(port, "trailhouse_worker_records_stored_total")) < events:
            if metric(port, "trailhouse_worker_records_consumed_total") == 0:
                started_at, cpu_before = time.monotonic(), cpu_seconds(process.pid)
            if time.monotonic() > end or process.poll() is not None:
                raise SystemExit(f"the worker stored {stored:.0f} of {events} events and no more")
            pause.wait(0.05)
        seconds = time.monotonic() - started_at
        cpu = cpu_seconds(process.pid) - cpu_before
        peak = peak_resident_mb(process.pid)
    check_arrived(clickhouse, events)
    return Round(events / seconds, cpu / events * 1e6, peak)


def check_arrived(clickhouse: ClickHouseConfig, events: int) -> None:
    """Raise unless the view shows each event once."""
    with ClickHouse(clickhouse) as store:
        [[rows, ids]] = store.query("SELECT count(), uniqExact(event_id) FROM events").rows
    if (rows, ids) != (events, events):
        raise SystemExit(
            f"expected {events} rows with as many ids in the view, got {rows} and {ids}"
        )


def main() -> None:
    """Run the rounds and print their median."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--events", type=int, default=300_000, help="events a round (default 300000)"
    )
    options.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    given = options.parse_args()
    print(describe())
    rounds: list[Round] = []
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-bench-") as folder,
        DevStack(Path(folder), parts=("kafka", "clickhouse")) as stack,
    ):
        environment = stack.environment()
        for number in range(given.rounds):
            name = uuid.uuid4().hex[:8]
            kafka = KafkaConfig(
                bootstrap_servers=environment["TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS"],
                topic=f"bench-{name}",
            )
            clickhouse = ClickHouseConfig(
                url=environment["TRAILHOUSE_CLICKHOUSE_URL"],
                user=environment.get("TRAILHOUSE_CLICKHOUSE_USER", "default"),
                password=environment.get("TRAILHOUSE_CLICKHOUSE_PASSWORD", ""),
                database=f"bench_{name}",
            )
            apply_init(kafka, clickhouse)
            filled_at = time.monotonic()
            fill(kafka, given.events)
            emitted_per_second = given.events / (time.monotonic() - filled_at)
            measured = drain(kafka, clickhouse, environment, given.events)
            rounds.append(measured)
            print(
                f"round {number + 1}: emitted {emitted_per_second:,.0f} events/s; drained"
                f" {measured.events_per_second:,.0f} events/s, worker CPU"
                f" {measured.cpu_microseconds_per_event:.1f} µs an event, peak {measured.peak_resident_mb:.0f} MB",
                flush=True,
            )
    rates = [measured.events_per_second for measured in rounds]
    cpu = statistics.median(measured.cpu_microseconds_per_event for measured in rounds)
    peak = max(measured.peak_resident_mb for measured in rounds)
    print(
        f"worker drain: median {statistics.median(rates):,.0f} events/s ({min(rates):,.0f} to {max(rates):,.0f}),"
        f" {cpu:.1f} µs worker CPU an event, peak {peak:.0f} MB resident"
    )


if __name__ == "__main__":
    main()
