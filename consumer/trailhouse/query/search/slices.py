"""Go through a span of time in slices, as far as the budget reaches: what was looked at has no holes."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from trailhouse.query.budget import Meter
from trailhouse.schemas.errors import StorageLimitError
from trailhouse.store import ClickHouse

FIRST_SLICE = 3_600_000_000
LEAST_SLICE = 1_000
_GROWTH, _SHRINK = 4, 16
_WHOLE_SHARE, _SLICE_SHARE = 0.5, 0.4
_QUICK_SHARE = 0.1
_STEPS_OF_A_WALK = 10_000
"""A page that found nothing and came less far than this part of the rest leads nowhere in sensible time."""
FIRST_US = -62_135_596_800_000_000
"""The start of the year 1, in microseconds since 1970 UTC."""
LAST_US = 253_402_300_799_999_999
"""The end of the year 9999."""

Look = Callable[[int, int, Mapping[str, str]], bool]
"""Looks at the times from one to another, both included, with these settings; tells whether that is enough."""


class Span(NamedTuple):
    """Times from `first` to `last`, both included, and from which end to begin."""

    first: int
    last: int
    newest_first: bool = True


def go_through(
    meter: Meter,
    span: Span,
    look: Look,
    *,
    whole_first: bool = True,
    now_us: int | None = None,
    trim: "Callable[[], Trimmed] | None" = None,
) -> int | None:
    """Let *look* see all of *span*; return the first time that it did not see, None if it saw all or had enough.

    A statement that meets its limit is asked again over a shorter time, as long as the budget lasts.

    Args:
        meter: What the read may still cost.
        span: What to look at.
        look: Looks at one slice; what it saw of one that failed, it keeps or forgets by itself.
        whole_first: Whether to try all at once before going in slices.
        trim: Where all at once was too much, gives the span without the empty time at its ends.
        now_us: What lies ahead of this time is hardly anything, and is of the first slice.

    Raises:
        StorageError: As by *look*, but for a limit.
    """
    if span.first > span.last:
        return None
    if whole_first:
        try:
            look(span.first, span.last, meter.settings(_WHOLE_SHARE))
        except StorageLimitError:
            pass
        else:
            return None
        if trim is not None and not meter.is_spent:
            span, now_us = trim()
    return _by_slices(meter, span, look, now_us)


def _by_slices(meter: Meter, span: Span, look: Look, now_us: int | None) -> int | None:
    length = span.last - span.first + 1
    done, width = 0, FIRST_SLICE
    ahead = max(0, span.last - now_us) if now_us is not None and span.newest_first else 0
    while done < length:
        if meter.is_spent:
            return _at(span, done)
        taken = min(ahead + width, length - done)
        before = meter.seconds_left
        first, last = sorted((_at(span, done), _at(span, done + taken - 1)))
        try:
            if look(first, last, meter.settings(_SLICE_SHARE)):
                return None
        except StorageLimitError:
            if width <= LEAST_SLICE:
                return _at(span, done)
            width = max(LEAST_SLICE, min(width, length - done) // _SHRINK)
            continue
        done, ahead = done + taken, 0
        if before - meter.seconds_left < _QUICK_SHARE * before:
            width *= _GROWTH
    return None


def is_far(span: Span, reached: int) -> bool:
    """Tell whether from the beginning of *span* to *reached* is a step with which a walk comes to its end."""
    length = span.last - span.first + 1
    return abs(reached - _at(span, 0)) * _STEPS_OF_A_WALK >= length


class Trimmed(NamedTuple):
    """A span without the empty time at its ends, and up to which time most of it lies."""

    span: Span
    now_us: int


def trimmed(clickhouse: ClickHouse, span: Span, now_us: int) -> Trimmed:
    """Return *span* as far as there are events, and the time of the newest that does not lie ahead of now.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    oldest = _edge(clickhouse, span.first, span.last, "ASC")
    newest = _edge(clickhouse, span.first, min(span.last, now_us), "DESC")
    first = span.first if oldest is None else oldest
    return Trimmed(span._replace(first=first), now_us if newest is None else newest)


def _edge(clickhouse: ClickHouse, first: int, last: int, direction: str) -> int | None:
    sql = f"""
        SELECT occurred_us FROM events_by_time_as_stored
        WHERE occurred_us BETWEEN {{first_us:Int64}} AND {{last_us:Int64}}
        ORDER BY occurred_us {direction} LIMIT 1
    """  # noqa: S608 - no value in it
    rows = clickhouse.query(sql, {"first_us": first, "last_us": last}).rows
    return rows[0][0] if rows else None


def _at(span: Span, distance: int) -> int:
    return span.last - distance if span.newest_first else span.first + distance
