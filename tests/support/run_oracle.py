"""Runs and sessions as docs/reads.md says them, by plain Python over events: the oracle of what readers are told."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from typing import Any

from msgspec import structs

from search_oracle import columns, meets
from trailhouse.query import RunSummary, SearchFilter, SessionSummary
from trailhouse.query.books import Books
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.record_hash import record_key

STATES = {
    f"run_{each}": each for each in ("completed", "failed", "cancelled", "timeout", "abandoned")
}
CHANGES = ("session_started", "session_paused")
OF_GROUPS = (
    "session",
    "tenant",
    "run",
    "outcome",
    "cost",
    "tokens",
    "input_tokens",
    "output_tokens",
    "duration",
)
"""Fields that mean another thing of a run or a session than of an event."""
AMOUNTS = ("input_tokens", "output_tokens", "tokens", "cost")
Told = dict[tuple[str | None, ...], tuple[Any, ...]]


def of_events(wanted: SearchFilter) -> SearchFilter:
    """Return of *wanted* the conditions that one event of a group must meet."""
    kept = tuple(each for each in wanted.conditions if each.field not in OF_GROUPS)
    return structs.replace(wanted, conditions=kept, words=(), since=None, until=None)


def runs_of(wanted: SearchFilter, events: Iterable[AuditEvent]) -> Told:
    """Return what is told of each run of *events* that *wanted* describes."""
    groups: dict[tuple[str | None, ...], list[AuditEvent]] = defaultdict(list)
    for each in events:
        if each.run_id:
            groups[each.session_id, each.tenant_id, each.run_id].append(each)
    return {key: _run(mine) for key, mine in groups.items() if _meets(wanted, mine)}


def sessions_of(wanted: SearchFilter, events: Iterable[AuditEvent]) -> Told:
    """Return what is told of each session of *events* that *wanted* describes."""
    groups: dict[tuple[str | None, ...], list[AuditEvent]] = defaultdict(list)
    for each in events:
        groups[each.session_id, each.tenant_id].append(each)
    return {key: _session(mine) for key, mine in groups.items() if _meets(wanted, mine)}


def usage_of(key: str, events: Iterable[AuditEvent]) -> Told:
    """Return both books of each group of *events* by *key*, of those groups that have a book."""
    groups: dict[tuple[str | None, ...], list[AuditEvent]] = defaultdict(list)
    for each in events:
        groups[(columns(each)[key],)].append(each)
    found = {group: books_of(mine) for group, mine in groups.items()}
    return {group: told for group, told in found.items() if any(book[0] for book in told)}


def anomalies_of(events: Sequence[AuditEvent], idle_since: dt.datetime) -> Told:
    """Return agent and start of each run without an end or a start, and of each conflict."""
    found: Told = {}
    for (session, tenant, run), told in runs_of(SearchFilter(), events).items():
        mine = [
            each
            for each in events
            if (each.session_id, each.tenant_id, each.run_id) == (session, tenant, run)
        ]
        began, last, agent = told[1], told[3], told[11]
        if told[0] == "running" and last <= idle_since:
            found["run_without_end", session, tenant, run] = agent, began
        elif told[0] != "running" and not any(each.type == "run_started" for each in mine):
            found["run_without_start", session, tenant, run] = agent, began
    by_id: dict[tuple[str | None, ...], dict[bytes, AuditEvent]] = defaultdict(dict)
    for each in events:
        by_id[each.session_id, each.tenant_id, each.event_id][each.record] = each
    for key, some in by_id.items():
        if len(some) > 1:
            found["conflict", *key] = None, min(each.occurred_at for each in some.values())
    return found


def told_of_run(each: RunSummary) -> tuple[Any, ...]:
    """Return what a reader tells, as `runs_of` has it."""
    return (
        each.status, each.started_at, each.ended_at, each.last_event_at, each.events, each.tool_calls,
        each.error_events, each.errors, each.ending_events, each.ending_event_id, each.ending_error_code, each.agent_id,
        each.parent_run_id, told_of_books(each.books),
    )  # fmt: skip


def told_of_session(each: SessionSummary) -> tuple[Any, ...]:
    """Return what a reader tells, as `sessions_of` has it."""
    return (
        each.status, each.events, each.runs, each.runs_by_status, each.agents, each.providers, each.models,
        told_of_books(each.books),
    )  # fmt: skip


def _meets(wanted: SearchFilter, mine: Sequence[AuditEvent]) -> bool:
    return all(
        any(meets(each, condition) for each in mine) is not condition.negated
        for condition in wanted.conditions
    )


def _run(mine: Sequence[AuditEvent]) -> tuple[Any, ...]:
    endings = [each for each in mine if each.type in STATES]
    last = max(endings, key=_order) if endings else None
    errors = [
        each for each in mine if each.type == "error_occurred" or each.type.endswith("_failed")
    ]
    codes = Counter(columns(each)["error"] or "" for each in errors)
    times = [each.occurred_at for each in mine]
    return (
        STATES[last.type] if last else "running", min(times), last.occurred_at if last else None, max(times), len(mine),
        sum(each.type == "tool_call_started" for each in mine), len(errors),
        dict(sorted(codes.items(), key=lambda pair: (-pair[1], pair[0].encode()))[:20]), len(endings),
        last.event_id if last else None, columns(last)["error"] if last else None,
        _first(mine, "agent_id"), _first(mine, "parent_run_id"), books_of(mine),
    )  # fmt: skip


def _session(mine: Sequence[AuditEvent]) -> tuple[Any, ...]:
    changes = [each for each in mine if each.type in CHANGES]
    runs: dict[str, list[AuditEvent]] = defaultdict(list)
    for each in mine:
        if each.run_id:
            runs[each.run_id].append(each)
    states = Counter(_run(some)[0] for some in runs.values())
    return (
        max(changes, key=_order).type.removeprefix("session_") if changes else None, len(mine), len(runs),
        {name: states[name] for name in ("running", *STATES.values())},
        *(_names(mine, name) for name in ("agent", "provider", "model")), books_of(mine),
    )  # fmt: skip


def _order(each: AuditEvent) -> tuple[Any, bytes]:
    return each.occurred_at, record_key(each.record)


def _first(mine: Sequence[AuditEvent], name: str) -> str | None:
    named = [each for each in mine if getattr(each, name)]
    return str(getattr(min(named, key=_order), name)) if named else None


def _names(mine: Sequence[AuditEvent], name: str) -> tuple[str, ...]:
    return tuple(sorted({columns(each)[name] for each in mine} - {None}, key=str.encode)[:20])


def books_of(mine: Sequence[AuditEvent]) -> tuple[Any, ...]:
    """Return how many events, tokens and cost are in the increments, and in the totals."""
    increments = [
        each for each in mine
        if each.type == "token_usage_updated" or (
            each.type in ("model_call_completed", "model_call_failed")
            and any(columns(each)[name] is not None for name in AMOUNTS)
        )
    ]  # fmt: skip
    totals = [each for each in mine if each.type == "run_completed"]
    return tuple(
        (len(book), *(_sum([columns(each)[name] for each in book]) for name in AMOUNTS))
        for book in (increments, totals)
    )


def _sum(values: Sequence[int | Decimal | None]) -> int | Decimal | None:
    known = [value for value in values if value is not None]
    with localcontext(prec=100):
        return sum(known) if known else None


def told_of_books(books: Books) -> tuple[Any, ...]:
    """Return what a reader tells, as `books_of` has it."""
    return tuple(
        (book.events, book.input_tokens, book.output_tokens, book.total_tokens, book.cost_usd)
        for book in (books.increments, books.totals)
    )
