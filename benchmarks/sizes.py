"""Worker drain at other sizes of events, and with more workers and partitions."""

from collections.abc import Callable
from typing import Any

from benchmarks.drain import CEILING, CONTESTANTS, OURS, drained, run_peer
from benchmarks.plan import Plan
from benchmarks.rounds import Rounds
from benchmarks.topics import fill
from benchmarks.worker import new_place
from trailhouse.devstack import DevStack

SIZES = {200: 100_000, 640: 100_000, 4_096: 30_000, 65_536: 2_500}
"""Bytes of an event, and how many of them."""
SHAPES = ((4, 1), (4, 2), (12, 1), (12, 2))
"""Partitions and workers."""


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Drain topics of each size and shape."""
    factor = plan.pick(1, 5)
    sizes, shapes = Rounds(), Rounds()
    peer = CONTESTANTS[CEILING]
    assert peer is not None
    for size, count in SIZES.items():
        place = new_place(stack)
        fill(place.kafka, count * factor, size)
        for number in range(plan.pick(2, plan.rounds)):
            for name in (OURS, CEILING):
                here = new_place(stack, topic=place.kafka.topic)
                values = (
                    drained(stack, here, count * factor)
                    if name == OURS
                    else run_peer(peer, here, count * factor)
                )
                sizes.add(number, f"{name}, {size} B", values)
                say(
                    f"drain of {size} B, round {number + 1}: {name} {values['events_per_second']:,.0f} events/s"
                )
    for partitions in sorted({partitions for partitions, _ in SHAPES}):
        place = new_place(stack, partitions=partitions)
        fill(place.kafka, 100_000 * factor)
        for number in range(plan.pick(2, plan.rounds)):
            for workers in (1, 2):
                here = new_place(stack, topic=place.kafka.topic)
                values = drained(stack, here, 100_000 * factor, workers)
                shapes.add(number, f"{partitions} partitions, {workers} workers", values)
                say(
                    f"drain of {partitions} partitions by {workers}: {values['events_per_second']:,.0f} events/s"
                )
    return {"sizes": sizes.rounds, "shapes": shapes.rounds}


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    lines = [
        "| what | events/s, median (lowest to highest) | CPU µs an event | peak MB |",
        "|---|---|---|---|",
    ]
    for part in ("sizes", "shapes"):
        rounds = Rounds()
        rounds.rounds = section[part]
        for name in rounds.contestants:
            rate, cpu = (
                rounds.spread(name, "events_per_second"),
                rounds.spread(name, "cpu_us_per_event"),
            )
            peak = rounds.spread(name, "peak_mb")
            lines.append(
                f"| {name} | {rate.median:,.0f} ({rate.low:,.0f} to {rate.high:,.0f}) "
                f"| {cpu.median:.1f} | {peak.high:.0f} |"
            )
    return "\n".join(lines)
