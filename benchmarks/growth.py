"""Growth: what an event costs, and what the worker holds, as a table grows by powers of ten."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.drain import FINISH_LOOK_SECONDS
from benchmarks.machine import cpu_seconds, peak_resident_mb
from benchmarks.plan import Plan
from benchmarks.topics import fill
from benchmarks.worker import Pipe, new_place, wait_until, worker
from trailhouse.devstack import DevStack
from trailhouse.store import ClickHouse

MARKS = (100_000, 1_000_000, 10_000_000)


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Drain one topic by one worker, and look at each power of ten; each stretch counts alone.

    The full plan does so three times, each into a table of its own, and reports the medians.
    """
    marks = [mark for mark in MARKS if mark <= plan.pick(1_000_000, MARKS[-1])]
    first = new_place(stack)
    fill(first.kafka, marks[-1])
    rounds = [
        _stretches(stack, new_place(stack, topic=first.kafka.topic), marks, say)
        for _ in range(plan.pick(1, 3))
    ]
    stretches = [
        {name: median(each[name] for each in same) for name in same[0]}
        for same in zip(*rounds, strict=True)
    ]
    return {"stretches": stretches, "rounds": rounds}


def _stretches(
    stack: DevStack, place: Pipe, marks: list[int], say: Callable[[str], None]
) -> list[dict[str, float]]:
    stretches: list[dict[str, float]] = []
    with worker(stack, place) as one:
        wait_until(lambda: one.series("records_consumed_total") > 0, "a worker that reads")
        stored, at, cpu = 0.0, time.monotonic(), cpu_seconds(one.process.pid)
        for mark in marks:

            def has_come(mark: int = mark) -> bool:
                return one.series("records_stored_total") >= mark

            wait_until(has_come, f"{mark} events stored", 3_600, FINISH_LOOK_SECONDS)
            now, used = time.monotonic(), cpu_seconds(one.process.pid)
            now_stored = one.series("records_stored_total")
            count = now_stored - stored
            stretches.append(
                {
                    "up_to": mark,
                    "events_per_second": count / (now - at),
                    "cpu_us_per_event": (used - cpu) / count * 1e6,
                    "peak_mb": peak_resident_mb(one.process.pid),
                }
            )
            say(f"growth up to {mark:,}: {stretches[-1]['events_per_second']:,.0f} events/s")
            stored, at, cpu = now_stored, now, used
    with ClickHouse(place.clickhouse) as store:
        store.command("DROP TABLE event_log SYNC")  # the next one has the disk to itself
    return stretches


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    lines = ["| up to events | events/s | CPU µs an event | peak MB |", "|---|---|---|---|"]
    lines += [
        f"| {each['up_to']:,} | {each['events_per_second']:,.0f} "
        f"| {each['cpu_us_per_event']:.1f} | {each['peak_mb']:.0f} |"
        for each in section["stretches"]
    ]
    return "\n".join(lines)
