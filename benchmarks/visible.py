"""How long after `log` events are visible: asks a table or a view for what is new, and notes when it was shown."""

import statistics
import time

from benchmarks.worker import Pipe, wait_until
from trailhouse.store import ClickHouse

ASK_EVERY_SECONDS = 0.02
VIEW = "events"
END_SECONDS = 120.0


def delays_ms(
    place: Pipe, events: int, *, longest_seconds: float, table: str = VIEW
) -> list[float]:
    """Return how old, in ms, each event was when *table* first showed it.

    What the first look shows had been there before it, and is not among them.

    Args:
        place: Where to look.
        events: Returns when *table* has shown so many, those of the first look included.
        longest_seconds: How far back each look goes: longer than any event is on its way.
        table: A table or view with `seq`, `occurred_us` and `appended_at`.
    """
    all_of_them = f"SELECT seq FROM {table}"
    new = (
        f"SELECT seq, occurred_us FROM {table}"
        " WHERE appended_at >= fromUnixTimestamp64Milli(toInt64({since_ms:Int64}))"
    )
    delays: dict[int, float] = {}
    with ClickHouse(place.clickhouse) as store:
        early = {int(str(seq)) for (seq,) in store.query(all_of_them).rows}

        def look() -> bool:
            since_ms = int((time.time() - longest_seconds) * 1e3)
            rows = store.query(new, {"since_ms": since_ms}).rows
            now_us = time.time_ns() / 1e3
            for seq, occurred_us in rows:
                if seq not in early:
                    delays.setdefault(seq, (now_us - occurred_us) / 1e3)
            return len(early) + len(delays) >= events

        wait_until(look, f"{events} events in {table}", END_SECONDS, ASK_EVERY_SECONDS)
    return sorted(delays.values())


def quantiles_ms(ordered_ms: list[float]) -> dict[str, float]:
    """Return median, 99th percentile and the most of *ordered_ms*."""
    return {
        "p50_ms": statistics.median(ordered_ms),
        "p99_ms": ordered_ms[len(ordered_ms) * 99 // 100],
        "most_ms": ordered_ms[-1],
    }
