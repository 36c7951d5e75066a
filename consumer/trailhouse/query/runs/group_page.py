"""One page of runs or sessions, from the question to the answer with its cursor."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from trailhouse.query.answer import LeftOut, Page
from trailhouse.query.budget import BUDGET_WAY_OUT, Meter, ReadBudget
from trailhouse.query.cursor import Cursors, Walk
from trailhouse.query.filtering.by_standing import counted_sql
from trailhouse.query.filtering.filters import whole_number
from trailhouse.query.filtering.grammar import render
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.local_time import time_of
from trailhouse.query.positions import stored_positions
from trailhouse.query.runs.newest_first import EARLIEST_US, Grouping, Position, Walker
from trailhouse.schemas.errors import QueryError, StorageLimitError
from trailhouse.store import ClickHouse

DEFAULT_LIMIT = 50
MAX_LIMIT = 1_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
Row = TypeVar("Row")
Counted = tuple[str, dict[str, Any]]
"""A condition on the events that count, and the values that it names."""
Fetch = Callable[
    [ClickHouse, Sequence[tuple[str, ...]], Meter, Counted], dict[tuple[str, ...], tuple[int, Row]]
]


class Asked(NamedTuple):
    """What a page is asked for beside its filter.

    Attributes:
        what: What it is a page of, as messages call it.
        wanted: The filter.
        statuses: Only those with one of these statuses; none: all.
        tenant_id: The one tenant that the reader sees; None sees all.
        principal: On whose behalf.
        cursor: Where to go on; None from the newest.
        limit: At most so many.
        budget: What it may cost.
    """

    what: str
    wanted: SearchFilter
    statuses: tuple[str, ...]
    tenant_id: str | None
    principal: str
    cursor: str | None
    limit: int
    budget: ReadBudget


def read_page(
    clickhouse: ClickHouse,
    grouping: Grouping,
    fetch: "Fetch[Row]",
    asked: Asked,
    cursors: Cursors,
    now: dt.datetime,
) -> Page[Row]:
    """Return the page that *asked* describes, newest start first.

    Raises:
        QueryError: The cursor or the limit is wrong. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    limit = page_limit(asked.limit)
    bound = _walk_of(asked)
    as_of, meter = stored_positions(clickhouse), Meter(asked.budget)
    counted = counted_sql(asked.wanted, "session_id IN {keys_session_id:Array(String)}")
    start = _start(grouping, asked, cursors, bound, now)
    walker = Walker(clickhouse, grouping, start, asked.wanted.since_us, _us(now), meter)
    found: list[tuple[Position, Row]] = []
    left_out: list[LeftOut] = []
    try:
        met = walker.met(lambda keys: fetch(clickhouse, keys, meter, counted), limit + 1)
        found.extend(islice(met, limit + 1))
        if asked.cursor is None and asked.wanted.until is None:
            left_out += _ahead(clickhouse, grouping, asked, _us(now), meter)
    except StorageLimitError:
        if len(found) <= limit:
            reached = min([walker.position, *(position for position, _ in found)])
            cursor = None if reached == start else _sealer(cursors, bound)(reached)
            return _partial(asked, found, reached, cursor, as_of)
        left_out.append(LeftOut(what=f"{asked.what} ahead of the clock", why=BUDGET_WAY_OUT))
    items = found[:limit]
    return Page(
        items=tuple(row for _, row in items),
        complete=not left_out,
        left_out=tuple(left_out),
        as_of=as_of,
        next=_sealer(cursors, bound)(items[-1][0]) if len(found) > limit else None,
    )


def _walk_of(asked: Asked) -> Walk:
    """Return what the cursor of this question is bound to."""
    return Walk(
        query=f"{asked.what} {','.join(sorted(asked.statuses))} {render(asked.wanted)}",
        order="newest start first",
        tenant_id=asked.tenant_id,
        principal=asked.principal,
        asked_at=asked.wanted.asked_at,
    )


def _partial(
    asked: Asked,
    found: list[tuple[Position, Row]],
    reached: Position,
    cursor: str | None,
    as_of: dict[str, int],
) -> Page[Row]:
    """Return what was found before the budget was spent, and how to go on from there, if it leads on."""
    why = f"the budget was spent; {BUDGET_WAY_OUT}" if cursor else asked.budget.larger
    return Page(
        items=tuple(row for _, row in found),
        complete=False,
        left_out=(LeftOut(what=f"older {asked.what}", why=why),),
        searched_back_to=time_of(reached.start_us),
        as_of=as_of,
        next=cursor,
    )


def page_limit(value: object) -> int:
    """Return *value* as the limit of a page.

    Raises:
        QueryError: It is not a whole number from 1 to MAX_LIMIT. Permanent.
    """
    limit = whole_number(value)
    if limit > MAX_LIMIT:
        raise QueryError(f"limit: must be at most {MAX_LIMIT}; go on with the cursor")
    return limit


def statuses_of(given: str | Iterable[str], allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the statuses that a caller names, one or several.

    Raises:
        QueryError: One of them is not a status. Permanent.
    """
    names = (given,) if isinstance(given, str) else tuple(given)
    if any(name not in allowed for name in names):
        raise QueryError(f"status: must be of {', '.join(allowed)}")
    return tuple(dict.fromkeys(names))


def _start(
    grouping: Grouping, asked: Asked, cursors: Cursors, bound: Walk, now: dt.datetime
) -> Position:
    if asked.cursor is None:
        until_us = asked.wanted.until_us
        newest_us = _us(now) if until_us is None else until_us
        return Position(newest_us + 1, ("",) * len(grouping.key))
    place = cursors.open(asked.cursor, bound, list[Any])
    return Position(place[0], tuple(place[1:]))


def _sealer(cursors: Cursors, bound: Walk) -> Callable[[Position], str]:
    return lambda position: cursors.seal([position.start_us, *position.key], bound)


def _ahead(
    clickhouse: ClickHouse, grouping: Grouping, asked: Asked, now_us: int, meter: Meter
) -> list[LeftOut]:
    """Return how many of them start later than now: their clocks are ahead, and they are on no page."""
    ahead = f"""
        SELECT session_id FROM events_by_time_as_stored
        WHERE occurred_us > {{now_us:Int64}} AND {grouping.scope}
    """  # noqa: S608 - names of ours
    having = ["min(occurred_us) > {now_us:Int64}", *grouping.having]
    sql = f"""
        SELECT count() FROM (
            SELECT 1 FROM events WHERE session_id IN ({ahead}) AND {grouping.scope}
            GROUP BY {", ".join(grouping.key)} HAVING {" AND ".join(having)}
        )
    """  # noqa: S608 - names of ours; every value is a bound parameter
    since_us = asked.wanted.since_us
    values = grouping.parameters | {
        "low_us": EARLIEST_US,
        "now_us": now_us if since_us is None else max(now_us, since_us - 1),
    }
    # What starts before the filter's time is not wanted, were it ahead of the clock or not. Most often nothing is: to
    # see that of the index alone takes a third of what it takes to count them.
    if not clickhouse.query(f"{ahead} LIMIT 1", values, settings=meter.settings()).rows:
        return []
    [[count]] = clickhouse.query(sql, values, settings=meter.settings()).rows
    if not count:
        return []
    why = (
        "they start later than now by their own clocks; ask with until:9999-12-31T00:00:00Z to see"
        f" these {asked.what} too"
    )
    return [LeftOut(what=f"{asked.what} ahead of the clock", how_many=int(count), why=why)]


def _us(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)
