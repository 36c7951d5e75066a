"""Exports of a fleet's log: events a second, CPU of both sides and memory, as `trailhouse export` writes each format.

Examples::

    python -m benchmarks.exporting                     10 million events, minutes
    python -m benchmarks.exporting --events 1000000 --formats jsonl parquet

Each export is a process of its own into a folder of its own; then `trailhouse export --check` holds it against its
manifest. Events a second are those of a machine on which nothing else runs; elsewhere compare CPU.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.fleet_log import load_fleet
from benchmarks.machine import cpu_seconds, described
from benchmarks.steady import part_pid
from trailhouse.devstack import DevStack
from trailhouse.query.export.formats import ExportFormat
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate

AIMS_A_SECOND = {"jsonl": 200_000, "parquet": 150_000}
AIM_MB = 400


class Exported(NamedTuple):
    """What one export took: the clock, the CPU of either side, the most memory of ours, and the size of its files."""

    seconds: float
    reader_cpu_seconds: float
    engine_cpu_seconds: float
    peak_mb: float
    size_bytes: int


def exported(environment: dict[str, str], engine_pid: int, format: str, folder: Path) -> Exported:
    """Run one export into *folder*, which must not be there, and check it."""
    command = [sys.executable, "-m", "trailhouse.cli", "export", "--to", str(folder)]
    engine_before, began = cpu_seconds(engine_pid), time.perf_counter()
    with subprocess.Popen(
        [*command, "--format", format], env=environment, stdout=subprocess.DEVNULL
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"benchmarks: the export to {format} ended with {process.returncode}")
    check = [sys.executable, "-m", "trailhouse.cli", "export", "--check", str(folder)]
    subprocess.run(check, env=environment, check=True, stdout=subprocess.DEVNULL)
    return Exported(
        took,
        used.ru_utime + used.ru_stime,
        cpu_seconds(engine_pid) - engine_before,
        used.ru_maxrss * 1_024 / 1e6,
        sum(each.stat().st_size for each in folder.iterdir()),
    )


def main() -> None:
    """Load, export in each format, check; print a table."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.exporting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--events", type=int, default=10_000_000)
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--formats", nargs="+", choices=[*ExportFormat], default=[*AIMS_A_SECOND])
    given = options.parse_args()
    print(described())
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-exporting-") as folder,
        DevStack(Path(folder), parts=("clickhouse",)) as stack,
    ):
        environment = stack.environment()
        config = ClickHouseConfig(
            url=environment["TRAILHOUSE_CLICKHOUSE_URL"],
            user=environment["TRAILHOUSE_CLICKHOUSE_USER"],
            password=environment["TRAILHOUSE_CLICKHOUSE_PASSWORD"],
        )
        migrate(config)
        with ClickHouse(msgspec.structs.replace(config, timeout_seconds=600.0)) as store:
            events = load_fleet(
                store, given.events, lambda line: print(line, file=sys.stderr)
            ).events
        print(f"{events:,} events")
        print(
            "| format | events/s | aim | reader, engine: CPU µs an event | peak MB | aim | bytes |"
        )
        print("|---|---|---|---|---|---|---|", flush=True)
        pid = part_pid(stack, "clickhouse")
        for name in [*given.formats] * given.rounds:
            to = Path(folder, name)
            found = exported(os.environ | environment, pid, name, to)
            shutil.rmtree(to)
            print(_row(name, found, events), flush=True)


def _row(format: str, found: Exported, events: int) -> str:
    aim = AIMS_A_SECOND.get(format)
    reader, engine = (
        seconds / events * 1e6 for seconds in (found.reader_cpu_seconds, found.engine_cpu_seconds)
    )
    return (
        f"| {format} | {events / found.seconds:,.0f} | {f'{aim:,}' if aim else ''} | {reader:.2f}, {engine:.2f}"
        f" | {found.peak_mb:.0f} | {AIM_MB} | {found.size_bytes / events:.1f} |"
    )


if __name__ == "__main__":
    main()
