"""What the tables that follow from the log cost a drain: the same topic with them and without, in turns on one stack.

Examples::

    python -m benchmarks.derived_drain
    python -m benchmarks.derived_drain --rounds 8 --events 600000

Worker, broker and engine share the machine's cores, so what the engine takes more the worker has less.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.drain import drained
from benchmarks.machine import described
from benchmarks.rounds import Rounds, interleaved
from benchmarks.topics import fill
from benchmarks.worker import new_place
from trailhouse.devstack import DevStack
from trailhouse.store import ClickHouse
from trailhouse.store.derived_tables import derived_tables

AIM = 0.93
ALONE, WITH = "the log alone", "with event_index and event_usage"


def measured(stack: DevStack, rounds: int, events: int) -> Rounds:
    """Drain in turns with what follows from the log, and without it."""
    topic = new_place(stack).kafka
    fill(topic, events)
    found = Rounds()
    for number, name in interleaved([ALONE, WITH], rounds):
        place = new_place(stack, topic=topic.topic)
        if name == ALONE:
            with ClickHouse(place.clickhouse) as store:
                for table in derived_tables():
                    store.command(f"DROP VIEW {table.view}")
        found.add(number, name, drained(stack, place, events))
        rate = found.rounds[number][name]["events_per_second"]
        print(f"round {number + 1}: {name} {rate:,.0f} events/s", file=sys.stderr, flush=True)
    return found


def table_of(found: Rounds) -> str:
    """Return *found* as a Markdown table."""
    lines = [
        "| | events/s, median (lowest to highest) | worker's CPU, µs an event | × the log alone (aim) |",
        "|---|---|---|---|",
    ]
    for name in (ALONE, WITH):
        rate = found.spread(name, "events_per_second")
        cpu = found.spread(name, "cpu_us_per_event").median
        ratio = found.ratio(WITH, ALONE, "events_per_second").median
        share = f"{ratio:.3f} (≥ {AIM})" if name == WITH else ""
        lines.append(
            f"| {name} | {rate.median:,.0f} ({rate.low:,.0f} to {rate.high:,.0f}) | {cpu:.1f} | {share} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.derived_drain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--rounds", type=int, default=6, help="interleaved rounds (default 6)")
    options.add_argument("--events", type=int, default=600_000, help="to drain (default 600,000)")
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-drain-") as work,
        DevStack(Path(work), parts=("kafka", "clickhouse")) as stack,
    ):
        found = measured(stack, given.rounds, given.events)
    on = "; ".join(f"{name}: {value}" for name, value in described().items())
    print(f"\n{on}\n\n{given.events:,} events\n\n{table_of(found)}")


if __name__ == "__main__":
    main()
