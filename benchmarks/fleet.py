"""Reads over a month of a fleet's events: a page, a count, a page of runs, usage and facets, as `AuditReader` answers.

Examples::

    python -m benchmarks.fleet                     10 million events, minutes
    python -m benchmarks.fleet --events 1000000 --questions 10
    python -m benchmarks.fleet --events 2500000 --text-index   words alone, without the index on text and with it

Each question is asked with other values each time, so that no answer is remembered. Pages far back are asked by the
cursor of the page before, and four readers ask at once, each in a thread of its own. Parts are as inserts leave
them; then a fifth of the sessions is stored again, and all is asked anew before that is merged: no sum may move.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from benchmarks.fleet_log import ACTORS, AGENTS, TENANTS, Fleet, load_fleet, store_again
from benchmarks.machine import described
from trailhouse.devstack import DevStack
from trailhouse.operate.text_index import apply_text_index
from trailhouse.query import AuditReader, FoundEvent, Page
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate
from trailhouse.store.text_index import text_index

AGAIN_SHARE = 5
AIMS_MS = {"search": 300, "count": 200, "runs": 400, "usage": 1_000, "facets": 600}
SUMS_AGAIN_MS = 2_000
DEEP_PAGES = (50, 500)
READERS = 4
_SEARCHES = (
    "",
    "agent:agent-{agent}",
    "agent:agent-{agent} type:tool_call_failed",
    "tenant:tenant-{tenant} type:run_failed",
    "actor:user-{actor}",
    "actor:user-{actor} type:run_failed",
    "tool:cancel_reservation agent:agent-{agent}",
    "session:airline-07-{turn}-1",
    "run:airline-07-trial-1-{turn}-1",
    "type:(run_failed OR run_completed) -agent:agent-{agent}",
    "cost:>0.02 tenant:tenant-{tenant}",
    "model:gpt-4o agent:agent-{agent}",
    "error:task_not_solved tenant:tenant-{tenant}",
    "type:run_failed tool:think",
)

_WORDS = (
    '"zzzabsent"',
    "nobodysword",
    '"mia_li_3668"',
    '"cancellation fee"',
    '"ellatio" type:message_sent',
    "refund",
)


def asked(fleet: Fleet, questions: int, first: int = 0) -> Iterator[str]:
    """Yield each search in turn, with other values each time."""
    for number in range(first, first + questions):
        for search in _SEARCHES:
            yield search.format(
                agent=number * 7 % AGENTS,
                tenant=number * 3 % TENANTS,
                actor=number * 13 % ACTORS,
                turn=number * 17 % fleet.inserts,
            )


def measured(
    reader: AuditReader, fleet: Fleet, questions: int, first: int = 0
) -> tuple[dict[str, list[float]], dict[str, object]]:
    """Return the times of each kind of question in ms, and what the sums were."""
    times: dict[str, list[float]] = {}
    sums: dict[str, object] = {}

    def clock(kind: str, ask: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        answer = ask()
        times.setdefault(kind, []).append((time.perf_counter() - began) * 1e3)
        return answer

    for search in asked(fleet, questions, first):
        page = clock("search", partial(reader.search, search, limit=100))
        if not page.complete:
            raise SystemExit(f"benchmarks: the page of {search!r} is not complete")
        clock(f"  {_kind(search)}", partial(reader.search, search, limit=100))
        sums[f"count {search}"] = clock("count", partial(reader.count, search)).value
        times.setdefault(f"  count of {_kind(search)}", []).append(times["count"][-1])
    for number in range(first, first + questions):
        clock("runs", partial(reader.runs, f"agent:agent-{number * 7 % AGENTS}"))
        clock("runs", reader.runs)
        sums["usage"] = clock("usage", lambda: reader.usage(by=("agent", "day"))).value
        clock("facets", partial(reader.facets, fields=("type", "agent", "tool", "tenant")))
    return times, sums


def walked(reader: AuditReader, walks: int) -> dict[str, list[float]]:
    """Return the times in ms of the last ten pages up to one far back, walked to by cursor."""
    times: dict[str, list[float]] = {}
    for number in range(walks):
        agent = f"agent:agent-{number * 7 % AGENTS}"
        for kind, ask in (
            ("search", partial(reader.search, limit=100)),
            ("search agent:…", partial(reader.search, agent, limit=100)),
            ("runs", reader.runs),
        ):
            for place, ms in _pages_of(ask, DEEP_PAGES[-1]):
                for last in DEEP_PAGES:
                    if last - 10 < place <= last:
                        times.setdefault(f"  {kind}, pages to {last}", []).append(ms)
    return times


def _pages_of(ask: Callable[..., Page[Any]], last: int) -> Iterator[tuple[int, float]]:
    """Yield the number of each page up to *last*, and what it took in ms."""
    cursor = None
    for place in range(1, last + 1):
        began = time.perf_counter()
        page = ask(cursor=cursor)
        yield place, (time.perf_counter() - began) * 1e3
        cursor = page.next
        if cursor is None:
            return


def side_by_side(config: ClickHouseConfig, fleet: Fleet, questions: int) -> dict[str, list[float]]:
    """Return the times in ms of questions that several readers ask at once, each in a thread of its own."""

    def asks(number: int) -> dict[str, list[float]]:
        with AuditReader(config=config) as reader:
            return measured(reader, fleet, questions, first=number * questions)[0]

    times: dict[str, list[float]] = {}
    with ThreadPoolExecutor(READERS) as pool:
        for found in pool.map(asks, range(READERS)):
            for kind, taken in found.items():
                if kind in AIMS_MS:
                    times.setdefault(f"  {kind}, {READERS} readers at once", []).extend(taken)
    return times


def _kind(search: str) -> str:
    return " ".join(part.split(":")[0] + ":…" for part in search.split()) or "(everything)"


def main() -> None:
    """Load, ask, store a fifth again, ask again; print a table."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--events", type=int, default=10_000_000)
    options.add_argument("--questions", type=int, default=20, help="times each is asked")
    options.add_argument("--text-index", action="store_true", help="look for words instead")
    given = options.parse_args()
    print(described())
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-fleet-") as folder,
        DevStack(Path(folder), parts=("clickhouse",)) as stack,
    ):
        environment = stack.environment()
        config = ClickHouseConfig(
            url=environment["TRAILHOUSE_CLICKHOUSE_URL"],
            user=environment["TRAILHOUSE_CLICKHOUSE_USER"],
            password=environment["TRAILHOUSE_CLICKHOUSE_PASSWORD"],
        )
        migrate(config)
        patient = msgspec.structs.replace(config, timeout_seconds=600.0)
        with ClickHouse(patient) as store, AuditReader(config=config) as reader:
            fleet = load_fleet(store, given.events, _say)
            print(f"{fleet.events:,} events; parts: {_parts(store)}")
            if given.text_index:
                _compare_words(reader, config, fleet.events)
                return
            times, sums = measured(reader, fleet, given.questions)
            times |= walked(reader, max(1, given.questions // 20))
            _print(times | side_by_side(config, fleet, max(1, given.questions // READERS)))
            store_again(store, AGAIN_SHARE)
            print(f"a fifth stored again; parts: {_parts(store)}")
            times, sums_again = measured(reader, fleet, given.questions)
            _print(times)
            if moved := [name for name, value in sums.items() if sums_again[name] != value]:
                raise SystemExit(f"benchmarks: storing events again has moved {moved}")


def _compare_words(reader: AuditReader, config: ClickHouseConfig, events: int) -> None:
    """Print what words take without the index on text, what it costs, and what they take with it."""
    before = {text: _page(reader, text) for text in _WORDS}
    began = time.perf_counter()
    apply_text_index(config, is_wanted=True)
    filled_seconds = time.perf_counter() - began
    with ClickHouse(config) as store:
        made = text_index(store)
    size_bytes = made.size_bytes if made else 0
    print(f"the index: {size_bytes / events:.1f} bytes an event, filled in {filled_seconds:.0f} s")
    print("| words | without: ms, whole | with: ms, whole |\n|---|---|---|")
    for text, (ms, page) in before.items():
        ms_with, page_with = _page(reader, text)
        if page.complete and page.items != page_with.items:
            raise SystemExit(f"benchmarks: the index has moved the page of {text!r}")
        print(f"| {text} | {ms:.0f}, {page.complete} | {ms_with:.0f}, {page_with.complete} |")


def _page(reader: AuditReader, text: str) -> tuple[float, Page[FoundEvent]]:
    began = time.perf_counter()
    page = reader.search(text, limit=50)
    return (time.perf_counter() - began) * 1e3, page


def _parts(store: ClickHouse) -> str:
    found = store.query(
        "SELECT table, count(), round(sum(bytes_on_disk) / max(total), 1) FROM system.parts,"
        " (SELECT count() AS total FROM events_by_time) AS of"
        " WHERE database = currentDatabase() AND active AND startsWith(table, 'event_') GROUP BY table ORDER BY table"
    ).rows
    return ", ".join(f"{table} {count} ({size} bytes an event)" for table, count, size in found)


def _print(times: dict[str, list[float]]) -> None:
    print("| question | asked | p50 ms | p95 ms | most ms | aim, p95 |\n|---|---|---|---|---|---|")
    for kind, taken in times.items():
        ordered = sorted(taken)
        p95 = ordered[len(ordered) * 95 // 100]
        print(
            f"| {kind} | {len(taken)} | {median(taken):.0f} | {p95:.0f} | {ordered[-1]:.0f} | {AIMS_MS.get(kind, '')} |"
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
