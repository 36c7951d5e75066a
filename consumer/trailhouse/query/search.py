"""Search the events of all sessions: a page in order of time or of appending, newest or oldest first."""

import datetime as dt
import time
from collections.abc import Callable

from trailhouse.query.answer import LeftOut, Page
from trailhouse.query.budget import Meter, ReadBudget
from trailhouse.query.conditions import where
from trailhouse.query.cursor import Cursors
from trailhouse.query.found import FoundEvent, Row, light, moment_of, with_records
from trailhouse.query.positions import stored_positions
from trailhouse.query.search_by_append import AppendFinder, AppendPosition
from trailhouse.query.search_by_time import TimeFinder, TimePosition
from trailhouse.query.search_filter import SearchFilter
from trailhouse.query.search_request import Finder, SearchRequest
from trailhouse.query.slices import LAST_US
from trailhouse.query.words import words_where
from trailhouse.schemas.errors import StorageLimitError
from trailhouse.store import ClickHouse

GO_ON = "go on with the cursor, ask for less, or give it a larger budget"


def search(
    clickhouse: ClickHouse,
    asked: SearchRequest,
    cursors: Cursors,
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
    finder: Finder
    if asked.by == "occurred":
        place = None if cursor is None else cursors.open(cursor, asked.walk, TimePosition)
        finder = TimeFinder(clickhouse, asked, place, now_us)
    else:
        behind = None if cursor is None else cursors.open(cursor, asked.walk, AppendPosition)
        finder = AppendFinder(clickhouse, asked, behind)
    as_of = stored_positions(clickhouse)
    reached = finder.find(meter)
    left_out: list[LeftOut] = []
    if cursor is None and asked.begins_at_now:
        left_out += events_ahead(clickhouse, asked.wanted, asked.tenant_id, meter, now_us)
    taken = light(finder.rows[: asked.limit])
    has_more = reached is not None or len(taken) < len(finder.rows)
    if len(taken) < len(finder.rows):
        reached = None
    found = len(taken)
    items = with_records(clickhouse, taken, meter)
    if len(items) < len(taken):
        # They come with the next page.
        taken, reached, has_more = taken[: len(items)], None, True
    is_stuck = has_more and not finder.has_advanced(len(taken), reached)
    if reached is not None or is_stuck or len(items) < found:
        left_out.insert(0, _unseen(asked, meter, is_stuck=is_stuck))
    return Page(
        items=tuple(items),
        complete=not left_out,
        left_out=tuple(left_out),
        searched_back_to=_searched_to(taken, reached, asked) if has_more else None,
        as_of=as_of,
        next=finder.seal(cursors, asked.walk, len(taken), reached)
        if has_more and not is_stuck
        else None,
    )


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
