"""Search the events of all sessions: a page in order of time or of appending, newest or oldest first."""

import datetime as dt
import time
from collections.abc import Callable
from typing import NamedTuple

from trailhouse.query.answer import LeftOut, Page
from trailhouse.query.budget import Meter, ReadBudget
from trailhouse.query.cursor import Cursors
from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.filtering.words import words_where
from trailhouse.query.positions import stored_positions
from trailhouse.query.search.by_append import AppendFinder, AppendPosition
from trailhouse.query.search.by_time import CopiesMet, TimeFinder, TimePosition
from trailhouse.query.search.found import FoundEvent, Row, light, moment_of, with_records
from trailhouse.query.search.request import Finder, SearchRequest
from trailhouse.query.search.slices import LAST_US
from trailhouse.schemas.errors import StorageLimitError
from trailhouse.store import ClickHouse

GO_ON = "go on with the cursor, ask for less, or give it a larger budget"


def search(
    clickhouse: ClickHouse,
    asked: SearchRequest,
    cursors: Cursors,
    copies: CopiesMet,
    cursor: str | None = None,
    budget: ReadBudget | None = None,
    now: Callable[[], float] = time.time,
) -> Page[FoundEvent]:
    """Return the page of *asked* that *cursor* names, the first without one.

    Raises:
        QueryError: The cursor is not of this walk. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    meter = Meter(budget or ReadBudget())
    now_us = int(now() * 1_000_000)
    finder = _finder(clickhouse, asked, cursors, cursor, now_us, copies)
    as_of = stored_positions(clickhouse)
    reached = finder.find(meter)
    left_out: list[LeftOut] = []
    if cursor is None and asked.begins_at_now:
        left_out += events_ahead(clickhouse, asked.wanted, asked.tenant_id, meter, now_us)
    page = _filled(clickhouse, finder, asked.limit, reached, meter)
    shown = len(page.items)
    is_stuck = page.has_more and not finder.has_advanced(shown, page.reached)
    if page.reached is not None or is_stuck or page.is_cut:
        left_out.insert(0, _unseen(asked, meter, is_stuck=is_stuck))
    has_next = page.has_more and not is_stuck
    to = _searched_to(finder.rows[:shown], page.reached, asked) if page.has_more else None
    return Page(
        items=tuple(page.items),
        complete=not left_out,
        left_out=tuple(left_out),
        searched_back_to=to,
        as_of=as_of,
        next=finder.seal(cursors, asked.walk, shown, page.reached) if has_next else None,
    )


def _finder(
    clickhouse: ClickHouse,
    asked: SearchRequest,
    cursors: Cursors,
    cursor: str | None,
    now_us: int,
    copies: CopiesMet,
) -> Finder:
    if asked.by == "occurred":
        place = None if cursor is None else cursors.open(cursor, asked.walk, TimePosition)
        return TimeFinder(clickhouse, asked, place, now_us, copies)
    behind = None if cursor is None else cursors.open(cursor, asked.walk, AppendPosition)
    return AppendFinder(clickhouse, asked, behind)


class _Filled(NamedTuple):
    """The events of a page, how far was searched beyond them, whether more follow, and whether records are missing."""

    items: list[FoundEvent]
    reached: int | None
    has_more: bool
    is_cut: bool


def _filled(
    clickhouse: ClickHouse, finder: Finder, limit: int, reached: int | None, meter: Meter
) -> _Filled:
    """Return as many of the rows that *finder* has found as fit a page, with their records."""
    taken = light(finder.rows[:limit])
    has_more = reached is not None or len(taken) < len(finder.rows)
    if len(taken) < len(finder.rows):
        reached = None
    items = list(with_records(clickhouse, taken, meter))
    is_cut = len(items) < len(taken)
    # What is missing comes with the next page.
    return _Filled(items, None if is_cut else reached, has_more or is_cut, is_cut)


def events_ahead(
    clickhouse: ClickHouse,
    wanted: SearchFilter,
    tenant_id: str | None,
    meter: Meter,
    now_us: int,
) -> list[LeftOut]:
    """Return what a read that begins at now leaves out: events whose clocks lie ahead, if there are any.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    condition, values = where(wanted, tenant_id=tenant_id)
    text, more = words_where(wanted.words)
    source = "events" if wanted.words else "events_by_time"
    sql = f"""
        SELECT count() FROM {source}
        WHERE occurred_us > {{now_us:Int64}} AND occurred_us <= {LAST_US} AND {condition} AND {text}
    """  # noqa: S608 - no value in it
    try:
        [(ahead,)] = clickhouse.query(
            sql, {**values, **more, "now_us": now_us}, settings=meter.settings()
        ).rows
    except StorageLimitError:
        ahead = None
    if ahead == 0:
        return []
    return [
        LeftOut(
            what="events ahead of the clock",
            how_many=ahead,
            why="they are of a time that has not come; until:9999-12-31T23:59:59Z shows them",
        )
    ]


def _unseen(asked: SearchRequest, meter: Meter, *, is_stuck: bool) -> LeftOut:
    what = "older events" if asked.newest_first else "newer events"
    way_out = meter.budget.larger if is_stuck else GO_ON
    return LeftOut(what=what, why=f"the budget was spent before they were looked at; {way_out}")


def _searched_to(taken: list[Row], reached: int | None, asked: SearchRequest) -> dt.datetime | None:
    if asked.by == "append":
        return None
    if reached is not None:
        return moment_of(reached)
    return moment_of(taken[-1].occurred_us) if taken else None
