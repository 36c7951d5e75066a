"""A small log in which much is odd, and what docs/reads.md says of it, worked out from its records by plain Python.

Clocks of the years 1 and 9999, one run id in three tenants and four sessions, runs that start again, ids with two
contents, costs of twenty places, ids of calls and approvals that are used again, and events that an order has erased.
"""

import datetime as dt
import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any, NamedTuple

from trailhouse.schemas import Actor, AuditEvent

UTC = dt.UTC
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)
BEGAN = dt.datetime(2026, 3, 28, 22, 30, tzinfo=UTC)
"""Of the night in which Berlin loses an hour."""
FAR = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
EARLY = dt.datetime(1, 1, 1, tzinfo=UTC)
GONE = "gone@example.org"
TENANTS = (None, "t-1", "t-2")
SESSIONS = ("s", "S", "s ", "s/1")
ENDINGS = {
    "run_completed": "completed", "run_failed": "failed", "run_cancelled": "cancelled", "run_timeout": "timeout",
    "run_abandoned": "abandoned",
}  # fmt: skip
OUTCOMES = (
    "completed", "failed", "cancelled", "timeout", "abandoned", "granted", "denied", "passed", "tripped",
)  # fmt: skip
_STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("run_started", {}),
    ("tool_approval_requested", {"approval_id": "a", "tool_call_id": "c", "tool_name": "pay"}),
    ("tool_approval_denied", {"approval_id": "a", "tool_call_id": "c", "approver": {"type": "user", "id": "ann"}}),
    ("tool_call_started", {"tool_call_id": "c", "tool_name": "pay"}),
    ("tool_call_completed", {"tool_call_id": "c", "duration_ms": 1.5}),
    ("token_usage_updated", {"cost_usd": "0.00000000000000000050", "input_tokens": 3}),
    ("token_usage_updated", {"cost_usd": "0.00000000000000000151", "input_tokens": 2**53 + 1}),
    ("token_usage_updated", {"cost_usd": "12345678901234567890.12345678901234567890"}),
    ("token_usage_updated", {"cost_usd": "100000000000000000000"}),
    ("model_call_completed", {"cost_usd": "-0.25", "model": "m"}),
    ("model_call_failed", {"model": "m", "error_code": "e"}),
    ("message_sent", {"cost_usd": 7, "text": "outside of both"}),
    ("run_failed", {"error_code": "first"}),
    ("run_started", {}),
    ("tool_approval_requested", {"approval_id": "a", "tool_call_id": "c", "tool_name": "pay"}),
    ("tool_approval_granted", {"approval_id": "a", "tool_call_id": "c"}),
    ("tool_call_started", {"tool_call_id": "c", "tool_name": "pay"}),
    ("tool_call_failed", {"tool_call_id": "c", "error_code": "e"}),
    ("tool_call_started", {"tool_call_id": "d", "tool_name": "pay"}),
    ("tool_call_completed", {"tool_call_id": "nobody"}),
    ("tool_call_started", {"tool_name": "look"}),
    ("note_taken", {"text": GONE, "cost_usd": "1"}),
    ("token_usage_updated", {"text": GONE, "cost_usd": "1", "input_tokens": 1}),
    ("run_completed", {"token_usage": {"cost_usd": "0.5", "input_tokens": 9}}),
)  # fmt: skip


def events() -> list[AuditEvent]:
    """Return the log, in the order in which Kafka takes it."""
    made: list[AuditEvent] = []
    for place, session in enumerate(SESSIONS):
        for number, tenant in enumerate(TENANTS):
            if (place + number) % 4 == 3:
                continue
            of = {
                "session_id": session,
                "tenant_id": tenant,
                "run_id": "r",
                "agent_id": f"agent-{number}",
            }
            steps = _STEPS[: len(_STEPS) - (place * 5 + number) % 7]
            for n, (name, data) in enumerate(steps):
                at = BEGAN + dt.timedelta(minutes=17 * n, hours=place, microseconds=number)
                made.append(_event(len(made), name, at, data, **of))
            made.append(
                _event(len(made), "message_sent", BEGAN, {"n": place}, **(of | {"run_id": None}))
            )
    of = {"session_id": "s", "tenant_id": "t-1", "run_id": "clocks"}
    made += [
        _event(900, "run_started", FAR, {}, **of),
        _event(901, "run_completed", EARLY, {"cost_usd": "1"}, **of),
        _event(902, "token_usage_updated", FAR, {"cost_usd": "2", "model": "far"}, **of),
        _event(903, "token_usage_updated", EARLY, {"cost_usd": "4", "model": "early"}, **of),
        _event(904, "custom.deep_failed", BEGAN, {"error_code": "e"}, **(of | {"run_id": "clock"})),
    ]
    # One id with two contents, and with a third in another tenant.
    for n, tenant in enumerate(("t-1", "t-1", "t-2")):
        of = {"session_id": "s", "tenant_id": tenant, "run_id": "x"}
        made.append(_event(999, "run_cancelled", BEGAN + dt.timedelta(hours=n), {"n": n}, **of))
    return made


def _event(
    number: int, name: str, at: dt.datetime, data: dict[str, Any], **fields: Any
) -> AuditEvent:
    actor = Actor(type="user", id=f"user-{number % 3}") if number % 4 else None
    return AuditEvent(
        event_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"odd {number}")), type=name, occurred_at=at, data=data,
        actor=actor, **fields,
    )  # fmt: skip


class Odd(NamedTuple):
    """What one record says; "" and None where it says nothing, or was erased."""

    us: int
    session: str
    tenant: str
    key: bytes
    event_id: str
    type: str
    run: str
    agent: str
    actor: str
    tool: str
    call: str
    approval: str
    approver: str
    model: str
    error: str
    tokens: int | None
    cost: Decimal | None
    data: str
    is_erased: bool
    place: int

    @property
    def outcome(self) -> str:
        """The last word of its type, where that says how something ended."""
        word = self.type.replace(".", "_").rpartition("_")[2]
        return word if word in OUTCOMES and word != self.type else ""

    @property
    def book(self) -> str:
        """The book that it is of; "outside" with usage and of neither."""
        carries = self.cost is not None or self.tokens is not None
        if self.type == "token_usage_updated" or (
            carries and self.type in ("model_call_completed", "model_call_failed")
        ):
            return "increments"
        return "totals" if self.type == "run_completed" else "outside" if carries else ""


def odds(*, erased: bool) -> list[Odd]:
    """Return what every record says, in occurrence order."""
    return sorted(_odd(place, each.record, erased=erased) for place, each in enumerate(events()))


def _odd(place: int, record: bytes, *, erased: bool) -> Odd:
    said = json.loads(record)
    data = said["data"]
    usage = {**data.get("token_usage", {}), **data}
    since = dt.datetime.fromisoformat(said["occurred_at"]) - EPOCH
    gone = erased and GONE.encode() in record
    if gone:
        said, data, usage = (
            {name: said[name] for name in ("session_id", "event_id", "type")}
            | {"tenant_id": said.get("tenant_id", "")},
            {},
            {},
        )
    approver = data.get("approver", {}).get("id") or said.get("actor", {}).get("id", "")
    return Odd(
        us=since // dt.timedelta(microseconds=1),
        session=said["session_id"],
        tenant=said.get("tenant_id") or "",
        key=hashlib.sha256(record).digest()[:16],
        event_id=said["event_id"],
        type=said["type"],
        run=said.get("run_id") or "",
        agent=said.get("agent_id") or "",
        actor=said.get("actor", {}).get("id", ""),
        tool=data.get("tool_name", ""),
        call=data.get("tool_call_id", ""),
        approval=data.get("approval_id", "") or data.get("tool_call_id", ""),
        approver=approver,
        model=data.get("model", ""),
        error=data.get("error_code", ""),
        tokens=usage.get("input_tokens"),
        cost=_cost(usage.get("cost_usd")),
        data="" if gone else json.dumps(data, ensure_ascii=False),
        is_erased=gone,
        place=place,
    )


def _cost(said: Any) -> Decimal | None:
    """Return it with 18 places, half to even; None for 10^20 and more."""
    if said is None:
        return None
    with localcontext(prec=60):
        exact = Decimal(str(said)).quantize(Decimal("1e-18"), ROUND_HALF_EVEN)
    return exact if abs(exact) < 10**20 else None


def summed(numbers: Iterable[Any]) -> Any:
    """Return the exact sum of what is known; None where nothing is."""
    known = [each for each in numbers if each is not None]
    with localcontext(prec=200):
        return sum(known[1:], known[0]) if known else None


def plain(value: Any) -> Any:
    """Return a number without idle zeros, however it is written."""
    if value is None:
        return None
    with localcontext(prec=200):
        found = Decimal(str(value)).normalize()
        return format(found if found else Decimal(0), "f")


def books(of: Sequence[Odd]) -> list[Any]:
    """Return events, unpriced ones, tokens and cost of both books, and how many events are outside."""
    found: list[Any] = []
    for book in ("increments", "totals"):
        its = [each for each in of if each.book == book]
        found += [
            len(its), sum(each.cost is None for each in its), summed(each.tokens for each in its),
            plain(summed(each.cost for each in its)),
        ]  # fmt: skip
    return [*found, sum(each.book == "outside" for each in of)]


def told_books(told: Any) -> list[Any]:
    """Return the same out of an answer."""
    found: list[Any] = []
    for book in (told["increments"], told["totals"]):
        found += [
            book["events"], book["unpriced_events"], book["input_tokens"], plain(book["cost_usd"]),
        ]  # fmt: skip
    return [*found, told["outside_events"]]


def grouped(of: Iterable[Odd], key: Callable[[Odd], Any]) -> dict[Any, list[Odd]]:
    """Return *of* by their keys, each group in occurrence order."""
    found: dict[Any, list[Odd]] = defaultdict(list)
    for each in of:
        found[key(each)].append(each)
    return found


def status(run: Sequence[Odd]) -> str:
    """Return what the last ending event says."""
    return next((ENDINGS[each.type] for each in reversed(run) if each.type in ENDINGS), "running")


def calls(
    of: Iterable[Odd], prefix: str, opening: str, name: Callable[[Odd], str]
) -> list[list[Odd]]:
    """Return what belongs together of each call: an end stands with the last start before it."""
    found: list[list[Odd]] = []
    its = [each for each in of if each.type.startswith(prefix)]
    for key, same in grouped(
        its, lambda each: (each.tenant, each.session, each.run, name(each))
    ).items():
        if not key[3]:
            found += [[each] for each in same]
            continue
        current: list[Odd] = []
        for each in sorted(same, key=lambda each: (each.us, each.type != opening, each.key)):
            if each.type == opening or not current:
                current = []
                found.append(current)
            current.append(each)
    return found
