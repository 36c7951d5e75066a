"""What `verify` costs an event: ``python -m benchmarks.verifying [EVENTS [NEW]]``

Every duty, over a log that the worker's code has stored in a ClickHouse of its own: the recorded runs, of enrolled
producers that seal them. By CPU time of a process that does nothing else, and its memory; what ClickHouse uses is told
by itself. The incremental case is what a minute of 10,000 events a second adds.
"""

import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from benchmarks.machine import cpu_seconds
from benchmarks.sealed_log import Audited, SealedLog
from cluster import Cluster, start_cluster
from trailhouse.operate.verify.report import Report
from trailhouse.operate.verify.state import Kept
from trailhouse.store.migrate import migrate

EVENTS, NEW, RUNS = 300_000, 600_000, 3


class Cost(NamedTuple):
    """What one run took."""

    report: Report
    own_seconds: float
    wall_seconds: float
    peak_mib: float


class Way(NamedTuple):
    """A way to verify."""

    name: str
    quick: bool = False
    since: tuple[Kept, ...] = ()
    jobs: int = 1


def main() -> None:
    """Print what each way to verify costs."""
    given = [int(each) for each in sys.argv[1:]]
    events, new = given[0] if given else EVENTS, given[1] if given[1:] else NEW
    with start_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        config = cluster.clickhouse_config(f"trailhouse_{uuid.uuid4().hex[:8]}")
        migrate(config)
        log = SealedLog(config, Path(folder))
        stored = log.fill(events)
        whole = measured(cluster, log.audited, Way("verify"), stored)
        measured(cluster, log.audited, Way("verify --jobs 2", jobs=2), stored)
        measured(cluster, log.audited, Way("verify --quick", quick=True), stored)
        added = log.fill(new)
        kept = whole.report.kept
        measured(cluster, log.audited, Way("verify --incremental", since=kept), added)
        measured(
            cluster, log.audited, Way("verify --incremental --jobs 2", since=kept, jobs=2), added
        )


def measured(cluster: Cluster, log: Audited, way: Way, events: int) -> Cost:
    """Verify in this *way* some times, print what it takes, and return the median run."""
    costs: list[Cost] = []
    servers: list[float] = []
    for _ in range(RUNS):
        before = _server_seconds(cluster)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            costs.append(pool.apply(_cost, (log, way)))
        servers.append(_server_seconds(cluster) - before)
    cost = sorted(costs, key=lambda each: each.own_seconds)[RUNS // 2]
    own = cost.own_seconds / events
    print(
        f"{way.name}: {own * 1e6:.2f} µs CPU an event, {1 / own:,.0f} events/s of one core;"
        f" {statistics.median(each.wall_seconds for each in costs):.1f} s for {events:,}, of which ClickHouse computes"
        f" {statistics.median(servers):.1f} s; {max(each.peak_mib for each in costs):.0f} MiB"
    )
    duties = sorted(cost.report.duties, key=lambda each: -each.seconds)
    print("  " + ", ".join(f"{each.name} {each.seconds:.2f} s" for each in duties), flush=True)
    return cost


def _cost(log: Audited, way: Way) -> Cost:
    began, at = time.process_time(), time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = log.verify(quick=way.quick, since=way.since, jobs=way.jobs)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(
        report,
        time.process_time()
        - began
        + after.ru_utime
        + after.ru_stime
        - before.ru_utime
        - before.ru_stime,
        time.monotonic() - at,
        (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + way.jobs * after.ru_maxrss) / 1024
        if way.jobs > 1
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _server_seconds(cluster: Cluster) -> float:
    """Return the CPU time of ClickHouse until now; 0 where it runs in a container."""
    parts = cluster.stack.status() if cluster.stack else ()
    return sum(cpu_seconds(part.pid) for part in parts if part.name == "clickhouse" and part.pid)


if __name__ == "__main__":
    main()
