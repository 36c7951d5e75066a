"""Find the runs or sessions of a page, newest start first: keys only, in windows of time that grow.

Something starts with its earliest event. Within a window every event from its lower end on is looked at, so
what starts in the window is known to, and what started before it shows when its row is read: it then belongs to
a window further back. So a page needs neither a table of runs nor an event that says that a run started.

How far the first window reaches is asked of what must be there: if every run that is wanted has an event of
agent X, then back to where the agent's latest events show as many runs begin. Where there are few such events at all,
they name the sessions.
"""

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any, NamedTuple, TypeVar

import msgspec

from trailhouse.query.budget import Meter
from trailhouse.store import ClickHouse

FIRST_WINDOW_ROWS = 20_000
"""So many events are enough to see how often runs and sessions begin."""
_ROOM_WITHOUT_WITNESS = 3
_ROOM_FOR_COPIES = 2
_ROOM_FOR_EARLIER = 1.25
"""How many more are to be seen than are wanted: some of them began before, which only their row tells."""
FEW_SESSIONS = 100
"""So many are read from the log by its key, which costs some milliseconds each, and not by a scan of the index."""
_WIDER = 6
_LEAST_WIDTH_US = 1_000_000
_WINDOWS_BY_TIME = 3
EARLIEST_US = -(2**62)
"""Before the year 1, with room to count down from."""


Row = TypeVar("Row")
Fetch = Callable[[Sequence[tuple[str, ...]]], dict[tuple[str, ...], tuple[int, Row]]]


class Position(NamedTuple):
    """Where a walk stands: a start, and the key of what started then."""

    start_us: int
    key: tuple[str, ...]


class Witness(NamedTuple):
    """A condition on an event that everything wanted has one of, and how many of them to expect of each."""

    condition: str
    of_each: int


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """What is walked over, and which of it is wanted; conditions are SQL, their values in `parameters`.

    Attributes:
        key: Columns that tell one from another.
        events_of_each: How many events one is likely to have.
        of_each: Conditions that hold for all events of one or for none: what else has them is not looked at.
        having: Conditions on all events of one, as aggregates.
        witnesses: What everything wanted has an event of.
        sessions: Selects of session ids from `low_us` on: what is wanted lies in a session of each of them.
        needs_once: Whether a copy of an event would change what `having` says.
        by_session: Whether the sessions are named, so that the log is read by its key and not the index.
        parameters: The values that the conditions name.
    """

    key: tuple[str, ...]
    events_of_each: int
    of_each: tuple[str, ...] = ()
    having: tuple[str, ...] = ()
    witnesses: tuple[Witness, ...] = ()
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

    @property
    def scope(self) -> str:
        """The conditions on every event."""
        return " AND ".join(self.of_each) or "true"


class Window(NamedTuple):
    """What starts from `low_us` to `high_us`, both included.

    Where little comes after it, all from its lower end on is read: to ask which sessions lie in it costs more.
    """

    low_us: int
    high_us: int
    little_after: bool = False


class _Seen(NamedTuple):
    """What some events back are: since when, how many, of how many runs or sessions, and the ids of a few sessions."""

    low_us: int
    rows: int
    keys: int
    sessions: list[str]


class Walker:
    """Walks over what a grouping wants, and knows how far it has come.

    Args:
        clickhouse: Where it is.
        grouping: What is wanted.
        start: Where to begin; what stands there itself is not met again.
        since_us: What started before is not wanted.
        now_us: What happened later is hardly anything.
        meter: What is left of the budget.
    """

    def __init__(
        self,
        clickhouse: ClickHouse,
        grouping: Grouping,
        start: Position,
        since_us: int | None,
        now_us: int,
        meter: Meter,
    ) -> None:
        self._clickhouse = clickhouse
        self._grouping = grouping
        self._bottom = EARLIEST_US if since_us is None else since_us
        self._now_us, self._meter = now_us, meter
        self.position = start
        """Everything before it, newest first, was met or is not wanted."""

    def met(self, fetch: "Fetch[Row]", at_once: int) -> Iterator[tuple[Position, Row]]:
        """Yield what lies behind the start, newest first, each with its position.

        Args:
            fetch: Returns for keys their earliest event's time and their row; one that is gone is left out.
            at_once: How many keys to look for at a time.

        Raises:
            StorageLimitError: The budget is spent; `position` says how far it was enough. Retriable.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        for window in self._windows(at_once):
            while True:
                found = self._keys(window, at_once)
                rows = fetch([each.key for each in found])
                for each in found:
                    # What has events before the window started before it.
                    if each.key in rows and rows[each.key][0] >= window.low_us:
                        yield each, rows[each.key][1]
                if len(found) < at_once:
                    break
                self.position = found[-1]
            self.position = Position(window.low_us, ("",) * len(self._grouping.key))

    def _windows(self, at_once: int) -> Iterator[Window]:
        """Yield windows back to the first event: first as far as is likely to do, then wider and wider, then all."""
        bottom, high_us = self._bottom, self.position.start_us
        if self._grouping.by_session:
            yield Window(bottom, high_us)
            return
        witnesses = self._grouping.witnesses
        # The more is asked for together, the fewer of each have it all.
        wanted = at_once * max(1, len(witnesses))
        lows = [
            self._low_us(
                each.condition, ceil(each.of_each * wanted * _ROOM_FOR_COPIES), wanted, high_us
            )
            for each in witnesses
        ] or [self._low_us("true", self._usual_rows(at_once), wanted, high_us)]
        low = min(lows)
        width = max(high_us - low, _LEAST_WIDTH_US)
        for _ in range(_WINDOWS_BY_TIME):
            yield Window(low, high_us, little_after=self._now_us - high_us <= high_us - low)
            if low == bottom:
                return
            high_us, width = low - 1, width * _WIDER
            low = max(high_us - width, bottom)
        yield Window(bottom, high_us)

    def _usual_rows(self, wanted: int) -> int:
        """Return how many events of any kind show where as many begin as are *wanted*, copies included."""
        usual = wanted * self._grouping.events_of_each * _ROOM_WITHOUT_WITNESS
        return min(usual, FIRST_WINDOW_ROWS)

    def _low_us(self, condition: str, rows: int, wanted: int, high_us: int) -> int:
        """Return since when as many begin as are *wanted*, by the last *rows* events that meet *condition*.

        It is the bottom if there are not so many.
        """
        keys = ceil(wanted * _ROOM_FOR_EARLIER)
        seen = self._count_back(condition, rows, keys, high_us)
        if seen.rows >= rows or seen.keys >= keys:
            return seen.low_us
        # What must be there may come after what starts in time: the few must be all of them.
        if self._grouping.having:
            seen = self._count_back(condition, rows, keys, -EARLIEST_US)
        if (
            seen.rows < rows
            and len(seen.sessions) <= FEW_SESSIONS
            and not self._grouping.by_session
        ):
            self._grouping = _within(self._grouping, seen.sessions)
        return self._bottom

    def _count_back(self, condition: str, rows: int, keys: int, high_us: int) -> _Seen:
        key = ", ".join(self._grouping.key)
        sql = f"""
            SELECT if(count() < {keys}, min(first_us), arrayReverseSort(groupArray(first_us))[{keys}]), sum(events),
                count(), groupUniqArray({FEW_SESSIONS + 1})(session_id)
            FROM (
                SELECT min(occurred_us) AS first_us, count() AS events, {key} FROM (
                    SELECT occurred_us, {key} FROM events_by_time_as_stored
                    WHERE {self._grouping.scope} AND {condition}
                        AND occurred_us BETWEEN {{low_us:Int64}} AND {{high_us:Int64}}
                    ORDER BY occurred_us DESC LIMIT {rows}
                ) GROUP BY {key}
            )
        """  # noqa: S608 - names of ours; every value is a bound parameter
        values = self._grouping.parameters | {"low_us": self._bottom, "high_us": high_us}
        [(low_us, found, of_keys, sessions)] = self._query(sql, values)
        return _Seen(int(low_us), int(found), int(of_keys), sessions)

    def _keys(self, window: Window, at_once: int) -> list[Position]:
        sql, parameters = keys_sql(self._grouping, window, self.position)
        rows = self._query(sql, parameters | {"at_once": at_once})
        return [Position(row[0], tuple(row[1:])) for row in rows]

    def _query(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._clickhouse.query(sql, parameters, settings=self._meter.settings()).rows


def _within(grouping: Grouping, sessions: list[str]) -> Grouping:
    """Return *grouping*, all of which lies in these few sessions."""
    return msgspec.structs.replace(
        grouping,
        of_each=(*grouping.of_each, "session_id IN {few_sessions:Array(String)}"),
        sessions=(),
        by_session=True,
        parameters=grouping.parameters | {"few_sessions": sessions},
    )


def keys_sql(grouping: Grouping, window: Window, before: Position) -> tuple[str, dict[str, Any]]:
    """Return the SELECT for starts and keys of a window behind *before*, and its values, `at_once` aside."""
    key = ", ".join(grouping.key)
    here = f"{grouping.scope} AND occurred_us >= {{low_us:Int64}}"
    within = f"{here} AND occurred_us <= {{high_us:Int64}}"
    rows = [within]
    if grouping.having:
        # All events of what may start here count, those after the window too.
        rows = [here]
        if not (grouping.by_session or window.little_after):
            behind = f"SELECT session_id FROM events_by_time_as_stored WHERE {within}"  # noqa: S608 - names of ours
            rows.append(f"(occurred_us <= {{high_us:Int64}} OR session_id IN ({behind}))")
        if not grouping.by_session:
            rows += [f"session_id IN ({select})" for select in grouping.sessions]
    names = {f"before_{place}": value for place, value in enumerate(before.key)}
    position = ", ".join(["{before_us:Int64}", *(f"{{{name}:String}}" for name in names)])
    having = " AND ".join(
        [f"(start_us, {key}) < ({position})", "start_us <= {high_us:Int64}", *grouping.having]
    )
    order = ", ".join(f"{name} DESC" for name in ("start_us", *grouping.key))
    sql = f"""
        SELECT min(occurred_us) AS start_us, {key} FROM {grouping.source}
        WHERE {" AND ".join(rows)} GROUP BY {key} HAVING {having}
        ORDER BY {order} LIMIT {{at_once:UInt32}}
    """  # noqa: S608 - names of ours; every value is a bound parameter
    values = {"low_us": window.low_us, "high_us": window.high_us, "before_us": before.start_us}
    return sql, grouping.parameters | names | values
