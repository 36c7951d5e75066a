"""Asleep: what runs and has nothing to do: a worker added to a group, a logger that logged once, `trailhouse dev`.

`python -m benchmarks.asleep` is the process that only sleeps; given a broker and a topic, it logs once before.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from benchmarks.machine import cpu_percents
from benchmarks.plan import Plan
from benchmarks.steady import part_pid, window
from benchmarks.worker import Pipe, Stack, new_place, wait_assigned, wait_until, workers
from trailhouse.devstack import DevStack, Ports, StackError, ask_stack
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouse

ADDED = 3
"""So many workers are added, since what one adds to broker and engine is too little to be seen."""
SETTLE_SECONDS = 4.0
"""Groups, connections and a young JVM come to rest."""
START_SECONDS = 120.0
CONNECT_SECONDS = 30.0
READY = b"ready\n"

WORKER, LOGGER, DEV = "worker added to one", "logger that has logged once", "trailhouse dev"
BEYOND, ALL = "logger, beyond a process that only sleeps", "all of it"


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all three: each sleeps while another does."""
    seconds = plan.pick(12.0, 60.0)
    place = new_place(stack)
    with _dev_stack() as dev_pids, ClickHouse(place.clickhouse) as store:

        def used(pids: list[int]) -> dict[str, float]:
            time.sleep(SETTLE_SECONDS)
            return window(stack, store, pids, seconds)

        with workers(stack, place, 1) as first:
            wait_assigned(first, place)
            one = used([first[0].process.pid])
            with workers(stack, place, ADDED) as added:
                wait_assigned([*first, *added], place)
                more = used([each.process.pid for each in added])
            say(f"asleep: an added worker {more['consumers_percent'] / ADDED:.2f} % of a core")
            wait_assigned(first, place)
            # Once more: a young JVM uses less from minute to minute.
            again = used([first[0].process.pid])
            with _sleeper(stack) as host, _sleeper(stack, place) as logger:
                time.sleep(SETTLE_SECONDS)
                pids = [host, logger, part_pid(stack, "kafka"), *dev_pids.values()]
                (host_percent, logger_percent, broker_percent, *dev_percents), _ = cpu_percents(
                    pids, seconds
                )
    say(f"asleep: a logger {logger_percent:.2f}, a dev stack {sum(dev_percents):.2f} % of a core")
    percents = _of_workers(_mean(one, again), more)
    percents[LOGGER] = {
        BEYOND: logger_percent - host_percent,
        "broker, more": broker_percent - again["broker_percent"],
    }
    percents[DEV] = {ALL: sum(dev_percents), **dict(zip(dev_pids, dev_percents, strict=True))}
    return {
        "window_seconds": seconds,
        "percents": percents,
        "statements_a_second": {
            "one worker": again["selects a second"],
            f"{1 + ADDED} workers": more["selects a second"],
        },
    }


def _mean(one: dict[str, float], again: dict[str, float]) -> dict[str, float]:
    """Return what is between both, of what both have: a table that had no part yet, as of anchors, is not counted."""
    return {name: (one[name] + again[name]) / 2 for name in one.keys() & again.keys()}


def _of_workers(one: dict[str, float], more: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return what one worker uses, and what each of the added ones does."""
    return {
        "one worker": {
            "worker": one["consumers_percent"],
            "broker": one["broker_percent"],
            "engine": one["engine_percent"],
        },
        WORKER: {
            "worker": more["consumers_percent"] / ADDED,
            "broker, more": (more["broker_percent"] - one["broker_percent"]) / ADDED,
            "engine, more": (more["engine_percent"] - one["engine_percent"]) / ADDED,
        },
    }


@contextlib.contextmanager
def _dev_stack() -> Generator[dict[str, int]]:
    """Run `trailhouse dev` and give its processes by name, its own first."""
    with tempfile.TemporaryDirectory(prefix="trailhouse-asleep-") as folder:
        command = [sys.executable, "-m", "trailhouse.cli", "dev", "--data-dir", folder]
        for name, port in Ports.free()._asdict().items():
            command += [f"--{name}-port", str(port)]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            parts = dict[str, Any]()

            def is_ready() -> bool:
                with contextlib.suppress(StackError):
                    parts.update(ask_stack(Path(folder) / "state.json", "status")["parts"])
                return bool(parts) and all(part["state"] == "ready" for part in parts.values())

            wait_until(is_ready, "a dev stack that is ready", START_SECONDS, every_seconds=0.5)
            yield {DEV: process.pid} | {name: part["pid"] for name, part in parts.items()}
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_SECONDS)


@contextlib.contextmanager
def _sleeper(stack: Stack, place: Pipe | None = None) -> Generator[int]:
    given = [] if place is None else [place.kafka.bootstrap_servers, place.kafka.topic]
    command = [sys.executable, "-m", "benchmarks.asleep", json.dumps(given)]
    environment = os.environ | stack.environment()
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        # Leaving closes its standard input, for whose end it waits.
        if process.stdout is None or process.stdout.readline() != READY:
            raise SystemExit("benchmarks: the process that sleeps has failed")
        yield process.pid


def sleep(given: list[str]) -> None:
    """Log once where *given* says, and sleep until standard input is closed."""
    with contextlib.ExitStack() as held:
        if given:
            kafka = KafkaConfig(bootstrap_servers=given[0], topic=given[1])
            audit = held.enter_context(AuditLogger(ProducerConfig(kafka=kafka, service="bench")))
            audit.log("message_sent", session_id="once")
            audit.flush(CONNECT_SECONDS)
        os.write(1, READY)
        sys.stdin.buffer.read()


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    lines = ["| what has nothing to do | process | % of a core |", "|---|---|---|"]
    for what, percents in section["percents"].items():
        lines += [
            f"| {what} | {process} | {percent:.2f} |" for process, percent in percents.items()
        ]
    asked = ", ".join(f"{who} {rate:.2f}" for who, rate in section["statements_a_second"].items())
    return "\n".join(
        [*lines, "", f"Statements that the engine answers for them, a second: {asked}."]
    )


if __name__ == "__main__":
    sleep(json.loads(sys.argv[1]))
