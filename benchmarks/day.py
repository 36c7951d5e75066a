"""A day's curve, pressed into minutes: a wide group through night, burst and working hours.

Examples::

    python -m benchmarks.day --minutes 20
    python -m benchmarks.day --minutes 4 --workers 8 --peak 500 --freshness 3

The night ends with as many events at once as `--burst` says. A reader looks five times a second all day, and is in
what the engine uses. In the end every event is counted: each is there once, or the benchmark fails.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.engine_counts import EngineCounts, engine_counts, most_active_parts
from benchmarks.groups import our_group
from benchmarks.machine import cpu_seconds, described
from benchmarks.offered import Stretch, events_of, offered
from benchmarks.steady import check_counted, derive, part_pid
from benchmarks.visible import VIEW, quantiles_ms, watched
from benchmarks.worker import Pipe, new_place
from trailhouse.devstack import DevStack
from trailhouse.store import ClickHouse

NIGHT_HOURS = 3
HOURS = (
    0.02,
    0.02,
    0.05,
    0.1,
    0.3,
    0.6,
    0.9,
    1,
    0.9,
    0.6,
    0.8,
    1,
    1,
    0.9,
    0.7,
    0.5,
    0.3,
    0.2,
    0.1,
    0.05,
)
"""Of each hour after the burst, the share of the peak's rate."""
BURST_RATE = 20_000.0
"""Faster than a logger beside a broker and an engine on two cores: it falls behind and catches up later."""
LOOK_SECONDS = 0.2
SAMPLE_SECONDS = 1.0
SLACK_SECONDS = 60.0
READ = "event_log"
"""Not the view, which takes copies out: what is looked for is the first time that an event is there."""


class Day(NamedTuple):
    """The curve: how long it takes, its highest rate, and how many events end the night."""

    seconds: float
    peak: float
    burst: int

    @property
    def stretches(self) -> list[Stretch]:
        """Night, burst, and the hours after it, each a twenty-fourth of the day but the burst's, which is short."""
        hour = self.seconds / (NIGHT_HOURS + len(HOURS) + 1)
        burst = Stretch(BURST_RATE, min(hour, self.burst / BURST_RATE))
        burst = burst._replace(events_per_second=self.burst / burst.seconds)
        day = [Stretch(self.peak * share, hour) for share in HOURS]
        return [Stretch(0, NIGHT_HOURS * hour), burst, Stretch(0, hour - burst.seconds), *day]


class Sample(NamedTuple):
    """What the engine had counted at a time."""

    at: float
    counts: EngineCounts
    active_parts: int


def main() -> None:
    """Run a day and print what it took."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.day",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--minutes", type=float, default=20.0, help="of the day (default 20)")
    options.add_argument("--workers", type=int, default=16, help="of one group (default 16)")
    options.add_argument("--partitions", type=int, default=16, help="of the topic (default 16)")
    options.add_argument("--peak", type=float, default=1_000, help="events a second (default 1000)")
    options.add_argument(
        "--burst", type=int, default=100_000, help="events at once (default 100000)"
    )
    options.add_argument("--freshness", type=float, default=1.0, help="seconds (default 1)")
    options.add_argument("--derived", type=int, default=2, help="further tables (default 2)")
    given = options.parse_args()
    day = Day(given.minutes * 60, given.peak, given.burst)
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-day-") as folder,
        DevStack(Path(folder), parts=("kafka", "clickhouse")) as stack,
    ):
        print("; ".join(f"{name}: {value}" for name, value in described().items()), flush=True)
        place = new_place(stack, partitions=given.partitions)
        derive(place, given.derived)
        found = measured(stack, place, day, given.workers, given.freshness)
    for name, value in found.items():
        print(f"{value:12,.2f}  {name}")


def measured(
    stack: DevStack, place: Pipe, day: Day, workers: int, freshness_seconds: float
) -> dict[str, float]:
    """Return what *workers* made of *day*."""
    stretches = day.stretches
    events = events_of(stretches)
    pids = [part_pid(stack, name) for name in ("clickhouse", "kafka")]
    with our_group(workers, freshness_seconds)(stack, place) as group, _sampled(place) as samples:
        began, before = time.monotonic(), [cpu_seconds(pid) for pid in (*pids, *group)]
        with offered(stack, place, stretches):
            shown = watched(
                place,
                events,
                table=READ,
                every_seconds=LOOK_SECONDS,
                within_seconds=day.seconds + SLACK_SECONDS,
            )
        took, after = time.monotonic() - began, [cpu_seconds(pid) for pid in (*pids, *group)]
    with ClickHouse(place.clickhouse) as store:
        check_counted(store, VIEW, events)
    engine, broker, *consumers = (
        (now - then) / took * 100 for now, then in zip(after, before, strict=True)
    )
    return {
        "events, each counted once": events,
        **_freshness(shown.delays_ms, day.burst),
        "a look takes, median: ms": median(shown.looks_ms),
        **counted(samples),
        "engine, % of a core, a reader's questions included": engine,
        "broker, % of a core": broker,
        "workers, % of a core, all": sum(consumers),
    }


def _freshness(delays: dict[int, float], burst: int) -> dict[str, float]:
    """Return the freshness of the burst, which follows the event that connects, and of all the others."""
    of_burst = [delay for number, delay in delays.items() if 1 <= number <= burst]
    others = [delay for number, delay in delays.items() if number > burst]
    return {"burst, its first event: ms": delays.get(1, 0.0)} | {
        f"{name}, {quantile.removesuffix('_ms')}: ms": value
        for name, each in (("burst", of_burst), ("the day after it", others))
        if each
        for quantile, value in quantiles_ms(each).items()
    }


def counted(samples: Sequence[Sample]) -> dict[str, float]:
    """Return how many inserts a second there were at most, and what was made. Pure."""
    first, last = samples[0], samples[-1]
    rates = [
        (now.counts.counts["inserts"] - then.counts.counts["inserts"]) / (now.at - then.at)
        for then, now in pairwise(samples)
    ]
    made = last.counts.a_second(first.counts, 1.0)
    return {
        "inserts a second, at most": max(rates, default=0.0),
        "inserts a second, mean": made["inserts a second"]
        / max(last.at - first.at, SAMPLE_SECONDS),
        "active parts of a partition, at most": max(each.active_parts for each in samples),
    } | {
        name.replace(" a second", ", made"): value
        for name, value in made.items()
        if name.startswith(("parts", "inserts", "merges"))
    }


@contextmanager
def _sampled(place: Pipe) -> Generator[list[Sample]]:
    samples, is_over = list[Sample](), threading.Event()

    def sample() -> None:
        with ClickHouse(place.clickhouse) as store:
            while True:
                is_last = is_over.wait(SAMPLE_SECONDS)
                samples.append(
                    Sample(time.monotonic(), engine_counts(store), most_active_parts(store))
                )
                if len(samples) % 60 == 0:
                    print(f"{len(samples):6d} s", file=sys.stderr, flush=True)
                if is_last:
                    return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        is_over.set()
        thread.join()


if __name__ == "__main__":
    main()
