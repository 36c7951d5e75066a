"""Search the events of all sessions: a page in order of time or of appending, newest or oldest first."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from trailhouse.query.answer import LeftOut, Page
from trailhouse.query.budget import Meter, ReadBudget
from trailhouse.query.conditions import where
from trailhouse.query.cursor import Cursors, Walk
from trailhouse.query.filters import whole_number
from trailhouse.query.found import FoundEvent, Row, light, moment_of, with_records
from trailhouse.query.grammar import render
from trailhouse.query.positions import stored_positions
from trailhouse.query.search_filter import SearchFilter
from trailhouse.query.slices import LAST_US
from trailhouse.query.words import words_where
from trailhouse.schemas.errors import QueryError, StorageLimitError
from trailhouse.store import ClickHouse

Order = Literal["occurred", "append"]
DEFAULT_LIMIT = 50
MAX_LIMIT = 1_000
GO_ON = "go on with the cursor, ask for less, or give it a larger budget"


class SearchRequest(NamedTuple):
    """What is asked, and how: everything that a page is made from."""

    wanted: SearchFilter
    tenant_id: str | None
    principal: str
    newest_first: bool
    by: Order
    limit: int

    @property
    def walk(self) -> Walk:
        """What the cursor of this question is bound to."""
        return Walk(
            query=f"search {render(self.wanted)}",
            order=f"{self.by} {'newest' if self.newest_first else 'oldest'} first",
            tenant_id=self.tenant_id,
            principal=self.principal,
        )

    @property
    def begins_at_now(self) -> bool:
        """Whether events whose clocks lie ahead are counted apart: newest first, unless a time was named."""
        return self.newest_first and self.by == "occurred" and self.wanted.until is None


class Finder(Protocol):
    """Finds the rows of one page in one order."""

    rows: list[Row]
    """What was found so far, in order; one more than the page holds when there is another page."""

    def find(self, meter: Meter) -> int | None:
        """Find them; return the first time that was not looked at for want of budget, None otherwise."""
        ...

    def seal(self, cursors: Cursors, walk: Walk, taken: int, reached: int | None) -> str:
        """Return the cursor that goes on behind the first *taken* rows, or from the time *reached*."""
        ...


def question(
    wanted: SearchFilter,
    *,
    tenant_id: str | None,
    principal: str = "",
    newest_first: bool = True,
    by: Order = "occurred",
    limit: int = DEFAULT_LIMIT,
) -> SearchRequest:
    """Return a question that can be answered.

    Raises:
        QueryError: The order is unknown, or the limit out of range. Permanent.
    """
    if by not in ("occurred", "append"):
        raise QueryError("by: must be 'occurred' or 'append'")
    if whole_number(limit) > MAX_LIMIT:
        raise QueryError(f"limit: must be at most {MAX_LIMIT}; the cursor of a page goes on")
    return SearchRequest(wanted, tenant_id, principal, bool(newest_first), by, limit)


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
    from trailhouse.query.search_by_append import AppendFinder, AppendPosition
    from trailhouse.query.search_by_time import TimeFinder, TimePosition

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
    left_out = [] if reached is None else [_unseen(asked)]
    if cursor is None and asked.begins_at_now:
        left_out += events_ahead(clickhouse, asked.wanted, asked.tenant_id, meter, now_us)
    taken = light(finder.rows[: asked.limit])
    has_more = reached is not None or len(taken) < len(finder.rows)
    if len(taken) < len(finder.rows):
        reached = None
    items = with_records(clickhouse, taken)
    return Page(
        items=tuple(items),
        complete=not left_out,
        left_out=tuple(left_out),
        searched_back_to=_searched_to(taken, reached, asked) if has_more else None,
        as_of=as_of,
        next=finder.seal(cursors, asked.walk, len(taken), reached) if has_more else None,
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


def _unseen(asked: SearchRequest) -> LeftOut:
    what = "older events" if asked.newest_first else "newer events"
    return LeftOut(what=what, why=f"the budget was spent before they were looked at; {GO_ON}")


def _searched_to(taken: list[Row], reached: int | None, asked: SearchRequest) -> dt.datetime | None:
    if asked.by == "append":
        return None
    if reached is not None:
        return moment_of(reached)
    return moment_of(taken[-1].occurred_us) if taken else None
