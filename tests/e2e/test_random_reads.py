"""Random filters over random events on the real engine: every answer is that of a few lines of Python.

A few by default; ``READINGS=1-200`` tries those seeds, and ``QUESTIONS=50`` asks so much about each.
"""

import datetime as dt
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import structs

from airline_fleet import store_records
from random_events import drawn_events, drawn_filter, seeds
from run_oracle import (
    anomalies_of,
    books_of,
    of_events,
    runs_of,
    sessions_of,
    told_of_books,
    told_of_run,
    told_of_session,
    usage_of,
)
from search_oracle import answer, columns, walk
from trailhouse.query import AuditReader, Page, ReaderConfig, SearchFilter
from trailhouse.query.filtering.grammar import parse, render
from trailhouse.query.filtering.search_filter import FIELDS
from trailhouse.query.runs.usage_sql import UsageKey
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

UTC = dt.UTC
READS = ReaderConfig(cursor_secret="a secret of 32 characters or more", budget_seconds=100)
EVER = dt.datetime.max.replace(tzinfo=UTC)
Check = Callable[[random.Random, AuditReader, SearchFilter, Sequence[AuditEvent]], None]
CHECKS: list[Check] = []


def check(each: Check) -> Check:
    """Take what is decorated as one of the questions."""
    CHECKS.append(each)
    return each


@pytest.mark.parametrize("seed", seeds("READINGS", "1-2"))
def test_random_reads_are_what_python_says(seed: int, database: ClickHouseConfig) -> None:
    """Of readers of all tenants, and of one; whatever was merged, however often a record was stored."""
    draw = random.Random(seed)  # noqa: S311 - the same of one seed
    events = drawn_events(draw, draw.choice((5, 40, 150)))
    _store(draw, database, events)
    for _ in range(int(os.environ.get("QUESTIONS", "8"))):
        tenant = draw.choice((None, None, *(each.tenant_id for each in events)))
        mine = [each for each in events if tenant in (None, each.tenant_id)]
        wanted = drawn_filter(draw, events)
        asked = draw.choice(CHECKS)
        with AuditReader(tenant, config=database, reads=READS) as reader:
            try:
                asked(draw, reader, wanted, mine)
            except Exception as error:
                error.add_note(f"seed {seed}, {asked.__name__}, tenant {tenant!r}: {wanted}")
                raise


def _store(draw: random.Random, config: ClickHouseConfig, events: Sequence[AuditEvent]) -> None:
    """Store *events* in several inserts, and some of them again."""
    rest = [each.record for each in events]
    with ClickHouse(config) as clickhouse:
        if draw.random() < 0.5:
            for table in ("event_log", "event_index", "event_usage"):
                clickhouse.command(f"SYSTEM STOP MERGES {table}")
        while rest:
            place, count = len(events) - len(rest), draw.randrange(1, len(rest) + 1)
            store_records(clickhouse, rest[:count], place)
            rest = rest[count:]
        again = [each.record for each in draw.choices(events, k=10)]
        store_records(clickhouse, again, len(events) + 1_000)


@check
def _search(
    draw: random.Random, reader: AuditReader, wanted: SearchFilter, events: Sequence[AuditEvent]
) -> None:
    """Pages of any size, in any order, give each event once."""
    expected = [each.record for each in answer(wanted, events)]
    newest, by = draw.random() < 0.5, draw.choice(("occurred", "occurred", "append"))
    if wanted.until is None:  # else events that are ahead of the clock are only counted
        wanted = structs.replace(wanted, until=EVER)
    limit = draw.choice((1, 3, 50, 1_000))
    found, _ = walk(reader, wanted, limit=limit, newest_first=newest, by=by)
    records = [each.record for each in found]
    if by == "append":  # the oracle knows nothing of where records lie
        assert sorted(records) == sorted(expected)
    else:
        assert records == expected[:: 1 if newest else -1]


@check
def _text(
    draw: random.Random, reader: AuditReader, wanted: SearchFilter, events: Sequence[AuditEvent]
) -> None:
    """A filter as text is the same filter, and is answered alike."""
    again = structs.replace(parse(render(wanted)), asked_at=None)
    assert again == wanted
    assert reader.count(render(wanted)).value == len(answer(wanted, events))


@check
def _facets(
    draw: random.Random, reader: AuditReader, wanted: SearchFilter, events: Sequence[AuditEvent]
) -> None:
    """The most frequent values, and how many there are besides."""
    names = draw.sample([n for n, each in FIELDS.items() if each.kind in ("text", "outcome")], 4)
    limit = draw.choice((1, 3, 100))
    for facet in reader.facets(wanted, fields=names, limit=limit).value:
        counted = Counter(columns(each)[facet.field] for each in answer(wanted, events))
        ordered = sorted(counted.items(), key=lambda pair: (-pair[1], (pair[0] or "").encode()))
        assert [(each.value, each.events) for each in facet.values] == ordered[:limit]
        assert facet.other_values == len(ordered[limit:])


@check
def _histogram(
    draw: random.Random, reader: AuditReader, wanted: SearchFilter, events: Sequence[AuditEvent]
) -> None:
    """Each event in its month, before 1970 too."""
    bounds = {
        "since": dt.datetime(1960, 1, 1, tzinfo=UTC),
        "until": dt.datetime(2030, 1, 1, tzinfo=UTC),
    }
    within = SearchFilter(conditions=wanted.conditions, words=wanted.words, **bounds)
    found = reader.histogram(within, by="month").value
    expected = Counter(each.occurred_at.strftime("%Y-%m") for each in answer(within, events))
    assert {f"{each.starts_at:%Y-%m}": each.events for each in found if each.events} == expected


@check
def _runs(
    draw: random.Random, reader: AuditReader, wanted: SearchFilter, events: Sequence[AuditEvent]
) -> None:
    """Each run once, newest first, and what is told of it."""
    wanted = of_events(wanted)
    found = _all(reader.runs, structs.replace(wanted, until=EVER), draw.choice((1, 3, 100)))
    order = [
        (
            each.started_at,
            *((text or "").encode() for text in (each.session_id, each.tenant_id, each.run_id)),
        )
        for each in found
    ]
    assert order == sorted(set(order), reverse=True)
    told = {(each.session_id, each.tenant_id, each.run_id): told_of_run(each) for each in found}
    assert told == runs_of(wanted, events)


@check
def _sessions(
    draw: random.Random, reader: AuditReader, wanted: SearchFilter, events: Sequence[AuditEvent]
) -> None:
    """Each session once, and what is told of it."""
    wanted = of_events(wanted)
    found = _all(reader.sessions, structs.replace(wanted, until=EVER), draw.choice((1, 3, 100)))
    told = {(each.session_id, each.tenant_id): told_of_session(each) for each in found}
    assert len(told) == len(found)
    assert told == sessions_of(wanted, events)


@check
def _usage(
    draw: random.Random, reader: AuditReader, wanted: SearchFilter, events: Sequence[AuditEvent]
) -> None:
    """Both books of each group, and of all; words are asked of events alone."""
    wanted = structs.replace(wanted, words=())
    keys: tuple[UsageKey, ...] = ("agent", "provider", "model", "tenant")
    key = draw.choice(keys)
    report = reader.usage(wanted, by=key).value
    told = {(getattr(each.group, key),): told_of_books(each.books) for each in report.groups}
    mine = answer(wanted, events)
    with_a_book = {group: books for group, books in told.items() if any(each[0] for each in books)}
    assert with_a_book == usage_of(key, mine)
    assert told_of_books(report.total) == books_of(mine)


@check
def _timeline(
    draw: random.Random, reader: AuditReader, wanted: SearchFilter, events: Sequence[AuditEvent]
) -> None:
    """Whatever clocks and producers get wrong, every event of a session is in exactly one step."""
    session = (draw.choice(events) if events else drawn_events(draw, 1)[0]).session_id
    mine = [each for each in events if each.session_id == session]
    timeline = reader.timeline(session).value
    steps = [step for run in timeline.runs for step in run.steps]
    stepped = Counter(each for step in steps for each in step.event_ids)
    assert stepped == Counter(each.event_id for each in mine)
    assert timeline.events == len(mine)
    assert told_of_books(timeline.books) == books_of(mine)


def _all(ask: Callable[..., Page[Any]], wanted: SearchFilter, limit: int) -> list[Any]:
    page = ask(wanted, limit=limit)
    found = list(page.items)
    while page.next is not None:
        page = ask(wanted, limit=limit, cursor=page.next)
        found += page.items
        assert len(found) < 10_000
    return found


@check
def _log(
    draw: random.Random, reader: AuditReader, wanted: SearchFilter, events: Sequence[AuditEvent]
) -> None:
    """The log of a session within a time, and the conflicts of all of it."""
    session = (draw.choice(events) if events else drawn_events(draw, 1)[0]).session_id
    mine = [each for each in events if each.session_id == session]
    within = SearchFilter(since=wanted.since, until=wanted.until)
    found = reader.get_audit_log(session, since=wanted.since, until=wanted.until)
    expected = sorted(each.record for each in answer(within, mine))
    assert sorted(each.record for each in found) == expected
    by_id: dict[tuple[str | None, str], set[bytes]] = defaultdict(set)
    for each in mine:
        by_id[each.tenant_id, each.event_id].add(each.record)
    told = {frozenset(each.record for each in one.events) for one in reader.conflicts(session)}
    assert told == {frozenset(each) for each in by_id.values() if len(each) > 1}


@check
def _anomalies(
    draw: random.Random, reader: AuditReader, wanted: SearchFilter, events: Sequence[AuditEvent]
) -> None:
    """Runs without an end or a start, each with its agent, and conflicts."""
    report = reader.anomalies(limit=1_000).value
    told = {
        (each.kind, each.session_id, each.tenant_id, each.run_id or each.event_id): (
            each.agent_id,
            each.first_at,
        )
        for each in report.anomalies
        if each.kind in ("run_without_end", "run_without_start", "conflict")
    }
    assert told == anomalies_of(events, dt.datetime.now(UTC) - dt.timedelta(hours=1))
