"""Go through a span of time in slices, as far as the budget reaches: what was looked at has no holes."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from trailhouse.query.budget import Meter
from trailhouse.schemas.errors import StorageLimitError

FIRST_SLICE = 3_600_000_000
LEAST_SLICE = 1_000
_GROWTH, _SHRINK = 4, 8
_WHOLE_SHARE, _SLICE_SHARE = 0.5, 0.4
_QUICK_SHARE = 0.1
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


def go_through(meter: Meter, span: Span, look: Look, *, whole_first: bool = True) -> int | None:
    """Let *look* see all of *span*; return the first time that it did not see, None if it saw all or had enough.

    A statement that meets its limit is asked again over a shorter time, as long as the budget lasts.

    Args:
        meter: What the read may still cost.
        span: What to look at.
        look: Looks at one slice; what it saw of one that failed, it keeps or forgets by itself.
        whole_first: Whether to try all at once before going in slices.

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
    length = span.last - span.first + 1
    done, width = 0, FIRST_SLICE
    while done < length:
        if meter.is_spent:
            return _at(span, done)
        width = min(width, length - done)
        before = meter.seconds_left
        first, last = sorted((_at(span, done), _at(span, done + width - 1)))
        try:
            if look(first, last, meter.settings(_SLICE_SHARE)):
                return None
        except StorageLimitError:
            if width <= LEAST_SLICE:
                return _at(span, done)
            width = max(LEAST_SLICE, width // _SHRINK)
            continue
        done += width
        if before - meter.seconds_left < _QUICK_SHARE * before:
            width *= _GROWTH
    return None


def _at(span: Span, distance: int) -> int:
    return span.last - distance if span.newest_first else span.first + distance
