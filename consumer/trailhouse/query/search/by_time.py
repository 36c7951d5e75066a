"""The rows of a page in order of time.

Without words they are read in order from the index, copies included, which are cut afterwards: merging them first
would read everything. ClickHouse reads most columns of the rows that it returns alone, if nothing but the time orders
them; what happened at one moment is put in order here. Words need the records, which lie in the log by session: there
a slice of time is read whole.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

from trailhouse.query.budget import Meter
from trailhouse.query.cursor import Cursors, Walk
from trailhouse.query.filtering.by_standing import without_standing
from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.words import words_where
from trailhouse.query.search.found import KEY, LOG_COLUMNS, SMALL_COLUMNS, Row
from trailhouse.query.search.request import SearchRequest
from trailhouse.query.search.slices import (
    FIRST_US,
    LAST_US,
    Span,
    Trimmed,
    go_through,
    is_far,
    trimmed,
)
from trailhouse.store import ClickHouse

_MOST_AT_ONCE = 2_000
_FADES = 0.9
"""Of one search to the next, what is remembered of copies that are met no more."""
_ROOM = 1.25
"""How many more rows to ask for than the share of copies among those before makes likely."""
_BEHIND = (
    "({place_session:String}, {place_tenant:String}, toFixedString(unhex({place_key:String}), 16))"
)


_INDEX = "events_by_time_as_stored"


class TimePosition(NamedTuple):
    """Behind which event a walk goes on; without a session, from which time on."""

    occurred_us: int
    session_id: str | None = None
    tenant_id: str = ""
    record_key: bytes = b""


class CopiesMet:
    """The share of copies among the rows that searches of late have met: it says how many to ask for, and no answer."""

    def __init__(self) -> None:
        self._share = 0.0

    def note(self, rows: int, events: int) -> None:
        """Remember that *rows* were *events*."""
        self._share = max(1 - events / rows, self._share * _FADES)

    def rows_for(self, events: int) -> int:
        """Return how many rows are likely to be so many events: at least as many."""
        return min(ceil(events / (1 - self._share)), max(events, _MOST_AT_ONCE))


class TimeFinder:
    """Finds the rows of one page in order of time; as `Finder`."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        asked: SearchRequest,
        place: TimePosition | None,
        now_us: int,
        copies: CopiesMet,
    ) -> None:
        self.rows: list[Row] = []
        self._clickhouse, self._asked, self._place = clickhouse, asked, place
        self._now_us, self._copies = now_us, copies
        self._condition, self._values = where(
            asked.wanted,
            tenant_id=asked.tenant_id,
            within="occurred_us BETWEEN {first_us:Int64} AND {last_us:Int64}",
        )
        first, last = asked.wanted.since_us, asked.wanted.until_us
        first = FIRST_US if first is None else first
        last = (now_us if asked.begins_at_now else LAST_US) if last is None else last
        if place is not None:
            first, last = self._from(place.occurred_us, first, last)
        self._span = Span(first, last, asked.newest_first)
        self._direction = "DESC" if asked.newest_first else "ASC"
        self._order = ", ".join(f"{name} {self._direction}" for name in KEY.split(", "))

    def find(self, meter: Meter) -> int | None:
        """As `Finder.find`."""
        wanted = self._asked.wanted
        if not wanted.words and not without_standing(wanted)[1]:
            return go_through(
                meter, self._span, self._look, now_us=self._now_us, trim=self._trimmed
            )
        # What reads much of a slice begins with a small one: the standings of a year would be a set of all its events.
        self._trimmed()
        look = self._look_for_words if wanted.words else self._look
        return go_through(meter, self._span, look, whole_first=False, now_us=self._now_us)

    def _trimmed(self) -> Trimmed:
        trim = trimmed(self._clickhouse, self._span, self._now_us)
        self._span, self._now_us = trim
        return trim

    def has_advanced(self, taken: int, reached: int | None) -> bool:
        """As `Finder.has_advanced`."""
        return taken > 0 or (reached is not None and is_far(self._span, reached))

    def seal(self, cursors: Cursors, walk: Walk, taken: int, reached: int | None) -> str:
        """As `Finder.seal`."""
        place = TimePosition(*self.rows[taken - 1].key) if taken else None
        if reached is not None and (place is None or self._is_before(place.occurred_us, reached)):
            place = TimePosition(reached)
        return cursors.seal(place or TimePosition(self._span.last), walk)

    def _look(self, first: int, last: int, settings: Mapping[str, str]) -> bool:
        newest = self._asked.newest_first
        if self.rows:
            first, last = self._from(self.rows[-1].occurred_us, first, last)
        width = 0
        while first <= last:
            # One more than is missing: what happened at the last one's moment may not be all there.
            width = max(width, self._copies.rows_for(self._missing + 1))
            end = f"ORDER BY occurred_us {self._direction} LIMIT {width}"
            found = self._select(SMALL_COLUMNS, _INDEX, (first, last), end, settings)
            if len(found) < width:
                self._add(found)
                return not self._missing
            edge = found[-1][0]
            if whole := [row for row in found if row[0] != edge]:
                width = self._width(len(whole), self._add(whole))
                first, last = self._from(edge, first, last)
            else:
                # More happened at one moment than was asked for: ClickHouse puts that in order.
                self._take(_INDEX, SMALL_COLUMNS, (edge, edge), "", settings)
                first, last = self._from(edge - 1 if newest else edge + 1, first, last)
            if not self._missing:
                return True
        return False

    @property
    def _missing(self) -> int:
        """How many rows there are to find: one more than a page holds tells that more follow."""
        return self._asked.limit + 1 - len(self.rows)

    def _from(self, time: int, first: int, last: int) -> tuple[int, int]:
        """Return the times from *first* to *last* that are left of a walk which has come to *time*."""
        return (first, min(last, time)) if self._asked.newest_first else (max(first, time), last)

    def _width(self, read: int, added: int) -> int:
        """Return how many rows to read for those that are missing, as *added* were of *read*: the rest were copies."""
        return min(ceil(self._missing * _ROOM * read / max(added, 1)), _MOST_AT_ONCE)

    def _add(self, found: Sequence[tuple[Any, ...]]) -> int:
        """Add the rows of *found*, all that is there of its times, that come behind the last one; return how many."""
        newest = self._asked.newest_first
        place = self._last_place()
        behind = _rank(place) if place.session_id is not None else None
        once = {_rank(row := Row._make(each)): row for each in found}
        if found:
            self._copies.note(len(found), len(once))
        ranks = [
            rank
            for rank in sorted(once, reverse=newest)
            if behind is None or (rank < behind if newest else rank > behind)
        ][: self._missing]
        self.rows += (once[rank] for rank in ranks)
        return len(ranks)

    def _look_for_words(self, first: int, last: int, settings: Mapping[str, str]) -> bool:
        text, _ = words_where(self._asked.wanted.words)
        self._take("events_as_stored", LOG_COLUMNS, (first, last), f"AND {text}", settings)
        return not self._missing

    def _take(
        self,
        source: str,
        columns: str,
        between: tuple[int, int],
        more: str,
        settings: Mapping[str, str],
    ) -> None:
        """Add the rows of these times that come behind the last one."""
        end = f"ORDER BY {self._order} LIMIT 1 BY {KEY} LIMIT {self._missing}"
        found = self._select(columns, source, between, f"{more} {self._behind()} {end}", settings)
        self.rows += map(Row._make, found)

    def _behind(self) -> str:
        if self._last_place().session_id is None:
            return ""
        sign = "<" if self._asked.newest_first else ">"
        return (
            f"AND (occurred_us {sign} {{place_us:Int64}} OR occurred_us = {{place_us:Int64}}"
            f" AND (session_id, tenant_id, record_key) {sign} {_BEHIND})"
        )

    def _last_place(self) -> TimePosition:
        return TimePosition(*self.rows[-1].key) if self.rows else self._place or TimePosition(0)

    def _select(
        self,
        columns: str,
        source: str,
        between: tuple[int, int],
        end: str,
        settings: Mapping[str, str],
    ) -> list[tuple[Any, ...]]:
        place = self._last_place()
        values = {
            **self._values,
            **words_where(self._asked.wanted.words)[1],
            "first_us": between[0],
            "last_us": between[1],
            "place_us": place.occurred_us,
            "place_session": place.session_id or "",
            "place_tenant": place.tenant_id,
            "place_key": place.record_key.hex(),
        }
        sql = f"""
            SELECT {columns} FROM {source}
            WHERE {self._condition} AND occurred_us BETWEEN {{first_us:Int64}} AND {{last_us:Int64}}
            {end}
        """  # noqa: S608 - no value in it
        return self._clickhouse.query(sql, values, settings=settings).rows

    def _is_before(self, one: int, other: int) -> bool:
        """Whether *one* comes before *other* on this walk."""
        return one > other if self._asked.newest_first else one < other


def _rank(place: Row | TimePosition) -> tuple[int, bytes, bytes, bytes]:
    """Return what orders *place* among all, as ClickHouse compares text: by its bytes."""
    return (
        place.occurred_us,
        (place.session_id or "").encode(),
        place.tenant_id.encode(),
        place.record_key,
    )
