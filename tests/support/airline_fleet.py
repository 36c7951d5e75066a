"""The recorded airline runs as a fleet's log: with times, tenants, people, prices and approvals, always the same.

An oracle works on `fleet()`; a database is filled by the worker's own code with `store_fleet`.
"""

import datetime as dt
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.blocks import event_block
from trailhouse.schemas import Actor, AuditEvent, event_of
from trailhouse.store import ClickHouse, ClickHouseConfig

RECORDED = Path(__file__).parents[1] / "data" / "airline_runs.jsonl"
START = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
TENANTS = ("acme", "globex", "")
GUARDED = frozenset({"cancel_reservation", "book_reservation", "update_reservation_flights"})
"""Tools that somebody must approve."""
_ORIGIN = Origin("cluster-1", "trailhouse.events", "topic-1")
STEP = dt.timedelta(seconds=7)
SECOND = dt.timedelta(seconds=1)


@cache
def fleet() -> tuple[AuditEvent, ...]:
    """Return every event, run after run: 50 sessions, an hour each, of three tenants."""
    return tuple(
        event for number, run in enumerate(_recorded_runs()) for event in _run(number, run)
    )


def by_run() -> dict[tuple[str, str, str], list[AuditEvent]]:
    """Return the fleet's events by run, in order of time."""
    found: dict[tuple[str, str, str], list[AuditEvent]] = defaultdict(list)
    for each in sorted(fleet(), key=lambda each: each.occurred_at):
        found[each.tenant_id or "", each.session_id, each.run_id or ""].append(each)
    return found


def calls_of(
    events: Sequence[AuditEvent], id_key: str, opening: str, prefix: str
) -> list[list[AuditEvent]]:
    """Return what belongs together of *events*, in order of time: an end stands with the last start before it."""
    found: dict[str, list[list[AuditEvent]]] = defaultdict(list)
    for each in events:
        of_id = found[each.data.get(id_key, "")]
        if each.type == opening or not of_id:
            of_id.append([])
        if each.type.startswith(prefix):
            of_id[-1].append(each)
    return [call for calls in found.values() for call in calls if call]


def store_fleet(config: ClickHouseConfig, events: Sequence[AuditEvent]) -> None:
    """Store *events* as a worker does, in three inserts, and every third of them a second time from other offsets."""
    with ClickHouse(config) as clickhouse:
        for first_offset, part in (
            (0, events[::2]),
            (50_000, events[1::2]),
            (100_000, events[::3]),
        ):
            store_records(clickhouse, [event.record for event in part], first_offset)


def store_records(clickhouse: ClickHouse, records: Sequence[bytes], first_offset: int = 0) -> None:
    """Insert *records*, each of them an event, in one block made by the worker's own code."""
    batch = Batch(Limits(1_000_000, 1 << 30), time.monotonic)
    batch.add([_Loaded(first_offset + place, record) for place, record in enumerate(records)])
    assert not batch.bad
    clickhouse.insert(event_block(_ORIGIN, batch.rows))


class _Loaded(NamedTuple):
    """A record at its place in the log, as a consumer would give it."""

    at: int
    record: bytes

    def partition(self) -> int:
        """Return its partition."""
        return 0

    def offset(self) -> int:
        """Return its offset."""
        return self.at

    def timestamp(self) -> tuple[int, int]:
        """Return when the broker took it."""
        return 2, 1_795_000_000_000 + self.at

    def key(self) -> bytes | None:
        """Return nothing: no row holds it."""
        return None

    def value(self) -> bytes | None:
        """Return its bytes."""
        return self.record

    def headers(self) -> object:
        """Return nothing: no row holds them."""
        return None


def _recorded_runs() -> Iterator[list[dict[str, Any]]]:
    lines = map(json.loads, RECORDED.read_text(encoding="utf-8").splitlines())
    for _, run in groupby(lines, key=lambda fields: fields["run_id"]):
        yield list(run)


def _run(number: int, recorded: list[dict[str, Any]]) -> Iterator[AuditEvent]:
    session = int(recorded[0]["session_id"].rpartition("-")[2])
    trial = int(recorded[0]["run_id"].rpartition("-")[2])
    began = START + dt.timedelta(hours=session, minutes=12 * trial)
    common = {
        "tenant_id": TENANTS[session % 3] or None,
        "actor": Actor(type="user", id=f"user-{session % 5}"),
        "parent_run_id": f"airline-{session:02}-trial-0" if trial == 3 else None,
        "provider": "openai",
    }
    fields = [
        (began + place * STEP, event | {"data": _priced(number, event)})
        for place, event in enumerate(_ended(number, recorded))
    ]
    fields += _approvals(number, fields)
    for place, (at, event) in enumerate(sorted(fields, key=lambda pair: pair[0])):
        event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{event['run_id']}/{place}"))
        yield event_of(event | common | {"event_id": event_id, "occurred_at": at})


def _ended(number: int, recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    *before, last = recorded
    if number % 25 == 24:
        return before
    if number % 40 == 13:
        return [*before, last | {"type": "run_timeout", "data": {"error_code": "timeout"}}]
    if number % 50 == 7:
        return [*recorded, last | {"type": "run_abandoned", "data": {"reason": "no heartbeat"}}]
    return recorded


def _priced(number: int, event: dict[str, Any]) -> dict[str, Any]:
    if event["type"] not in {"token_usage_updated", "run_completed"}:
        return dict(event["data"])
    tokens = {"input_tokens": 1000 + 37 * number, "output_tokens": 50 + 3 * number}
    cost = Decimal(tokens["input_tokens"]) * Decimal("0.0000025") + Decimal(number) / 1000
    if event["type"] == "run_completed" and number % 7 == 0:
        cost += Decimal("0.01")
    model = "gpt-4o-mini" if number % 4 == 3 else "gpt-4o"
    priced = {} if number % 10 == 9 else {"cost_usd": cost}
    usage = {"token_usage": tokens} if event["type"] == "run_completed" else tokens
    return {**event["data"], "model": model, **usage, **priced}


def _approvals(
    number: int, fields: Sequence[tuple[dt.datetime, dict[str, Any]]]
) -> list[tuple[dt.datetime, dict[str, Any]]]:
    """Return what was asked before guarded calls: granted in time, denied, left open or granted too late, in turn."""
    found: list[tuple[dt.datetime, dict[str, Any]]] = []
    guarded = [
        (at, event)
        for at, event in fields
        if event["type"] == "tool_call_started" and event["data"]["tool_name"] in GUARDED
    ]
    for place, (at, call) in enumerate(guarded):
        named = {name: call["data"][name] for name in ("tool_name", "tool_call_id")}
        asked = named | {"policy_name": "bookings", "arguments": call["data"]["arguments"]}
        found.append((at - 5 * SECOND, call | {"type": "tool_approval_requested", "data": asked}))
        kind, after = (
            ("granted", -2 * SECOND),
            ("denied", -1 * SECOND),
            ("", SECOND),
            ("granted", 3 * SECOND),
        )[(number + place) % 4]
        if kind:
            answer = named | {
                "decision": kind,
                "approver": {"type": "user", "id": f"supervisor-{number % 3}"},
                "reason": f"as asked in run {number}",
            }
            found.append((at + after, call | {"type": f"tool_approval_{kind}", "data": answer}))
    return found
