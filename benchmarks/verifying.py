"""`python -m benchmarks.verifying [EVENTS]`: what verify costs an event, in CPU time of its own process, and in memory.

The log is stored by the worker's code in a ClickHouse of its own; records are those of the recorded runs, 670 bytes.
"""

import resource
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from benchmarks.records import ready_records
from cluster import start_cluster
from trailhouse.store.migrate import migrate
from verified_log import VerifiedLog

EVENTS, BATCH, PARTITIONS, RUNS, NEW = 300_000, 50_000, 4, 3, 60_000


def main() -> None:
    """Print what each way to verify costs."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    with start_cluster() as cluster:
        config = cluster.clickhouse_config(f"trailhouse_{uuid.uuid4().hex[:8]}")
        migrate(config)
        log = VerifiedLog(config)
        _fill(log, events)
        _measure("verify", events, log.verify)
        _measure("verify --quick", events, lambda: log.verify(quick=True))
        since = {kept.log: kept for kept in log.verify().kept}
        _fill(log, NEW)
        _measure("verify --incremental", NEW, lambda: log.verify(since=since))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory at most {peak:.0f} MiB, the log's making included")


def _fill(log: VerifiedLog, events: int) -> None:
    records = (each.value for each in ready_records(events))
    number = 0
    while part := list(islice(records, BATCH)):
        log.append(part, partition=number % PARTITIONS, records_a_ms=100)
        number += 1


def _measure(what: str, events: int, run: Callable[[], object]) -> None:
    costs, waits = [], []
    for _ in range(RUNS):
        began, at = time.process_time(), time.monotonic()
        run()
        costs.append(time.process_time() - began)
        waits.append(time.monotonic() - at)
    cost = statistics.median(costs) / events
    print(
        f"{what}: {cost * 1e6:.2f} µs CPU an event, {1 / cost:,.0f} events/s of one core;"
        f" {statistics.median(waits):.1f} s for {events:,}"
    )


if __name__ == "__main__":
    main()
