"""From the call of `log` to a follower's `read`: how old events are when `AuditReader.follow` gives them.

Examples::

    python -m benchmarks.following
    python -m benchmarks.following --rate 100 --seconds 60 --freshness 0.3 --linger 0.005

One process logs at a steady rate, one worker drains, and this process follows, all at their defaults unless said
otherwise. Each event must come once, and in order within its session.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import described
from benchmarks.offered import Stretch, events_of, offered
from benchmarks.visible import quantiles_ms
from benchmarks.worker import new_place, wait_assigned, workers
from trailhouse.devstack import DevStack
from trailhouse.query import AlteredEvent, AuditReader, Follower

AIM_P99_MS = 1_000
END_SECONDS = 60.0


def followed(follower: Follower, events: int) -> list[float]:
    """Return how old each of *events* was when it was given, in ms, the one that connects left out."""
    ages_ms: list[float] = []
    last: dict[str, int] = {}
    end = time.monotonic() + END_SECONDS
    while len(ages_ms) + 1 < events:
        found = follower.read(1.0)
        now_us = time.time_ns() / 1e3
        for event in found.items:
            if isinstance(event, AlteredEvent):
                raise SystemExit("benchmarks: an event came back altered")
            number: Any = event.data.get("n", -1)
            if number <= last.get(event.session_id, -2):
                raise SystemExit("benchmarks: an event came twice, or before an earlier one")
            last[event.session_id] = number
            if number >= 0:
                ages_ms.append((now_us - event.occurred_at.timestamp() * 1e6) / 1e3)
        if found.items:
            end = time.monotonic() + END_SECONDS
        elif time.monotonic() > end:
            raise SystemExit(f"benchmarks: {events} events were logged, {len(ages_ms) + 1} came")
    return ages_ms


def main() -> None:
    """Measure one case and print it."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.following",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--rate", type=float, default=1_000, help="events a second (default 1000)")
    options.add_argument("--seconds", type=float, default=30.0, help="(default 30)")
    options.add_argument("--freshness", type=float, help="seconds of the worker (its default)")
    options.add_argument("--linger", type=float, help="seconds of the logger (its default)")
    given = options.parse_args()
    stretch = Stretch(given.rate, given.seconds)
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-following-") as folder,
        DevStack(Path(folder), parts=("kafka", "clickhouse")) as stack,
    ):
        print("; ".join(f"{name}: {value}" for name, value in described().items()), flush=True)
        place = new_place(stack)
        with (
            workers(stack, place, 1, given.freshness) as group,
            AuditReader(config=place.clickhouse) as reader,
            reader.follow() as follower,
        ):
            wait_assigned(group, place)
            began = time.process_time()
            with offered(stack, place, [stretch], linger_seconds=given.linger):
                ages_ms = followed(follower, events_of([stretch]))
            cpu_us = (time.process_time() - began) / len(ages_ms) * 1e6
    for name, value in quantiles_ms(ages_ms).items():
        print(f"{value:10.1f}  {name}")
    print(f"{cpu_us:10.1f}  the follower's CPU, µs an event")
    print(f"{AIM_P99_MS:10.1f}  aim of p99_ms")


if __name__ == "__main__":
    main()
