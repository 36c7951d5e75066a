"""A fleet's log for questions about runs and cost: the recorded runs with prices, and crafted ones that are odd.

And what the answers must be, worked out from the events themselves, apart from any SQL.
"""

import datetime as dt
import decimal
import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from trailhouse.schemas import Actor, AuditEvent

RECORDED = Path(__file__).parents[1] / "data" / "airline_runs.jsonl"
BEGAN = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
ENDINGS = ("run_completed", "run_failed", "run_cancelled", "run_timeout", "run_abandoned")
INCREMENTS = ("token_usage_updated", "model_call_completed", "model_call_failed")
AMOUNTS = ("input_tokens", "output_tokens", "total_tokens", "cost_usd")
RunKey = tuple[str, str, str]


@cache
def fleet() -> tuple[AuditEvent, ...]:
    """Return all of the events; the same ones within a process."""
    return (*_recorded(), *_odd_runs(), *_odd_books(), *_odd_times_and_names())


def _recorded() -> Iterable[AuditEvent]:
    chance = random.Random(7)  # noqa: S311 - nothing secret
    places: dict[str, int] = {}
    for line in RECORDED.read_text().splitlines():
        fields = json.loads(line)
        run = fields["run_id"]
        session_number = int(fields["session_id"].rpartition("-")[2])
        place = places[run] = places.get(run, -1) + 1
        if fields["type"] in {"token_usage_updated", "run_completed"} and chance.random() < 0.8:
            fields["data"] |= _usage(chance)
            fields["provider"] = chance.choice(["openai", "azure"])
        trial = int(run.rpartition("-")[2])
        yield AuditEvent(
            **(
                fields
                | {
                    "agent_id": f"agent-{session_number % 7}",
                    "tenant_id": f"tenant-{session_number % 3}",
                    "actor": Actor(type="user", id=f"user-{session_number % 5}"),
                    "occurred_at": BEGAN
                    + dt.timedelta(hours=5 * session_number, minutes=11 * trial, seconds=3 * place)
                    + dt.timedelta(microseconds=chance.randrange(1_000_000)),
                }
            )
        )


def _usage(chance: random.Random) -> dict[str, Any]:
    tokens_in, tokens_out = chance.randint(800, 9_000), chance.randint(50, 900)
    usage: dict[str, Any] = {
        "model": chance.choice(["gpt-4o", "gpt-4o-mini"]),
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }
    if chance.random() < 0.8:
        usage["cost_usd"] = f"0.{chance.randrange(10**18):018d}"
    return usage


def one(type: str, seconds: float = 0, /, **fields: Any) -> AuditEvent:
    """Return a crafted event, so many seconds after their first."""
    at = dt.datetime(2026, 2, 1, 12, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    known: dict[str, Any] = {
        "session_id": "odd",
        "tenant_id": "tenant-odd",
        "agent_id": "odd-agent",
    }
    known["occurred_at"] = at
    return AuditEvent(type=type, **(known | fields))


def _odd_runs() -> Iterable[AuditEvent]:
    # No start and no end; no start; an end that was taken back, and two at one moment.
    yield one("message_sent", 1, run_id="neither")
    yield one("run_failed", 2, run_id="no-start", data={"error_code": "E1"})
    yield one("run_started", 3, run_id="two-ends")
    yield one("run_completed", 4, run_id="two-ends", data={"cost_usd": 1})
    yield one("run_timeout", 5, run_id="two-ends", data={"error_code": "late"})
    for ending in ENDINGS[2:]:
        yield one(ending, 6, run_id=ending)
    yield one("run_cancelled", 6, run_id="tie", data={"a": 1})
    yield one("run_abandoned", 6, run_id="tie", data={"a": 2})
    # One id in two tenants and two sessions, and in none of either.
    for tenant, session in (("t-1", "s-1"), ("t-2", "s-1"), ("t-1", "s-2"), (None, "s-1")):
        yield one("run_started", 10, run_id="same", tenant_id=tenant, session_id=session)
        yield one("run_completed", 11, run_id="same", tenant_id=tenant, session_id=session)


def _odd_books() -> Iterable[AuditEvent]:
    # Books: equal, apart, one alone, without a price, larger than any column; and outside of both.
    for run, increments, totals in (
        ("equal", ["0.1", "0.2"], "0.3"),
        ("apart", ["0.1", "0.2"], "0.25"),
        ("increments-only", ["0.000000000000000001"], None),
        ("totals-only", [], "7"),
        ("huge", ["99999999999999999999.123456"] * 3, "-99999999999999999999"),
        ("unpriced", [None, "many"], None),
    ):
        yield one("run_started", 20, run_id=run)
        for place, cost in enumerate(increments):
            yield one("token_usage_updated", 21 + place, run_id=run, provider="p",
                      data={"cost_usd": cost, "input_tokens": 2**64 - 1, "n": place})  # fmt: skip
        usage = {} if totals is None else {"token_usage": {"cost_usd": totals, "output_tokens": 3}}
        yield one("run_completed", 25, run_id=run, parent_run_id="equal", data=usage)
    yield one("model_call_completed", 26, run_id="calls", data={"model": "m", "output_tokens": 5})
    yield one("model_call_failed", 27, run_id="calls", data={"cost_usd": 0.5, "error_code": 429})
    yield one("model_call_completed", 28, run_id="calls", data={"model": "says nothing"})
    yield one("custom.billing", 29, run_id="calls", data={"cost_usd": 1_000})
    yield one("token_usage_updated", 30, data={"cost_usd": "0.5"})  # of no run
    # One id with two contents: a conflict, and two events.
    first = one("token_usage_updated", 31, run_id="conflict", data={"cost_usd": 1})
    yield first
    yield one(
        "token_usage_updated", 31, run_id="conflict", data={"cost_usd": 2}, event_id=first.event_id
    )


def _odd_times_and_names() -> Iterable[AuditEvent]:
    # Clocks that lie, and the night on which an hour comes twice.
    for year in (1, 1899, 2500):
        yield one("token_usage_updated", run_id=f"year-{year}", data={"cost_usd": 1},
                  occurred_at=dt.datetime(year, 1, 1, 23, 30, tzinfo=dt.UTC))  # fmt: skip
    yield one("run_started", 40, run_id="ends-in-9999")
    yield one(
        "run_failed", run_id="ends-in-9999", occurred_at=dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
    )
    for minutes in range(0, 300, 30):
        yield one("token_usage_updated", session_id="night", run_id="autumn", data={"cost_usd": "0.01"},
                  occurred_at=dt.datetime(2025, 10, 25, 22, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes))  # fmt: skip
    # Names that mean something elsewhere.
    for name in ("it's", 'a"b\\', "%_", "new\nline\t\x00", "{x:String}", "日本 🜁", "'), ('", "\\'"):
        yield one("run_started", 50, session_id=name, run_id=name, tenant_id=name, agent_id=name)
        yield one(
            "error_occurred",
            51,
            session_id=name,
            run_id=name,
            tenant_id=name,
            data={"error_code": name},
        )
    yield one("session_created", 60, session_id="lifecycle")
    yield one("session_started", 61, session_id="lifecycle")
    yield one("session_paused", 62, session_id="lifecycle")


def run_key(event: AuditEvent) -> RunKey:
    """Return what tells the event's run from every other."""
    return event.session_id, event.tenant_id or "", event.run_id or ""


def runs_of(events: Iterable[AuditEvent]) -> dict[RunKey, list[AuditEvent]]:
    """Return the events of each run, in order of time; newest start first."""
    groups: dict[RunKey, list[AuditEvent]] = {}
    for event in sorted(events, key=last_order):
        if event.run_id:
            groups.setdefault(run_key(event), []).append(event)
    return dict(
        sorted(groups.items(), key=lambda item: (item[1][0].occurred_at, item[0]), reverse=True)
    )


def last_order(event: AuditEvent) -> tuple[dt.datetime, bytes]:
    """Return what says which of two events is the later one."""
    return event.occurred_at, hashlib.sha256(event.record).digest()[:16]


def status_of(run: Sequence[AuditEvent]) -> str:
    """Return the status of a run whose events are in order."""
    endings = [event.type for event in run if event.type in ENDINGS]
    return endings[-1].removeprefix("run_") if endings else "running"


def amount(event: AuditEvent, name: str) -> Any:
    """Return what an event says of tokens or cost, None if nothing that counts."""
    usage = event.data.get("token_usage")
    value = ({**usage, **event.data} if isinstance(usage, dict) else event.data).get(name)
    if name != "cost_usd":
        return value
    try:
        return None if value is None else Decimal(str(value))
    except ArithmeticError:
        return None


def book(events: Iterable[AuditEvent], types: Sequence[str]) -> dict[str, Any]:
    """Return the book of *types*: how many, how many without a price, and the sums; None where none says it."""
    mine = [
        event
        for event in events
        if event.type in types
        and (event.type in {"token_usage_updated", "run_completed"}
             or any(amount(event, name) is not None for name in AMOUNTS))
    ]  # fmt: skip
    found: dict[str, Any] = {
        "events": len(mine),
        "unpriced_events": sum(amount(event, "cost_usd") is None for event in mine),
    }
    for name in AMOUNTS:
        known = [value for event in mine if (value := amount(event, name)) is not None]
        found[name] = exact_sum(known) if known else None
    return found


def books(events: Sequence[AuditEvent]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both books of *events*."""
    return book(events, INCREMENTS), book(events, ("run_completed",))


def exact_sum(values: Sequence[Any]) -> Any:
    """Return the sum of *values*, not rounded."""
    with decimal.localcontext(decimal.Context(prec=200)):
        return sum(values[1:], values[0])
