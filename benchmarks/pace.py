"""Pace: what an event costs the producer's host when few come, all threads, beyond a host that only sleeps."""

from collections.abc import Callable
from typing import Any

from benchmarks.emit import CONTESTANTS, OURS, Emitter, run_emitter
from benchmarks.environments import python_of
from benchmarks.plan import Plan
from benchmarks.rounds import Rounds, interleaved
from trailhouse.devstack import DevStack

RATES = (1_000, 100, 10)
SECONDS = 6.0
FULL_SECONDS = 30.0
FLOORS = {
    "floor: one JSON line, one write": Emitter("one_write.py"),
    "Python's logging to a file": Emitter("python_logging.py"),
}
"""What a host pays that does the least: after a sleep its caches are cold, whoever is called."""
IN_FULL = (
    "trailhouse, memory",
    "floor: produce of ready bytes",
    "OpenTelemetry batch log processor",
)
"""Who is measured beside ours in the full plan."""


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure each rate in turn, in each round."""
    seconds, rounds = plan.pick(SECONDS, FULL_SECONDS), Rounds()
    contestants = {OURS: CONTESTANTS[OURS]} | FLOORS
    contestants |= {name: CONTESTANTS[name] for name in plan.pick((), IN_FULL)}
    for emitter in contestants.values():
        if emitter.environment is not None:
            python_of(emitter.environment)
    for rate in RATES:
        for number, name in interleaved(list(contestants), plan.pick(1, plan.rounds)):
            events = max(1, int(rate * seconds))
            values = run_emitter(stack, contestants[name], "paced", events, rate)
            rounds.add(number, name_of(rate, name), values)
            say(f"pace, {rate}/s: {name} {values['cpu_us_per_event']:.0f} µs an event")
    return {"paced_seconds": seconds, "rounds": rounds.rounds}


def name_of(rate: int, who: str = OURS) -> str:
    """Return the name under which a result stands."""
    return f"{who}, {rate:,} events/s"


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    rounds = Rounds()
    rounds.rounds = section["rounds"]
    lines = [
        "| who, one thread | CPU of all threads: µs an event | the host, which sleeps: µs an event |",
        "|---|---|---|",
    ]
    for name in rounds.contestants:
        cpu, host = (
            rounds.spread(name, quantity).median
            for quantity in ("cpu_us_per_event", "host_us_per_event")
        )
        lines.append(f"| {name} | {cpu:.0f} | {host:.0f} |")
    return "\n".join(lines)
