"""Quiet hours: what a steady trickle costs the engine, by how many consumers share it, ours beside peers.

Each contestant runs on the same broker and engine, one after the other, into a database of its own. Peers close
their batches as their own documentation has it, and in the full plan once more at the age that is ours by default.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from benchmarks.drain import OURS, Peer
from benchmarks.environments import python_of
from benchmarks.groups import PEER_TABLE, our_group, peer_group
from benchmarks.plan import Plan
from benchmarks.rounds import Rounds, interleaved
from benchmarks.steady import Case, Times, measured, window
from benchmarks.visible import VIEW
from benchmarks.worker import new_place
from trailhouse.devstack import DevStack
from trailhouse.store import ClickHouse

RATE = 300.0
ONE, EIGHT = Case(RATE, 1, 1.0), Case(RATE, 8, 1.0)
ONE_SLOW, EIGHT_SLOW = Case(RATE, 1, 3.0), Case(RATE, 8, 3.0)
TWELVE = Case(1_000.0, 12, 1.0, derived_tables=2)
TWELVE_SLOW = Case(1_000.0, 12, 3.0, derived_tables=2)
TWELVE_STRAIGHT, TWELVE_SLOW_STRAIGHT = (
    each._replace(async_insert="off") for each in (TWELVE, TWELVE_SLOW)
)
SHORT_CASES = (ONE, EIGHT, EIGHT_SLOW, TWELVE, TWELVE_STRAIGHT)
ALL_CASES = (
    *(ONE, EIGHT, ONE_SLOW, EIGHT_SLOW, TWELVE, TWELVE_SLOW),
    *(TWELVE_STRAIGHT, TWELVE_SLOW_STRAIGHT),
)


class QuietPeer(NamedTuple):
    """A peer, and the age at which its own documentation has a batch closed; 0: each answer of the broker is one."""

    peer: Peer
    documented_seconds: float


PEERS = {
    # "Consumer client": what one `getmany` returns is processed and committed.
    "aiokafka by hand": QuietPeer(Peer("aiokafka_quiet.py", "aiokafka"), 0.0),
    # "Configuring Quix Streams Applications": the default of `commit_interval`.
    "Quix Streams": QuietPeer(Peer("quix_sink.py", "quix"), 5.0),
    # `--max-batch-time-ms` of Snuba's consumers, which fill ClickHouse by arroyo, in Sentry's self-hosted stack.
    "sentry-arroyo": QuietPeer(Peer("arroyo_batches.py", "arroyo"), 0.75),
}


class Contestant(NamedTuple):
    """Who drains, and under what."""

    who: str
    case: Case

    def measured(self, stack: DevStack, times: Times) -> dict[str, float]:
        """Return what it used."""
        case = self.case
        if self.who == OURS:
            group = our_group(case.consumers, case.wait_seconds)
            return measured(stack, case, times, group, VIEW)
        group = peer_group(PEERS[self.who].peer, case.consumers, case.wait_seconds)
        return measured(stack, case, times, group, PEER_TABLE)


def name_of(case: Case, who: str = OURS) -> str:
    """Return the name under which a result stands."""
    consumers = f"{case.consumers} consumer{'s' if case.consumers > 1 else ''}"
    further = f", {case.derived_tables} further tables" if case.derived_tables else ""
    wait = f"{case.wait_seconds:g} s" if case.wait_seconds else "each answer"
    straight = "" if case.async_insert == "auto" else f", ASYNC_INSERT={case.async_insert}"
    return f"{who}: {case.rate:,.0f} events/s, {consumers}, {wait}{further}{straight}"


def contestants(*, is_full: bool) -> Iterator[Contestant]:
    """Yield who takes part in the short plan, or in the full one."""
    yield from (Contestant(OURS, case) for case in (ALL_CASES if is_full else SHORT_CASES))
    for who, peer in PEERS.items():
        yield Contestant(who, Case(RATE, 8, peer.documented_seconds))
        if is_full:
            yield Contestant(who, Case(RATE, 1, peer.documented_seconds))
            yield Contestant(who, EIGHT)


def measure(stack: DevStack, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Run all contestants in interleaved rounds."""
    times = plan.pick(Times(12.0, 5.0), Times(30.0, 15.0))
    by_name = {name_of(each.case, each.who): each for each in contestants(is_full=plan.is_full)}
    for who in {each.who for each in by_name.values()} - {OURS}:
        python_of(str(PEERS[who].peer.environment))
    with ClickHouse(new_place(stack).clickhouse) as store:
        idle = window(stack, store, (), times.freshness_seconds)
    rounds = Rounds()
    for number, name in interleaved(list(by_name), plan.pick(1, plan.rounds)):
        values = by_name[name].measured(stack, times)
        rounds.add(number, name, values)
        say(
            f"quiet, round {number + 1}: {name}: engine {values['engine_percent']:.1f} % of a core,"
            f" p99 {values['p99_ms']:.0f} ms"
        )
    return {"cpu_seconds": times.cpu_seconds, "idle": idle, "rounds": rounds.rounds}


QUANTITIES = (
    "engine_percent", "engine_us_per_event", "consumers_percent", "broker_percent", "rows a second",
    "inserts a second", "parts a second", "merges a second", "p50_ms", "p99_ms",
)  # fmt: skip


def table(section: dict[str, Any]) -> str:
    """Return the section as a Markdown table."""
    rounds, idle = Rounds(), section["idle"]
    rounds.rounds = section["rounds"]
    lines = [
        "| who, under what | engine: % of a core, µs an event | consumers, broker: % of a core"
        " | rows, inserts, parts, merges a second | visible after: p50, p99 ms |",
        "|---|---|---|---|---|",
    ]
    for name in rounds.contestants:
        engine, event, consumers, broker, rows, inserts, parts, merges, p50, p99 = (
            rounds.spread(name, quantity).median for quantity in QUANTITIES
        )
        lines.append(
            f"| {name} | {engine:.1f}, {event:,.0f} | {consumers:.1f}, {broker:.1f} "
            f"| {rows:,.0f}, {inserts:.1f}, {parts:.1f}, {merges:.1f} | {p50:,.0f}, {p99:,.0f} |"
        )
    lines.append(
        f"| nobody, nothing (is in the figures above) | {idle['engine_percent']:.1f} "
        f"| –, {idle['broker_percent']:.1f} | 0, {idle['inserts a second']:.1f} | |"
    )
    return "\n".join(lines)
