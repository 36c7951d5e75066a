"""Run the benchmarks: measure, print the tables, and write results.json, the plot and docs/performance.md.

Examples::

    python -m benchmarks                      the short plan, minutes
    python -m benchmarks --full               the long one
    python -m benchmarks --only drain emit    some of it; the other figures stay as they were
    python -m benchmarks --report             make the documents anew from results.json
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import (
    asleep,
    drain,
    emit,
    freshness,
    growth,
    pace,
    quiet,
    report,
    sessions,
    sizes,
    steps,
    storage,
)
from benchmarks.machine import described
from benchmarks.plan import Plan
from trailhouse.devstack import DevStack

RESULTS = Path(__file__).parent / "results.json"
SECTIONS = {
    "drain": drain,
    "emit": emit,
    "freshness": freshness,
    "quiet": quiet,
    "asleep": asleep,
    "pace": pace,
    "sessions": sessions,
    "storage": storage,
    "sizes": sizes,
    "growth": growth,
    "steps": steps,
}


def main() -> None:
    """Measure what is asked for."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--full", action="store_true", help="the long plan")
    options.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    options.add_argument(
        "--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION"
    )
    options.add_argument("--report", action="store_true", help="measure nothing")
    given = options.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not given.report:
        plan = Plan(given.full, given.rounds)
        for name in given.only:
            results[name] = {
                "plan": "full" if given.full else "short",
                "on": described(),
                **_measured(name, plan),
            }
            # Keys stay as they were measured: a step stands above its parts, and so it does in the tables.
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            print(f"\n{name}\n\n{SECTIONS[name].table(results[name])}\n", flush=True)
    report.write(results, {name: section.table for name, section in SECTIONS.items()})


def _measured(name: str, plan: Plan) -> dict[str, Any]:
    """Run one section on a stack of its own, so that none inherits another's merges."""
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", file=sys.stderr, flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-bench-") as folder,
        DevStack(Path(folder), parts=("kafka", "clickhouse")) as stack,
    ):
        measured = SECTIONS[name].measure(stack, plan, say)
    return {"seconds": round(time.monotonic() - began), **measured}


if __name__ == "__main__":
    main()
