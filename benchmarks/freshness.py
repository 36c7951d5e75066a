"""Freshness: how long after `log` an event is visible, at several rates, where worker and logger are asked for it.

One process logs at a steady rate and notes when; another asks the view for what is new, every few
milliseconds, and counts an event as visible when the answer that holds it is there. One worker drains.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.offered import Stretch, events_of, offered
from benchmarks.plan import Plan
from benchmarks.rounds import Rounds
from benchmarks.visible import ASK_EVERY_SECONDS, quantiles_ms, watched
from benchmarks.worker import new_place, wait_assigned, workers
from trailhouse.devstack import DevStack

RATES = (100, 1_000, 10_000)
ASKED_SECONDS = 0.3
ASKED_LINGER_SECONDS = 0.005
"""What worker and logger are asked for; quiet hours are measured at their defaults and above them."""


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure each rate in turn, in each round."""
    seconds, rounds = plan.pick(6.0, 30.0), Rounds()
    for number in range(plan.pick(1, plan.rounds)):
        for rate in RATES:
            values = _at(stack, rate, seconds)
            rounds.add(number, f"{rate} events/s", values)
            say(
                f"freshness at {rate}/s: p50 {values['p50_ms']:.0f} ms, p99 {values['p99_ms']:.0f} ms"
            )
    return {
        "asked_seconds": ASKED_SECONDS,
        "asked_linger_seconds": ASKED_LINGER_SECONDS,
        "offered_seconds": seconds,
        "ask_every_ms": ASK_EVERY_SECONDS * 1e3,
        "rounds": rounds.rounds,
    }


def _at(stack: DevStack, rate: int, seconds: float) -> dict[str, float]:
    place, stretch = new_place(stack), Stretch(rate, seconds)
    with workers(stack, place, 1, ASKED_SECONDS) as group:
        wait_assigned(group, place)
        with offered(stack, place, [stretch], linger_seconds=ASKED_LINGER_SECONDS):
            delays = watched(place, events_of([stretch])).delays_ms
    delays.pop(0, None)  # the one that connected
    return quantiles_ms(delays.values())


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    rounds = Rounds()
    rounds.rounds = section["rounds"]
    lines = ["| offered | p50 ms | p99 ms | latest ms |", "|---|---|---|---|"]
    for name in rounds.contestants:
        p50, p99, most = (
            rounds.spread(name, quantity).median for quantity in ("p50_ms", "p99_ms", "most_ms")
        )
        lines.append(f"| {name} | {p50:.0f} | {p99:.0f} | {most:.0f} |")
    return "\n".join(lines)
