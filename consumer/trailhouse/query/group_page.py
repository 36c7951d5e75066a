"""One page of runs or sessions, from the question to the answer with its cursor."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from trailhouse.query.answer import LeftOut, Page
from trailhouse.query.cursor import Cursors, Walk
from trailhouse.query.filters import whole_number
from trailhouse.query.grammar import render
from trailhouse.query.newest_first import Grouping, Position, walk
from trailhouse.query.search_filter import SearchFilter
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouse

DEFAULT_LIMIT = 50
MAX_LIMIT = 1_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
Row = TypeVar("Row")
Fetch = Callable[[ClickHouse, Sequence[tuple[str, ...]]], dict[tuple[str, ...], tuple[int, Row]]]


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
    """

    what: str
    wanted: SearchFilter
    statuses: tuple[str, ...]
    tenant_id: str | None
    principal: str
    cursor: str | None
    limit: int


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
    bound = Walk(
        query=f"{asked.what} {','.join(sorted(asked.statuses))} {render(asked.wanted)}",
        order="newest start first",
        tenant_id=asked.tenant_id,
        principal=asked.principal,
    )
    start = _start(grouping, asked, cursors, bound, now)
    found = list(
        islice(
            walk(
                clickhouse,
                grouping,
                start,
                asked.wanted.since_us,
                lambda keys: fetch(clickhouse, keys),
                limit + 1,
            ),
            limit + 1,
        )
    )
    items = found[:limit]
    is_last = len(found) <= limit
    left_out: tuple[LeftOut, ...] = ()
    if asked.cursor is None and asked.wanted.until is None:
        left_out = _ahead(clickhouse, grouping, asked.what, _us(now))
    return Page(
        items=tuple(row for _, row in items),
        complete=not left_out,
        left_out=left_out,
        next=None if is_last else _sealed(items[-1][0], cursors, bound),
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


def _sealed(position: Position, cursors: Cursors, bound: Walk) -> str:
    return cursors.seal([position.start_us, *position.key], bound)


def _ahead(
    clickhouse: ClickHouse, grouping: Grouping, what: str, now_us: int
) -> tuple[LeftOut, ...]:
    """Return how many of them start later than now: their clocks are ahead, and they are on no page."""
    key = ", ".join(grouping.key)
    of_each = " AND ".join(grouping.of_each) or "true"
    ahead = f"SELECT session_id FROM events_by_time_as_stored WHERE occurred_us > {{now_us:Int64}} AND {of_each}"  # noqa: S608 - names of ours
    sql = f"""
        SELECT count() FROM (
            SELECT 1 FROM events WHERE session_id IN ({ahead}) AND {of_each}
            GROUP BY {key} HAVING min(occurred_us) > {{now_us:Int64}}
        )
    """  # noqa: S608 - names of ours; every value is a bound parameter
    [[count]] = clickhouse.query(sql, grouping.parameters | {"now_us": now_us}).rows
    if not count:
        return ()
    why = f"they start later than now by their own clocks; ask with until:9999-12-31T00:00:00Z to see these {what} too"
    return (LeftOut(what=f"{what} ahead of the clock", how_many=int(count), why=why),)


def _us(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)
