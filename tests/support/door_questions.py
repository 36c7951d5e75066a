"""Questions about the recorded runs, in the words of each door, and what plain Python answers to them.

The Python here knows records alone: it parses their JSON, and shares no code with what it judges.
"""

import datetime as dt
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from airline_fleet import fleet

ENDINGS = {
    "run_completed": "completed", "run_failed": "failed", "run_cancelled": "cancelled",
    "run_timeout": "timeout", "run_abandoned": "abandoned",
}  # fmt: skip
OUTCOMES = ("completed", "failed", "timeout", "abandoned", "granted", "denied")
LIMIT = 20
"""Of a page, at every door."""


class Fact(NamedTuple):
    """What one record says; "" and None where it says nothing."""

    at: dt.datetime
    session: str
    tenant: str
    key: bytes
    event_id: str
    type: str
    run: str
    parent: str
    agent: str
    actor: str
    provider: str
    model: str
    tool: str
    call: str
    error: str
    tokens_in: int | None
    tokens_out: int | None
    cost: Decimal | None
    approver: str
    data: str
    place: int
    """Its offset: of its first copy."""

    @property
    def outcome(self) -> str:
        """The last word of its type, where that says how something ended."""
        word = self.type.rpartition("_")[2]
        return word if word in OUTCOMES else ""

    @property
    def book(self) -> str:
        """The book that it is of."""
        return {"token_usage_updated": "increments", "run_completed": "totals"}.get(self.type, "")


class Asked(NamedTuple):
    """One question.

    Attributes:
        operation: The operation of the doors.
        parameters: What HTTP and MCP are asked.
        expected: Its answer, from the facts alone.
        told: The same, out of a door's `items` or `value`.
        sql: A statement whose rows are the same.
    """

    operation: str
    parameters: dict[str, Any]
    expected: Any
    told: Callable[[Any], Any]
    sql: str


@cache
def facts() -> tuple[Fact, ...]:
    """Return what every record says, in the order of their times."""
    return tuple(sorted(_fact(place, each.record) for place, each in enumerate(fleet())))


def _fact(place: int, record: bytes) -> Fact:
    said = json.loads(record, parse_float=Decimal)
    data = said["data"]
    usage = {**data.get("token_usage", {}), **data}
    cost = usage.get("cost_usd")
    return Fact(
        at=dt.datetime.fromisoformat(said["occurred_at"]),
        session=said["session_id"],
        tenant=said.get("tenant_id", ""),
        key=hashlib.sha256(record).digest()[:16],
        event_id=said["event_id"],
        type=said["type"],
        run=said.get("run_id", ""),
        parent=said.get("parent_run_id", ""),
        agent=said.get("agent_id", ""),
        actor=said["actor"]["id"],
        provider=said.get("provider", ""),
        model=data.get("model", ""),
        tool=data.get("tool_name", ""),
        call=data.get("tool_call_id", ""),
        error=data.get("error_code", ""),
        tokens_in=usage.get("input_tokens"),
        tokens_out=usage.get("output_tokens"),
        cost=None if cost is None else Decimal(cost),
        approver=data.get("approver", {}).get("id", ""),
        data=json.dumps(json.loads(record)["data"], ensure_ascii=False),
        place=place,
    )


Wanted = Callable[[Fact], bool]
RunKey = tuple[str, str, str]


def chosen(wanted: Wanted) -> list[Fact]:
    """Return the facts that *wanted* takes, in the order of their times."""
    return [each for each in facts() if wanted(each)]


@cache
def by_run() -> dict[RunKey, list[Fact]]:
    """Return the facts of each run, in the order of their times."""
    found: dict[RunKey, list[Fact]] = defaultdict(list)
    for each in facts():
        if each.run:
            found[each.tenant, each.session, each.run].append(each)
    return found


def status_of(run: Iterable[Fact]) -> str:
    """Return how a run ended, by its last ending event."""
    return next(
        (ENDINGS[each.type] for each in reversed(list(run)) if each.type in ENDINGS), "running"
    )


def summed(numbers: Iterable[Any]) -> Any:
    """Return the sum of what is known; None where nothing is."""
    known = [each for each in numbers if each is not None]
    return sum(known) if known else None


def plain(value: Any) -> Any:
    """Return a number as every door and SQL can write it: a cost without idle zeros."""
    return None if value is None else format(Decimal(value).normalize(), "f")


def books(events: Iterable[Fact]) -> list[Any]:
    """Return events, unpriced ones, tokens read and cost of the increments, and then of the totals."""
    events, found = list(events), []
    for book in ("increments", "totals"):
        of = [each for each in events if each.book == book]
        found += [
            len(of), sum(each.cost is None for each in of),
            summed(each.tokens_in for each in of), plain(summed(each.cost for each in of)),
        ]  # fmt: skip
    return found


def told_books(told: Mapping[str, Any]) -> list[Any]:
    """Return the same of a door's answer."""
    return [
        value
        for book in ("increments", "totals")
        for value in (
            told[book]["events"], told[book]["unpriced_events"], told[book]["input_tokens"],
            plain(told[book]["cost_usd"]),
        )
    ]  # fmt: skip


BOOKS_SQL = ", ".join(
    f"countIf(book = '{book}'), countIf(book = '{book}' AND isNull(cost_usd)),"
    f" sumIf(input_tokens, book = '{book}'), toString(sumIf(cost_usd, book = '{book}'))"
    for book in ("updated", "completed")
)


def search(
    q: str,
    wanted: Wanted,
    sql: str,
    *,
    order_key: Callable[[Fact], Any] | None = None,
    **how: Any,
) -> Asked:
    """Return a question for events: which, in what order."""
    backwards = how.get("order", "newest") == "newest"
    found = sorted(chosen(wanted), key=order_key, reverse=backwards)[: how.get("limit", LIMIT)]
    direction = "DESC" if backwards else "ASC"
    by_append = ("appended_at", "kafka_offset")
    by_time = ("occurred_us", "session_id", "tenant_id", "record_key")
    names = by_append if how.get("by") == "append" else by_time
    keys = ", ".join(f"{name} {direction}" for name in names)
    return Asked(
        "search",
        {"q": q, "limit": LIMIT} | how,
        [[each.event_id] for each in found],
        lambda items: [[each["event_id"]] for each in items],
        f"SELECT toString(event_id) FROM events WHERE {sql} ORDER BY {keys} LIMIT {how.get('limit', LIMIT)}",
    )


def count(q: str, wanted: Wanted, sql: str, **how: Any) -> Asked:
    """Return a question for how many events there are."""
    return Asked(
        "count", {"q": q} | how, [[len(chosen(wanted))]], lambda value: [[value]],
        f"SELECT count() FROM events WHERE {sql}",
    )  # fmt: skip


def log(session: str, wanted: Wanted, sql: str, **how: Any) -> Asked:
    """Return a question for the log of a session, in append order."""
    found = sorted(
        chosen(lambda each: each.session == session and wanted(each)), key=lambda each: each.place
    )
    return Asked(
        "log",
        {"session": session, "limit": LIMIT} | how,
        [[each.event_id] for each in found[: how.get("limit", LIMIT)]],
        lambda items: [[each["event_id"]] for each in items],
        f"SELECT toString(event_id) FROM events WHERE session_id = '{session}' AND {sql}"
        f" ORDER BY kafka_offset LIMIT {how.get('limit', LIMIT)}",
    )


def runs(q: str, wanted: Callable[[list[Fact]], bool], sql: str, **how: Any) -> Asked:
    """Return a question for runs: how each ended, what it did, and its two books."""
    found = [(key, run) for key, run in by_run().items() if wanted(run)]
    found.sort(key=lambda pair: (pair[1][0].at, pair[0][1], pair[0][0], pair[0][2]), reverse=True)
    return Asked(
        "runs",
        {"q": q, "limit": LIMIT} | how,
        [
            [
                run[0].session, run[0].run, status_of(run), len(run),
                sum(each.type == "tool_call_started" for each in run),
                books(run)[2], books(run)[3], books(run)[6], books(run)[7],
            ]
            for _, run in found[:LIMIT]
        ],
        lambda items: [
            [
                each["session_id"], each["run_id"], each["status"], each["events"], each["tool_calls"],
                *(told_books(each["books"])[place] for place in (2, 3, 6, 7)),
            ]
            for each in items
        ],
        "SELECT session_id, run_id, status, events, tool_calls, updated_input_tokens, toString(updated_cost_usd),"
        f" completed_input_tokens, toString(completed_cost_usd) FROM runs WHERE {sql}"
        f" ORDER BY started_at DESC, session_id DESC, tenant_id DESC, run_id DESC LIMIT {LIMIT}",
    )  # fmt: skip


def sessions(q: str, wanted: Callable[[list[Fact]], bool], sql: str, **how: Any) -> Asked:
    """Return a question for sessions: how much is in each, and its two books."""
    by_session: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for each in facts():
        by_session[each.session, each.tenant].append(each)
    found = [(key, events) for key, events in by_session.items() if wanted(events)]
    found.sort(key=lambda pair: (pair[1][0].at, pair[0]), reverse=True)
    return Asked(
        "sessions",
        {"q": q, "limit": LIMIT} | how,
        [
            [
                session, tenant, len(events), len({each.run for each in events if each.run}),
                sum(each.type.endswith("_failed") for each in events), books(events)[3], books(events)[7],
            ]
            for (session, tenant), events in found[:LIMIT]
        ],
        lambda items: [
            [
                each["session_id"], each["tenant_id"] or "", each["events"], each["runs"], each["error_events"],
                told_books(each["books"])[3], told_books(each["books"])[7],
            ]
            for each in items
        ],
        "SELECT session_id, tenant_id, events, runs, errors, toString(updated_cost_usd), toString(completed_cost_usd)"
        f" FROM sessions WHERE {sql} ORDER BY started_at DESC, session_id DESC, tenant_id DESC LIMIT {LIMIT}",
    )  # fmt: skip


_GROUPS: dict[str, tuple[Callable[[Fact], str], str, str]] = {
    "agent": (lambda each: each.agent, "agent", "agent_id"),
    "provider": (lambda each: each.provider, "provider", "provider"),
    "model": (lambda each: each.model, "model", "model"),
    "tenant": (lambda each: each.tenant, "tenant", "tenant_id"),
    "actor": (lambda each: each.actor, "actor", "actor_id"),
    "hour": (lambda each: each.at.strftime("%Y-%m-%dT%H:00:00Z"), "period_start",
             "formatDateTime(occurred_at, '%Y-%m-%dT%H:00:00Z')"),
    "day": (lambda each: each.at.strftime("%Y-%m-%dT00:00:00Z"), "period_start",
            "formatDateTime(occurred_at, '%Y-%m-%dT00:00:00Z')"),
    "month": (lambda each: each.at.strftime("%Y-%m-01T00:00:00Z"), "period_start",
              "formatDateTime(occurred_at, '%Y-%m-01T00:00:00Z')"),
}  # fmt: skip


def usage(q: str, by: Sequence[str], wanted: Wanted, sql: str, **how: Any) -> Asked:
    """Return a question for tokens and cost of groups, both books, and of all together."""
    groups: dict[tuple[str, ...], list[Fact]] = defaultdict(list)
    for each in chosen(lambda each: bool(each.book) and wanted(each)):
        groups[tuple(_GROUPS[name][0](each) for name in by)].append(each)
    keys = ", ".join(f"toString({_GROUPS[name][2]})" for name in by)
    names = [f"k{place}" for place, _ in enumerate(by)]
    picked = "".join(f"toString({_GROUPS[name][2]}) AS k{place}, " for place, name in enumerate(by))
    return Asked(
        "usage",
        {"q": q} | ({"by": list(by)} if by else {}) | how,
        sorted([*key, *books(events)] for key, events in groups.items()),
        lambda value: sorted(
            [*(each["group"][_GROUPS[name][1]] or "" for name in by), *told_books(each["books"])]
            for each in (value["groups"] if by else [{"group": {}, "books": value["total"]}])
        ),
        f"SELECT {picked}{BOOKS_SQL} FROM token_usage WHERE {sql}"
        + (f" GROUP BY {', '.join(names)} ORDER BY {', '.join(names)}" if keys else ""),
    )


def facets(
    named: tuple[str, str], value_of: Callable[[Fact], str], wanted: Wanted, sql: str, q: str = ""
) -> Asked:
    """Return a question for the most frequent values of a field, and of its column."""
    field, column = named
    found = Counter(value_of(each) for each in chosen(wanted))
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0].encode()))[:5]
    return Asked(
        "facets",
        {"q": q, "field": [field], "limit": 5},
        [[name, number] for name, number in ordered],
        lambda value: [[each["value"] or "", each["events"]] for each in value[0]["values"]],
        f"SELECT {column}, count() AS events FROM events WHERE {sql} GROUP BY {column}"
        f" ORDER BY events DESC, {column} LIMIT 5",
    )


def histogram(q: str, by: str, wanted: Wanted, sql: str) -> Asked:
    """Return a question for how many events there were when; what is 0 has no row in SQL."""
    found = Counter(_GROUPS[by][0](each) for each in chosen(wanted))
    return Asked(
        "histogram",
        {"q": q, "by": by},
        sorted([start, number] for start, number in found.items()),
        lambda value: [[each["starts_at"], each["events"]] for each in value if each["events"]],
        f"SELECT {_GROUPS[by][2]} AS start, count() FROM events WHERE {sql} GROUP BY start ORDER BY start",
    )
