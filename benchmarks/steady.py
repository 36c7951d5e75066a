"""A steady rate: what engine, consumers and broker use while a group drains it, and how fresh the rows are.

Examples::

    python -m benchmarks.steady --rate 300 --workers 8
    python -m benchmarks.steady --rate 1000 --workers 12 --freshness 3 --derived 2 --seconds 60
    python -m benchmarks.steady --rate 1000 --freshness 0.3 --linger 0.005
    python -m benchmarks.steady --workers 12 --sessions 1    one hot partition, eleven empty
    python -m benchmarks.steady --workers 12 --async-insert off     the server gathers nothing

Engine, consumers and broker are measured while nobody reads; then a reader that asks again and again measures
freshness. What the engine uses while nobody drains is measured before, and shown apart: it is in the figures.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.engine_counts import engine_counts
from benchmarks.groups import Group, our_group
from benchmarks.machine import cpu_percents, described
from benchmarks.offered import SESSIONS, Stretch, events_of, offered
from benchmarks.visible import VIEW, quantiles_ms, watched
from benchmarks.worker import Pipe, new_place, wait_until
from trailhouse.devstack import DevStack
from trailhouse.store import ClickHouse
from trailhouse.store.config import ASYNC_INSERTS

IDLE_SECONDS = 5.0


class Case(NamedTuple):
    """A group under a steady rate, and for how long its rows may wait: a worker's freshness, a peer's batch age."""

    rate: float
    consumers: int
    wait_seconds: float
    partitions: int = 12
    derived_tables: int = 0
    sessions: int = SESSIONS
    linger_seconds: float | None = None
    async_insert: str = "auto"


class Times(NamedTuple):
    """For how long the CPU, and then freshness, is measured."""

    cpu_seconds: float
    freshness_seconds: float


def measured(
    stack: DevStack, case: Case, times: Times, group: Group, table: str = VIEW
) -> dict[str, float]:
    """Return what *group* and engine used under *case* and how fresh *table* was; every event is counted."""
    place = new_place(stack, partitions=case.partitions)
    place = place._replace(
        clickhouse=msgspec.structs.replace(place.clickhouse, async_insert=case.async_insert)
    )
    derive(place, case.derived_tables)
    warm_seconds = 2.0 + 2 * case.wait_seconds
    stretch = Stretch(case.rate, warm_seconds + times.cpu_seconds + times.freshness_seconds)
    events = events_of([stretch])
    with group(stack, place) as pids, ClickHouse(place.clickhouse) as store:
        with offered(
            stack, place, [stretch], sessions=case.sessions, linger_seconds=case.linger_seconds
        ):
            wait_until(lambda: rows_of(store, table) > 0, "a first event", every_seconds=0.2)
            time.sleep(warm_seconds)
            stored, began = rows_of(store, _kept(table)), time.monotonic()
            used = window(stack, store, pids, times.cpu_seconds)
            stored, took = rows_of(store, _kept(table)) - stored, time.monotonic() - began
            shown = watched(place, events, table=table)
        check_counted(store, table, events)
    used["engine_us_per_event"] = used["engine_percent"] / case.rate * 1e4
    used["rows a second"] = stored / took  # less than the rate: the group does not keep up
    used["look_ms"] = median(shown.looks_ms)
    return used | quantiles_ms(shown.delays_ms.values())


def window(
    stack: DevStack, store: ClickHouse, pids: Sequence[int], seconds: float
) -> dict[str, float]:
    """Return what each process used over *seconds*, in % of a core, and what the engine counted."""
    parts = [part_pid(stack, name) for name in ("clickhouse", "kafka")]
    counts = engine_counts(store)
    (engine, broker, *shares), took = cpu_percents([*parts, *pids], seconds)
    found = {"engine_percent": engine, "broker_percent": broker}
    if shares:
        found |= {
            "consumers_percent": sum(shares),
            "consumer_percent_least": min(shares),
            "consumer_percent_most": max(shares),
        }
    return found | engine_counts(store).a_second(counts, took)


def part_pid(stack: DevStack, name: str) -> int:
    """Return the process of the part *name* of *stack*."""
    [pid] = [part.pid for part in stack.status() if part.name == name and part.pid is not None]
    return pid


_DERIVED_ORDERS = ("type, hour", "session_id, occurred_us")


def derive(place: Pipe, count: int) -> None:
    """Hang *count* further tables on the inserts into `event_log`, as views that a user might keep."""
    with ClickHouse(place.clickhouse) as store:
        for number in range(count):
            order = _DERIVED_ORDERS[number % len(_DERIVED_ORDERS)]
            store.command(
                f"CREATE TABLE derived_{number} (hour DateTime, type LowCardinality(String), agent_id String,"
                " session_id String, occurred_us Int64, total_tokens Nullable(UInt64),"
                f" cost_usd Nullable(Decimal(38, 18))) ENGINE = MergeTree ORDER BY ({order})"
            )
            store.command(
                f"CREATE MATERIALIZED VIEW derived_{number}_view TO derived_{number} AS"
                " SELECT toStartOfHour(appended_at) AS hour, type, agent_id, session_id, occurred_us,"
                " total_tokens, cost_usd FROM event_log"
            )


def _kept(table: str) -> str:
    return "event_log" if table == VIEW else table  # to count the view's takes copies out


def rows_of(store: ClickHouse, table: str) -> int:
    """Return how many rows *table* has."""
    [[count]] = store.query(f"SELECT count() FROM {table}").rows
    return int(str(count))


def check_counted(store: ClickHouse, table: str, events: int) -> None:
    """End the benchmark unless *table* has each of *events*, and a view each of them once."""
    [[count, ids]] = store.query(f"SELECT count(), uniqExact(event_id) FROM {table}").rows
    if ids != events or count < events or (table == VIEW and count != events):
        raise SystemExit(
            f"benchmarks: expected {events} events in {table}, got {count} rows, {ids} ids"
        )


def _given() -> tuple[Case, float]:
    """Return the case that is asked for, and for how long each half is measured."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.steady",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--rate", type=float, default=300, help="events a second (default 300)")
    options.add_argument("--workers", type=int, default=1, help="of one group (default 1)")
    options.add_argument("--freshness", type=float, default=1.0, help="seconds (default 1)")
    options.add_argument("--partitions", type=int, default=12, help="of the topic (default 12)")
    options.add_argument("--derived", type=int, default=0, help="further tables (default 0)")
    options.add_argument("--sessions", type=int, default=SESSIONS, help="1: one hot partition")
    options.add_argument("--linger", type=float, help="seconds of the logger (its default)")
    options.add_argument(
        "--async-insert", choices=ASYNC_INSERTS, default="auto", help="(default auto)"
    )
    options.add_argument("--seconds", type=float, default=15.0, help="of each half (default 15)")
    given = options.parse_args()
    case = Case(
        given.rate,
        given.workers,
        given.freshness,
        given.partitions,
        given.derived,
        given.sessions,
        given.linger,
        given.async_insert,
    )
    return case, given.seconds


def main() -> None:
    """Measure one case and print it."""
    case, seconds = _given()
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-steady-") as folder,
        DevStack(Path(folder), parts=("kafka", "clickhouse")) as stack,
    ):
        print("; ".join(f"{name}: {value}" for name, value in described().items()), flush=True)
        with ClickHouse(new_place(stack).clickhouse) as store:
            idle = window(stack, store, (), IDLE_SECONDS)
        for name in ("engine_percent", "broker_percent"):
            print(f"{idle[name]:10.2f}  {name} without workers (is in what follows)")
        sys.stdout.flush()
        times = Times(seconds, seconds)
        found = measured(stack, case, times, our_group(case.consumers, case.wait_seconds))
        for name, value in found.items():
            print(f"{value:10.2f}  {name}")


if __name__ == "__main__":
    main()
