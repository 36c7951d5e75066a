"""Session read: the audit log of one session out of millions of events, against the same by hand.

By hand is the statement that one would write, through clickhouse-connect, decoded into the same events.
"""

import gc
import itertools
import time
from collections.abc import Callable
from typing import Any

import clickhouse_connect

from benchmarks.loading import PARTITIONS, SESSION_SIZES, load, multiply
from benchmarks.plan import Plan
from benchmarks.topics import fill
from benchmarks.worker import Place, new_place, wait_until, worker
from trailhouse.devstack import DevStack
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent, decode
from trailhouse.store import ClickHouse

BY_HAND = "SELECT record FROM events WHERE session_id = %(session)s ORDER BY kafka_partition, kafka_offset"
FIRST = 1_000_000
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
    fill(place.kafka, plan.pick(400_000, 2_000_000))
    with worker(stack, place) as one:
        wait_until(lambda: one.series("records_stored_total") > 0, "a worker that drains")
        times = _both(place, plan, say)
        is_draining = one.series("records_stored_total") < plan.pick(400_000, 2_000_000)
    total = events * plan.pick(1, 10)
    cases.append(
        {"events": total, "draining": True, "drained_throughout": is_draining, "times": times}
    )
    if plan.is_full:
        multiply(place, 9, say, mark="y", distance=100 * FIRST)
        cases.append({"events": total * 10, "draining": False, "times": _both(place, plan, say)})
    with ClickHouse(place.clickhouse) as store:
        [[parts]] = store.query(
            "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'event_log' AND active"
        ).rows
    return {"cases": cases, "parts": parts}


def _both(
    place: Place, plan: Plan, say: Callable[[str], None]
) -> dict[str, dict[str, list[float]]]:
    """Return the times in ms, by size and by who asked; sessions differ from question to question."""
    config = place.clickhouse
    client = clickhouse_connect.get_client(
        dsn=config.url, username=config.user, password=config.password, database=config.database
    )

    def by_hand(session: str) -> list[AuditEvent]:
        answer = client.query(BY_HAND, {"session": session}, column_formats={"record": "bytes"})
        return [decode(record) for (record,) in answer.result_rows]

    gc.collect()
    gc.freeze()  # what is there already is nobody's, and need not be looked through each time
    found: dict[str, dict[str, list[float]]] = {}
    with AuditReader(config=config) as reader:
        readers: dict[str, Read] = {"trailhouse": reader.get_audit_log, "by hand": by_hand}
        for size in SESSION_SIZES:
            times: dict[str, list[float]] = {name: [] for name in readers}
            repeats = plan.pick(100, 400) if size < SESSION_SIZES[-1] else plan.pick(10, 50)
            for number in range(repeats):
                session = (
                    f"s{size}-{number * 7 % 50}"
                    if size == SESSION_SIZES[-1]
                    else f"s{size}-{number * 7 % 1_900}"
                )
                turn = number % 2
                for name in itertools.islice(itertools.cycle(readers), turn, turn + len(readers)):
                    gc.collect()  # neither pays for what the other has left
                    began = time.perf_counter()
                    events = readers[name](session)
                    times[name].append((time.perf_counter() - began) * 1e3)
                    if len(events) != size:
                        raise SystemExit(
                            f"benchmarks: expected {size} events of {session}, got {len(events)} by {name}"
                        )
            found[str(size)] = times
            ours = sorted(times["trailhouse"])
            say(f"session of {size}: p50 {ours[len(ours) // 2]:.1f} ms")
    client.close()
    return found


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    lines = [
        "| in the table | session of | trailhouse p50, p99 ms | by hand p50, p99 ms | median of the ratios |",
        "|---|---|---|---|---|",
    ]
    for case in section["cases"]:
        where = f"{case['events']:,}" + (", while a worker drains" if case["draining"] else "")
        for size, times in case["times"].items():
            ours, hand = times["trailhouse"], times["by hand"]
            ratios = sorted(one / other for one, other in zip(ours, hand, strict=True))
            lines.append(
                f"| {where} | {size} | {_quantiles(ours)} | {_quantiles(hand)} | {ratios[len(ratios) // 2]:.2f} |"
            )
    return "\n".join(lines)


def _quantiles(times: list[float]) -> str:
    ordered = sorted(times)
    return f"{ordered[len(ordered) // 2]:.1f}, {ordered[len(ordered) * 99 // 100]:.1f}"
