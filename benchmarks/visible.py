"""How long after `log` events are visible: asks a table or a view for what is new, and notes when it was shown."""

import statistics
import time
from collections.abc import Iterable

from benchmarks.worker import Pipe, wait_until
from trailhouse.store import ClickHouse

ASK_EVERY_SECONDS = 0.02
VIEW = "events"
END_SECONDS = 120.0


class Shown:
    """Which of the numbered events have been shown, and after how long. Pure."""

    def __init__(self, early: Iterable[int] = ()) -> None:
        self._early = set(early)
        self.delays_ms: dict[int, float] = {}
        """How old each event was when it was first shown, by its number; early ones have no age."""
        self.looks_ms: list[float] = []
        """How long each look took: what is shown may be older by as much."""
        self.all_below = 0
        """Every event below this number was shown: nobody need ask for them again."""
        self._advance()

    def __len__(self) -> int:
        """How many have been shown, early ones included."""
        return len(self._early) + len(self.delays_ms)

    def add(self, rows: Iterable[tuple[int, int]], now_us: float) -> None:
        """Note that *rows*, number and time in µs of each event, were shown at *now_us*."""
        for number, occurred_us in rows:
            if number not in self._early:
                self.delays_ms.setdefault(number, (now_us - occurred_us) / 1e3)
        self._advance()

    def _advance(self) -> None:
        while self.all_below in self.delays_ms or self.all_below in self._early:
            self.all_below += 1


def watched(
    place: Pipe,
    events: int,
    *,
    table: str = VIEW,
    every_seconds: float = ASK_EVERY_SECONDS,
    within_seconds: float = END_SECONDS,
) -> Shown:
    """Look again and again, and return what was shown when.

    What the first look shows had been there before it, and has no age.

    Args:
        place: Where to look.
        events: Returns when *table* has shown so many, those of the first look included.
        table: A table or view with `seq` and `occurred_us`.
        every_seconds: The pause between two looks.
        within_seconds: How long all may take.
    """
    new = f"SELECT seq, occurred_us FROM {table} WHERE seq >= {{below:UInt64}}"
    with ClickHouse(place.clickhouse) as store:
        shown = Shown(int(str(seq)) for (seq,) in store.query(f"SELECT seq FROM {table}").rows)

        def look() -> bool:
            began = time.perf_counter()
            rows = store.query(new, {"below": shown.all_below}).rows
            shown.looks_ms.append((time.perf_counter() - began) * 1e3)
            shown.add(rows, time.time_ns() / 1e3)
            return len(shown) >= events

        wait_until(look, f"{events} events in {table}", within_seconds, every_seconds)
    return shown


def quantiles_ms(delays: Iterable[float]) -> dict[str, float]:
    """Return median, 99th percentile and the most of *delays*, at least one."""
    ordered = sorted(delays)
    return {
        "p50_ms": statistics.median(ordered),
        "p99_ms": ordered[len(ordered) * 99 // 100],
        "most_ms": ordered[-1],
    }
