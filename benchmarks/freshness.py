"""Freshness: how long after `log` an event is visible to readers, at several rates.

One process logs at a steady rate and notes when; another asks the view for what is new, every few
milliseconds, and counts an event as visible when the answer that holds it is there. One worker drains.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.plan import Plan
from benchmarks.rounds import Rounds
from benchmarks.worker import Pipe, new_place, wait_until, worker
from trailhouse.devstack import DevStack
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouse

RATES = (100, 1_000, 10_000)
ASK_EVERY_SECONDS = 0.02
NEW = "SELECT seq, occurred_us FROM events WHERE appended_at >= fromUnixTimestamp64Milli(toInt64({since_ms:Int64}))"
WINDOW_MS = 3_000
"""How far back a look goes: longer than any event was seen to take."""


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure each rate in turn, in each round."""
    seconds, rounds = plan.pick(6.0, 30.0), Rounds()
    for number in range(plan.pick(1, plan.rounds)):
        for rate in RATES:
            values = _at(stack, rate, seconds)
            rounds.add(number, f"{rate} events/s", values)
            say(
                f"freshness at {rate}/s: p50 {values['p50_ms']:.0f} ms, p99 {values['p99_ms']:.0f} ms"
            )
    return {
        "offered_seconds": seconds,
        "ask_every_ms": ASK_EVERY_SECONDS * 1e3,
        "rounds": rounds.rounds,
    }


def _at(stack: DevStack, rate: int, seconds: float) -> dict[str, float]:
    place, events = new_place(stack), int(rate * seconds)
    with worker(stack, place) as one:
        wait_until(
            lambda: one.series("partitions") == place.kafka.partitions, "a worker with partitions"
        )
        arguments = json.dumps(
            {
                "servers": place.kafka.bootstrap_servers,
                "topic": place.kafka.topic,
                "rate": rate,
                "events": events,
            }
        )
        command = [sys.executable, "-m", "benchmarks.freshness", arguments]
        with subprocess.Popen(command) as producer:
            delays_ms = _watched(place, events)
            if producer.wait(60):
                raise SystemExit("benchmarks: the producer of the freshness benchmark has failed")
    delays_ms.sort()
    return {
        "p50_ms": statistics.median(delays_ms),
        "p99_ms": delays_ms[len(delays_ms) * 99 // 100],
        "most_ms": delays_ms[-1],
    }


def _watched(place: Pipe, events: int) -> list[float]:
    """Return how old each event was when the view first showed it, in ms."""
    seen: dict[int, float] = {}
    with ClickHouse(place.clickhouse) as store:

        def look() -> bool:
            rows = store.query(NEW, {"since_ms": int(time.time() * 1e3) - WINDOW_MS}).rows
            now_us = time.time_ns() / 1e3
            for seq, occurred_us in rows:
                seen.setdefault(seq, (now_us - occurred_us) / 1e3)
            return len(seen) > events

        wait_until(look, f"{events} events in the view", 120, ASK_EVERY_SECONDS)
    del seen[0]  # the one that connected
    return list(seen.values())


def produce(servers: str, topic: str, rate: int, events: int) -> None:
    """Log *events* at a steady *rate*; `occurred_at` says when."""
    kafka = KafkaConfig(bootstrap_servers=servers, topic=topic)
    with AuditLogger(ProducerConfig(kafka=kafka, service="bench")) as audit:
        audit.log("message_sent", session_id="first")
        audit.flush(30)  # it is connected
        due = time.perf_counter()
        for number in range(events):
            due += 1 / rate
            if (left := due - time.perf_counter()) > 0.001:
                time.sleep(left)
            audit.log(
                "message_sent",
                session_id=f"s{number % 200}",
                data={"content": "x" * 300, "n": number},
            )


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    rounds = Rounds()
    rounds.rounds = section["rounds"]
    lines = ["| offered | p50 ms | p99 ms | latest ms |", "|---|---|---|---|"]
    for name in rounds.contestants:
        p50, p99, most = (
            rounds.spread(name, quantity).median for quantity in ("p50_ms", "p99_ms", "most_ms")
        )
        lines.append(f"| {name} | {p50:.0f} | {p99:.0f} | {most:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    produce(**json.loads(sys.argv[1]))
