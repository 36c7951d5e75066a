"""The rows of a page in order of appending: by the broker's clock, and by offset within a partition.

They are read from the log as it is stored. A copy that was appended later is told from the first by its place: the
view `events` shows each event at its first.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trailhouse.query.budget import Meter
from trailhouse.query.cursor import Cursors, Walk
from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.words import words_where
from trailhouse.query.search.found import (
    KEY,
    LOG_COLUMNS,
    EventKey,
    Row,
    by_value_bytes,
    keys_where,
)
from trailhouse.query.search.request import SearchRequest
from trailhouse.query.search.slices import Span, go_through, is_far
from trailhouse.store import ClickHouse
from trailhouse.store.tables import LATEST_MS

_APPENDED_MS = "toUnixTimestamp64Milli(appended_at)"
_COORDINATES = f"{_APPENDED_MS}, kafka_topic_id, kafka_partition, kafka_offset"
_GROWTH, _MOST_AT_ONCE = 4, 2_000
_PLACE = "({place_ms:Int64}, {place_topic:String}, {place_partition:UInt16}, {place_offset:UInt64})"


class AppendPosition(NamedTuple):
    """Behind which place in Kafka a walk goes on; without a topic, from which time on."""

    appended_ms: int
    topic_id: str | None = None
    partition: int = 0
    offset: int = 0


class _Candidate(NamedTuple):
    """A row as stored: which event, and where this copy of it stands."""

    key: EventKey
    place: AppendPosition


class AppendFinder:
    """Finds the rows of one page in order of appending; as `Finder`."""

    def __init__(
        self, clickhouse: ClickHouse, asked: SearchRequest, place: AppendPosition | None
    ) -> None:
        self.rows: list[Row] = []
        self._places: list[AppendPosition] = []
        self._clickhouse, self._asked = clickhouse, asked
        self._behind = self._start = place
        self._direction = "DESC" if asked.newest_first else "ASC"
        self._condition, self._values = where(asked.wanted, tenant_id=asked.tenant_id)
        self._text, words = words_where(asked.wanted.words)
        self._values |= words
        first, last = 0, LATEST_MS
        if place is not None:
            first, last = (
                (first, place.appended_ms) if asked.newest_first else (place.appended_ms, last)
            )
        self._span = Span(first, last, asked.newest_first)

    def find(self, meter: Meter) -> int | None:
        """As `Finder.find`."""
        return go_through(meter, self._span, self._look)

    def has_advanced(self, taken: int, reached: int | None) -> bool:
        """As `Finder.has_advanced`."""
        # Copies that were looked at are behind it as well.
        return taken > 0 or (
            reached is not None and (self._behind != self._start or is_far(self._span, reached))
        )

    def seal(self, cursors: Cursors, walk: Walk, taken: int, reached: int | None) -> str:
        """As `Finder.seal`."""
        if reached is None:
            return cursors.seal(self._places[taken - 1], walk)
        # Candidates that were copies count too: everything up to the last one was looked at.
        behind = self._behind
        if behind is None or behind.topic_id is None or self._is_before(behind, reached):
            behind = AppendPosition(reached)
        return cursors.seal(behind, walk)

    def _look(self, first: int, last: int, settings: Mapping[str, str]) -> bool:
        width = 0
        while True:
            missing = self._asked.limit + 1 - len(self.rows)
            found = self._candidates(first, last, max(missing, width), settings)
            for part in by_value_bytes(found, lambda each: each.key):
                self._take_firsts(part, settings)
                if len(self.rows) > self._asked.limit:
                    return True
            # Mostly copies, as a resend of much leaves them: more of them at once, or they take a statement each few.
            is_mostly_copies = (self._asked.limit + 1 - len(self.rows)) * 2 > missing
            width = min(len(found) * _GROWTH, _MOST_AT_ONCE) if is_mostly_copies else 0
            # Fewer than asked for may come of copies at one place; none is the end.
            if not found:
                return False

    def _candidates(
        self, first: int, last: int, limit: int, settings: Mapping[str, str]
    ) -> list[_Candidate]:
        """Return the next rows as stored; first their times alone, so that most of most rows is never read."""
        times = self._select(
            _APPENDED_MS,
            first,
            last,
            f"ORDER BY {_APPENDED_MS} {self._direction} LIMIT {limit}",
            settings,
        )
        if not times:
            return []
        edge = times[-1][0]
        near = (edge, last) if self._asked.newest_first else (first, edge)
        order = ", ".join(f"{name} {self._direction}" for name in _COORDINATES.split(", "))
        end = f"ORDER BY {order} LIMIT 1 BY {_COORDINATES} LIMIT {limit}"
        rows = self._select(f"{KEY}, {_COORDINATES}", near[0], near[1], end, settings)
        return [_Candidate(EventKey(*row[:4]), AppendPosition(*row[4:])) for row in rows]

    def _select(
        self, columns: str, first: int, last: int, end: str, settings: Mapping[str, str]
    ) -> list[tuple[Any, ...]]:
        behind, values = "", {**self._values, "first_ms": first, "last_ms": last}
        if self._behind is not None and self._behind.topic_id is not None:
            behind = f"AND ({_COORDINATES}) {'<' if self._asked.newest_first else '>'} {_PLACE}"
            names = ("place_ms", "place_topic", "place_partition", "place_offset")
            values |= dict(zip(names, self._behind, strict=True))
        sql = f"""
            SELECT {columns} FROM events_as_stored
            WHERE appended_at >= fromUnixTimestamp64Milli({{first_ms:Int64}}, 'UTC')
                AND appended_at <= fromUnixTimestamp64Milli({{last_ms:Int64}}, 'UTC')
                AND {self._condition} AND {self._text} {behind}
            {end}
        """  # noqa: S608 - no value in it
        return self._clickhouse.query(sql, values, settings=settings).rows

    def _take_firsts(self, part: Sequence[_Candidate], settings: Mapping[str, str]) -> None:
        """Add those of *part* that are the first of their event's copies."""
        condition, values = keys_where([each.key for each in part])
        sql = f"SELECT {LOG_COLUMNS}, {_COORDINATES} FROM events WHERE {condition}"  # noqa: S608 - no value in it
        width = len(Row._fields)
        firsts: dict[tuple[EventKey, AppendPosition], Row] = {}
        for found in self._clickhouse.query(sql, values, settings=settings).rows:
            row = Row(*found[:width])
            firsts[row.key, AppendPosition(*found[width:])] = row
        for each in part:
            if len(self.rows) > self._asked.limit:
                return
            first = firsts.get((each.key, each.place))
            if first is not None:
                self.rows.append(first)
                self._places.append(each.place)
            self._behind = each.place

    def _is_before(self, place: AppendPosition, reached: int) -> bool:
        """Whether *place* comes before the time *reached* on this walk."""
        newest = self._asked.newest_first
        return place.appended_ms > reached if newest else place.appended_ms < reached
