"""Find the runs or sessions of a page, newest start first: keys only, in windows of time that grow.

Something starts with its earliest event. Within a window every event from its lower end on is looked at, so
what starts in the window is known to, and what started before it shows when its row is read: it then belongs to
a window further back. So a page needs neither a table of runs nor an event that says that a run started.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from trailhouse.store import ClickHouse

FIRST_WINDOW_ROWS = 20_000
"""Some hundreds of recorded runs: most pages need no second window."""
_WIDER = 8
_WINDOWS_BY_TIME = 3
EARLIEST_US = -(2**62)
"""Before the year 1, with room to count down from."""


Row = TypeVar("Row")


class Position(NamedTuple):
    """Where a walk stands: a start, and the key of what started then."""

    start_us: int
    key: tuple[str, ...]


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """What is walked over, and which of it is wanted; conditions are SQL, their values in `parameters`.

    Attributes:
        key: Columns that tell one from another.
        of_each: Conditions that hold for all events of one or for none: what else has them is not looked at.
        having: Conditions on all events of one, as aggregates.
        sessions: Selects of session ids: what is wanted lies in a session of each of them.
        needs_once: Whether a copy of an event would change what `having` says.
        by_session: Whether the sessions are named, so that the log is read by its key and not the index.
        parameters: The values that the conditions name.
    """

    key: tuple[str, ...]
    of_each: tuple[str, ...] = ()
    having: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    needs_once: bool = False
    by_session: bool = False
    parameters: dict[str, Any] = {}

    @property
    def source(self) -> str:
        """The view that is read."""
        if self.by_session:
            return "events"
        return "events_by_time" if self.needs_once else "events_by_time_as_stored"


class Window(NamedTuple):
    """What starts from `low_us` to `high_us`, both included."""

    low_us: int
    high_us: int


def walk(
    clickhouse: ClickHouse,
    grouping: Grouping,
    start: Position,
    since_us: int | None,
    fetch: Callable[[Sequence[tuple[str, ...]]], dict[tuple[str, ...], tuple[int, Row]]],
    at_once: int,
) -> Iterator[tuple[Position, Row]]:
    """Yield what lies behind *start*, newest first, each with its position.

    Args:
        clickhouse: Where it is.
        grouping: What is wanted.
        start: Where to begin; what stands there itself is not yielded again.
        since_us: What started before is not wanted.
        fetch: Returns for keys their earliest event's time and their row; one that is gone is left out.
        at_once: How many keys to look for at a time.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    position = start
    for window in _windows(clickhouse, grouping, start.start_us, since_us):
        while True:
            found = _keys(clickhouse, grouping, window, position, at_once)
            rows = fetch([each.key for each in found])
            for each in found:
                # What has events before the window started before it.
                if each.key in rows and rows[each.key][0] >= window.low_us:
                    yield each, rows[each.key][1]
            if len(found) < at_once:
                break
            position = found[-1]


def _windows(
    clickhouse: ClickHouse, grouping: Grouping, high_us: int, since_us: int | None
) -> Iterator[Window]:
    """Yield windows back to the first event, or to *since_us*: first by rows, then wider and wider, then all."""
    bottom = EARLIEST_US if since_us is None else since_us
    if grouping.by_session:
        yield Window(bottom, high_us)
        return
    low = max(_low_us(clickhouse, grouping, bottom, high_us), bottom)
    width = high_us - low
    for _ in range(_WINDOWS_BY_TIME):
        yield Window(low, high_us)
        if low == bottom:
            return
        high_us, width = low - 1, width * _WIDER
        low = max(high_us - width, bottom)
    yield Window(bottom, high_us)


def _low_us(clickhouse: ClickHouse, grouping: Grouping, bottom: int, high_us: int) -> int:
    conditions = " AND ".join(
        [*grouping.of_each, "occurred_us BETWEEN {low_us:Int64} AND {high_us:Int64}"]
    )
    sql = f"""
        SELECT min(occurred_us), count() FROM (
            SELECT occurred_us FROM events_by_time_as_stored WHERE {conditions}
            ORDER BY occurred_us DESC LIMIT {FIRST_WINDOW_ROWS}
        )
    """  # noqa: S608 - names of ours; every value is a bound parameter
    low, rows = clickhouse.query(
        sql, grouping.parameters | {"low_us": bottom, "high_us": high_us}
    ).rows[0]
    return int(low) if rows == FIRST_WINDOW_ROWS else bottom


def _keys(
    clickhouse: ClickHouse, grouping: Grouping, window: Window, before: Position, at_once: int
) -> list[Position]:
    sql, parameters = keys_sql(grouping, window, before)
    rows = clickhouse.query(sql, parameters | {"at_once": at_once}).rows
    return [Position(row[0], tuple(row[1:])) for row in rows]


def keys_sql(grouping: Grouping, window: Window, before: Position) -> tuple[str, dict[str, Any]]:
    """Return the SELECT for starts and keys of a window behind *before*, and its values, `at_once` aside."""
    key = ", ".join(grouping.key)
    here = " AND ".join([*grouping.of_each, "occurred_us >= {low_us:Int64}"])
    within = f"{here} AND occurred_us <= {{high_us:Int64}}"
    rows = within
    if grouping.having:
        # All events of what may start here count, those after the window too.
        behind = f"session_id IN (SELECT session_id FROM events_by_time_as_stored WHERE {within})"  # noqa: S608 - names of ours
        rows = " AND ".join(
            [here]
            + ([] if grouping.by_session else [f"(occurred_us <= {{high_us:Int64}} OR {behind})"])
            + [f"session_id IN ({select})" for select in grouping.sessions]
        )
    names = {f"before_{place}": value for place, value in enumerate(before.key)}
    position = ", ".join(["{before_us:Int64}", *(f"{{{name}:String}}" for name in names)])
    having = " AND ".join(
        [f"(start_us, {key}) < ({position})", "start_us <= {high_us:Int64}", *grouping.having]
    )
    order = ", ".join(f"{name} DESC" for name in ("start_us", *grouping.key))
    sql = f"""
        SELECT min(occurred_us) AS start_us, {key} FROM {grouping.source}
        WHERE {rows} GROUP BY {key} HAVING {having}
        ORDER BY {order} LIMIT {{at_once:UInt32}}
    """  # noqa: S608 - names of ours; every value is a bound parameter
    values = {"low_us": window.low_us, "high_us": window.high_us, "before_us": before.start_us}
    return sql, grouping.parameters | names | values
