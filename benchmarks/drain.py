"""Worker drain: how fast a full topic gets into ClickHouse, ours beside what a user would write instead.

Every contestant reads the same topic in a group of its own into a database of its own, whose table has
the same columns and codecs. The time counts from its first record to the last one acknowledged.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.environments import python_of
from benchmarks.machine import cpu_seconds, peak_resident_mb
from benchmarks.plan import Plan
from benchmarks.rounds import Rounds, interleaved
from benchmarks.topics import fill
from benchmarks.worker import DEADLINE_SECONDS, Pipe, Stack, Worker, new_place, wait_until, worker
from trailhouse.devstack import DevStack
from trailhouse.store import ClickHouse

PEERS = Path(__file__).parent / "peers"
OURS, CEILING = "trailhouse", "ceiling"
FINISH_LOOK_SECONDS = 0.1
"""Each look costs the worker a millisecond, and counts against it, as does half of this on average."""


class Peer(NamedTuple):
    """A contestant: its script, its environment (None is ours), and its share of the events."""

    script: str
    environment: str | None
    share: float = 1.0

    def command(self, place: Pipe, events: int) -> list[str]:
        """Return what drains *place* and ends after *events*."""
        python = sys.executable if self.environment is None else str(python_of(self.environment))
        kafka, clickhouse = place
        return [
            python, str(PEERS / self.script), "--bootstrap", kafka.bootstrap_servers, "--topic", kafka.topic,
            "--group", place.group_id, "--url", clickhouse.url, "--user", clickhouse.user,
            "--password", clickhouse.password, "--database", clickhouse.database, "--events", str(events),
        ]  # fmt: skip


CONTESTANTS: dict[str, Peer | None] = {
    OURS: None,
    CEILING: Peer("ceiling.py", None),
    "aiokafka by hand": Peer("aiokafka_by_hand.py", "aiokafka"),
    "Quix Streams": Peer("quix_sink.py", "quix", 0.5),
    "sentry-arroyo": Peer("arroyo_batches.py", "arroyo", 0.25),
    "Faust agent": Peer("faust_agent.py", "faust", 0.1),
}


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Run all contestants in interleaved rounds."""
    events = plan.pick(200_000, 1_000_000)
    for peer in CONTESTANTS.values():
        if peer is not None and peer.environment is not None:
            python_of(peer.environment)
    shares = {peer.share if peer else 1.0 for peer in CONTESTANTS.values()}
    topics = {share: new_place(stack) for share in shares}
    for share, place in topics.items():
        fill(place.kafka, int(events * share))
    rounds = Rounds()
    for number, name in interleaved(list(CONTESTANTS), plan.rounds):
        peer = CONTESTANTS[name]
        share = peer.share if peer else 1.0
        place = new_place(stack, topic=topics[share].kafka.topic)
        count = int(events * share)
        values = drained(stack, place, count) if peer is None else run_peer(peer, place, count)
        rounds.add(number, name, values)
        say(f"drain, round {number + 1}: {name} {values['events_per_second']:,.0f} events/s")
    return {
        "events": events,
        "shares": {n: p.share for n, p in CONTESTANTS.items() if p},
        "rounds": rounds.rounds,
    }


def drained(stack: Stack, place: Pipe, events: int, workers: int = 1) -> dict[str, float]:
    """Have *workers* of ours drain the topic; check that all is there, and return what it took."""
    if workers == 1:
        with worker(stack, place) as one:
            return _followed([one], place, events)
    with worker(stack, place) as one, worker(stack, place) as two:
        return _followed([one, two], place, events)


def _followed(workers: list[Worker], place: Pipe, events: int) -> dict[str, float]:
    def total(name: str) -> float:
        if any(each.process.poll() is not None for each in workers):
            raise SystemExit("benchmarks: a worker has ended")
        return sum(each.series(name) for each in workers)

    def cpu() -> float:
        return sum(cpu_seconds(each.process.pid) for each in workers)

    began_at, began_cpu = time.monotonic(), 0.0

    def has_begun() -> bool:
        nonlocal began_at, began_cpu
        began_at, began_cpu = time.monotonic(), cpu()
        return total("records_consumed_total") > 0

    wait_until(has_begun, "a worker that reads")
    wait_until(
        lambda: total("records_consumed_total") >= events,
        f"{events} events read",
        every_seconds=FINISH_LOOK_SECONDS,
    )
    with ClickHouse(
        place.clickhouse
    ) as store:  # a worker counts what it has committed, seconds after
        wait_until(
            lambda: store.query("SELECT count() FROM event_log").rows[0][0] >= events,
            f"{events} events stored",
            every_seconds=FINISH_LOOK_SECONDS,
        )
    seconds, used = time.monotonic() - began_at, cpu() - began_cpu
    peak = max(peak_resident_mb(each.process.pid) for each in workers)
    _check(place, "SELECT count(), uniqExact(event_id) FROM events", events)
    return {
        "events_per_second": events / seconds,
        "cpu_us_per_event": used / events * 1e6,
        "peak_mb": peak,
    }


def run_peer(peer: Peer, place: Pipe, events: int) -> dict[str, float]:
    table = "raw_events" if peer.script == "ceiling.py" else "peer_events"
    with ClickHouse(place.clickhouse) as store:
        store.command(
            _RAW_TABLE if table == "raw_events" else "CREATE TABLE peer_events AS event_log"
        )
    with tempfile.TemporaryDirectory() as folder:  # Quix Streams keeps its state where it runs
        done = subprocess.run(
            peer.command(place, events),
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
            cwd=folder,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
    if done.returncode or not lines:
        raise SystemExit(
            f"benchmarks: {peer.script} ended with {done.returncode}: {done.stderr[-2_000:]}"
        )
    tally = json.loads(lines[-1])
    what = "count(), count()" if table == "raw_events" else "count(), uniqExact(event_id)"
    _check(place, f"SELECT {what} FROM {table}", events)
    return {
        "events_per_second": events / tally["seconds"],
        "cpu_us_per_event": tally["cpu_seconds"] / events * 1e6,
        "peak_mb": tally["peak_mb"],
    }


_RAW_TABLE = """
    CREATE TABLE raw_events (record String CODEC(ZSTD(1))) ENGINE = MergeTree ORDER BY tuple()
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""


def _check(place: Pipe, sql: str, events: int) -> None:
    with ClickHouse(place.clickhouse) as store:
        [[rows, ids]] = store.query(sql).rows
    if rows < events or ids != events:
        raise SystemExit(
            f"benchmarks: expected {events} events, got {rows} rows and {ids} ids: {sql}"
        )


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    rounds = Rounds()
    rounds.rounds = section["rounds"]
    lines = [
        "| contestant | events/s, median (lowest to highest) | trailhouse is … × as fast | CPU µs an event | peak MB |",
        "|---|---|---|---|---|",
    ]
    for name in sorted(
        rounds.contestants, key=lambda name: -rounds.spread(name, "events_per_second").median
    ):
        rate, ratio = (
            rounds.spread(name, "events_per_second"),
            rounds.ratio(OURS, name, "events_per_second"),
        )
        cpu, peak = rounds.spread(name, "cpu_us_per_event"), rounds.spread(name, "peak_mb")
        lines.append(
            f"| {name} | {rate.median:,.0f} ({rate.low:,.0f} to {rate.high:,.0f}) "
            f"| {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) | {cpu.median:.1f} | {peak.high:.0f} |"
        )
    return "\n".join(lines)
