"""Emit: what a caller pays for one event, ours beside the floor, the plain way, and other clients.

Each contestant is a program of its own that is called in the same way: see `emitters/caller.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.environments import FOLDER, python_of
from benchmarks.plan import Plan
from benchmarks.records import RECORDED
from benchmarks.rounds import Rounds, interleaved
from benchmarks.worker import Stack, new_place
from trailhouse.devstack import DevStack

EMITTERS = Path(__file__).parent / "emitters"
MODES = ("one_thread", "eight_threads", "asyncio")
OURS = "trailhouse, durable"
RATE = 1_000.0
LONGEST_SECONDS = 600.0


class Emitter(NamedTuple):
    """A contestant: its script, its environment (None is ours), and the mode of our producer."""

    script: str
    environment: str | None = None
    mode: str = ""


CONTESTANTS = {
    OURS: Emitter("ours.py", mode="durable"),
    "trailhouse, memory": Emitter("ours.py", mode="memory"),
    "floor: produce of ready bytes": Emitter("floor.py"),
    "the same steps written out plainly": Emitter("plain.py"),
    "OpenTelemetry batch log processor": Emitter("opentelemetry_logs.py", "opentelemetry"),
    "structlog to a file": Emitter("structlog_file.py", "structlog"),
    "Langfuse": Emitter("langfuse_client.py", "langfuse"),
    "Segment": Emitter("segment_client.py", "segment"),
}


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Run all contestants in interleaved rounds: all ways to call in the first, one thread in the others."""
    events = plan.pick(1_500, 30_000)
    for emitter in CONTESTANTS.values():
        if emitter.environment is not None:
            python_of(emitter.environment)
    modes: dict[str, Rounds] = {mode: Rounds() for mode in MODES}
    for mode in MODES:
        for number, name in interleaved(
            list(CONTESTANTS), plan.rounds if mode == MODES[0] else plan.pick(1, 3)
        ):
            values = run_emitter(stack, CONTESTANTS[name], mode, events)
            modes[mode].add(number, name, values)
            say(f"emit, {mode}, round {number + 1}: {name} p50 {values['p50_us']:.1f} µs")
    return {
        "events": events,
        "rate": RATE,
        "modes": {mode: rounds.rounds for mode, rounds in modes.items()},
    }


def run_emitter(
    stack: Stack, emitter: Emitter, mode: str, events: int, rate: float = RATE
) -> dict[str, float]:
    """Have *emitter* log *events* in *mode*, at *rate* a second, and return what it measured."""
    kafka = new_place(stack).kafka
    python = sys.executable if emitter.environment is None else str(python_of(emitter.environment))
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=FOLDER
    ) as folder:  # on the repository's disk, not in memory
        command = [
            python, str(EMITTERS / emitter.script), "--bootstrap", kafka.bootstrap_servers, "--topic", kafka.topic,
            "--folder", folder, "--recorded", str(RECORDED), "--mode", mode, "--events", str(events),
            "--rate", str(rate),
        ]  # fmt: skip
        environment = os.environ | (
            {"TRAILHOUSE_PRODUCER_MODE": emitter.mode} if emitter.mode else {}
        )
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"')]
    if done.returncode or not lines:
        raise SystemExit(
            f"benchmarks: {emitter.script} ended with {done.returncode}: {done.stderr[-2_000:]}"
        )
    values: dict[str, float] = json.loads(lines[-1])
    return values


_QUANTITIES = (
    "p50_us", "p99_us", "flat_p50_us", "flat_p99_us", "mean_us", "cpu_us_per_event", "extra_mb",
)  # fmt: skip


def table(section: dict[str, Any]) -> str:
    """Return the section as Markdown tables, one for each way to call."""
    parts: list[str] = []
    for mode, measured in section["modes"].items():
        rounds = Rounds()
        rounds.rounds = measured
        parts += [
            f"**{mode.replace('_', ' ')}**",
            "",
            "| contestant | p50, p99 µs | flat out: p50, p99, mean µs | CPU µs | of our CPU | MB over the host |",
            "|---|---|---|---|---|---|",
        ]
        for name in rounds.contestants:
            p50, p99, flat_p50, flat_p99, mean, cpu, extra = (
                rounds.spread(name, quantity).median for quantity in _QUANTITIES
            )
            ratio = rounds.ratio(name, OURS, "cpu_us_per_event")
            parts.append(
                f"| {name} | {p50:.1f}, {p99:.1f} | {flat_p50:.1f}, {flat_p99:.1f}, {mean:.1f} "
                f"| {cpu:.1f} | {ratio.median:.2f} × | {extra:.0f} |"
            )
        parts.append("")
    return "\n".join(parts).rstrip()
