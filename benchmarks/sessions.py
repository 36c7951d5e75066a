"""Session read: the audit log of one session out of millions of events, against the same by hand.

By hand is the statement that one would write, through clickhouse-connect, decoded into the same events.
"""

import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import clickhouse_connect

from benchmarks.loading import PARTITIONS, SESSION_SIZES, load, multiply
from benchmarks.plan import Plan
from benchmarks.topics import fill
from benchmarks.worker import Pipe, new_place, wait_until, worker
from trailhouse.devstack import DevStack
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent, decode
from trailhouse.store import ClickHouse

BY_HAND = "SELECT record FROM events WHERE session_id = %(session)s ORDER BY kafka_partition, kafka_offset"
FIRST = 1_000_000
ROUNDS_A_LOOK = 10
"""So often one looks whether the worker still drains, and reads a session of the largest size."""
Read = Callable[[str], list[AuditEvent]]


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Load, then read sessions of each size by both, one after the other; then again under a full drain."""
    place = new_place(stack, partitions=PARTITIONS)
    events = load(place, FIRST, say)
    cases: list[dict[str, Any]] = [
        {"events": events, "draining": False, "times": _both(place, plan, say)}
    ]
    if plan.is_full:
        multiply(place, 9, say, mark="x", distance=10 * FIRST)
        cases.append({"events": events * 10, "draining": False, "times": _both(place, plan, say)})
    waiting = plan.pick(500_000, 4_000_000)
    fill(place.kafka, waiting)
    with worker(stack, place) as one:
        wait_until(lambda: one.series("records_stored_total") > 0, "a worker that drains")
        times = _both(
            place, plan, say, goes_on=lambda: one.series("records_stored_total") < waiting
        )
    total = events * plan.pick(1, 10)
    cases.append({"events": total, "draining": True, "times": times})
    if plan.is_full:
        multiply(place, 9, say, mark="y", distance=100 * FIRST)
        cases.append({"events": total * 10, "draining": False, "times": _both(place, plan, say)})
    with ClickHouse(place.clickhouse) as store:
        [[parts]] = store.query(
            "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'event_log' AND active"
        ).rows
    return {"cases": cases, "parts": parts}


def _both(
    place: Pipe, plan: Plan, say: Callable[[str], None], goes_on: Callable[[], bool] = lambda: True
) -> dict[str, dict[str, list[float]]]:
    """Return the times in ms, by size and by who asked; sessions differ from question to question.

    Sizes and readers take turns. What was timed since *goes_on* was last true does not count, and ends it.
    """
    config = place.clickhouse
    client = clickhouse_connect.get_client(
        dsn=config.url, username=config.user, password=config.password, database=config.database
    )

    def by_hand(session: str) -> list[AuditEvent]:
        answer = client.query(BY_HAND, {"session": session}, column_formats={"record": "bytes"})
        return [decode(record) for (record,) in answer.result_rows]

    gc.collect()
    gc.freeze()  # what is there already is nobody's, and need not be looked through each time
    with AuditReader(config=config) as reader:
        readers: dict[str, Read] = {"trailhouse": reader.get_audit_log, "by hand": by_hand}
        found = {size: {name: list[float]() for name in readers} for size in SESSION_SIZES}
        since_look: list[tuple[int, str, float]] = []
        for number in range(plan.pick(100, 400)):
            is_last = number % ROUNDS_A_LOOK == ROUNDS_A_LOOK - 1
            for size in SESSION_SIZES if is_last else SESSION_SIZES[:-1]:
                index = number // ROUNDS_A_LOOK if size == SESSION_SIZES[-1] else number
                session = f"s{size}-{index * 7 % (50 if size == SESSION_SIZES[-1] else 1_900)}"
                since_look += [
                    (size, name, _milliseconds(readers[name], session, size))
                    for name in list(readers)[:: 1 if index % 2 else -1]
                ]
            if is_last:
                if not goes_on():
                    break
                for size, name, milliseconds in since_look:
                    found[size][name].append(milliseconds)
                since_look.clear()
    client.close()
    for size, times in found.items():
        if not (ours := sorted(times["trailhouse"])):
            raise SystemExit("benchmarks: the worker had drained before the first reads were done")
        say(f"session of {size}: p50 {ours[len(ours) // 2]:.1f} ms of {len(ours)} reads")
    return {str(size): times for size, times in found.items()}


def _milliseconds(read: Read, session: str, size: int) -> float:
    gc.collect()  # nobody pays for what another has left
    began = time.perf_counter()
    events = read(session)
    milliseconds = (time.perf_counter() - began) * 1e3
    if len(events) != size:
        raise SystemExit(f"benchmarks: expected {size} events of {session}, got {len(events)}")
    return milliseconds


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    lines = [
        "| in the table | session of | reads | trailhouse p50, p99 ms | by hand p50, p99 ms | median of the ratios |",
        "|---|---|---|---|---|---|",
    ]
    for case in section["cases"]:
        where = f"{case['events']:,}" + (", while a worker drains" if case["draining"] else "")
        for size, times in case["times"].items():
            ours, hand = times["trailhouse"], times["by hand"]
            ratio = median(one / other for one, other in zip(ours, hand, strict=True))
            both = f"{_quantiles(ours)} | {_quantiles(hand)}"
            lines.append(f"| {where} | {size} | {len(ours)} | {both} | {ratio:.2f} |")
    return "\n".join(lines)


def _quantiles(times: list[float]) -> str:
    ordered = sorted(times)
    return f"{ordered[len(ordered) // 2]:.1f}, {ordered[len(ordered) * 99 // 100]:.1f}"
