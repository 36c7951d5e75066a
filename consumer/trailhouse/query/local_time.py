"""Hours, days and months of a named time zone, with its changes of the clock, for grouping within ClickHouse.

Python's zone decides, so every door and every version of ClickHouse gives the same hour. ClickHouse is given the
zone's offsets, one for each stretch of time on which it does not change, and adds them: exact for the years 1 to 9999.
"""

import datetime as dt
import zoneinfo
from bisect import bisect_right
from collections.abc import Iterable
from typing import Literal, NamedTuple

from trailhouse.schemas.errors import QueryError

Unit = Literal["hour", "day", "month"]
UNITS: tuple[Unit, ...] = ("hour", "day", "month")

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND_US = 1_000_000
HOUR_US = 3_600 * _SECOND_US
DAY_US = 24 * HOUR_US
_FIRST_DAY = (dt.date.min - dt.date(1970, 1, 1)).days
_LAST_DAY = (dt.date.max - dt.date(1970, 1, 1)).days


class Offsets(NamedTuple):
    """A zone's offsets from UTC: that of a moment is the one beside the last of `starts_us` before it."""

    starts_us: list[int]
    offsets_us: list[int]

    def at(self, moment_us: int) -> int:
        """Return the offset at *moment_us*."""
        return self.offsets_us[max(bisect_right(self.starts_us, moment_us) - 1, 0)]


def time_of(microseconds: int) -> dt.datetime:
    """Return the time that is so many microseconds from 1970 UTC; what Python has no date for is its first or last."""
    return _clamped(microseconds)


def zone_named(name: str) -> dt.tzinfo:
    """Return the time zone of the IANA name *name*.

    Raises:
        QueryError: There is no such zone. Permanent.
    """
    if name == "UTC":
        return dt.UTC  # needs no file of zones
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, TypeError) as error:
        raise QueryError(
            "zone: not a time zone that this machine knows; an IANA name such as UTC or Europe/Berlin"
        ) from error


def offsets_within(zone: dt.tzinfo, days: Iterable[int]) -> Offsets:
    """Return the offsets of *zone* on *days*, each a UTC day counted from 1970."""
    starts: list[int] = []
    offsets: list[int] = []
    for day in sorted(set(days)):
        _add_day(zone, day * 86_400, starts, offsets)
    return Offsets(starts, offsets) if starts else Offsets([0], [0])


def start_of(unit: Unit, local_us: int, zone: dt.tzinfo, offset_us: int) -> dt.datetime:
    """Return when the hour, day or month that *local_us* begins started, as a time of *zone*.

    Args:
        unit: What it is.
        local_us: Its first moment by the zone's own clock, microseconds from 1970.
        zone: The zone.
        offset_us: Of an hour: the zone's offset within it, which tells the two hours of an autumn night apart.

    Returns:
        The time, as `with_whole_minutes` has it.
    """
    if unit == "hour":
        return with_whole_minutes(in_zone(local_us - offset_us, zone))
    local = _clamped(local_us)
    return with_whole_minutes(local.replace(tzinfo=zone)) if has_local_time(local_us) else local


def with_whole_minutes(local: dt.datetime) -> dt.datetime:
    """Return the same moment with an offset that RFC 3339 can write.

    Before there were time zones, clocks had the sun's time: Berlin's was 53 minutes and 28 seconds ahead. Of such an
    offset the next whole minute is taken, so that hour and date stay what that clock showed.
    """
    offset = local.utcoffset() or dt.timedelta()
    beyond = -offset % dt.timedelta(minutes=1)
    return local.astimezone(dt.timezone(offset + beyond)) if beyond else local


def in_zone(moment_us: int, zone: dt.tzinfo) -> dt.datetime:
    """Return that time as *zone* has it; as UTC has it where it may have none."""
    found = _clamped(moment_us)
    return found.astimezone(zone) if has_local_time(moment_us) else found


def has_local_time(moment_us: int) -> bool:
    """Tell whether every zone has a time for that moment: the first and the last two days of all are read as UTC."""
    return _FIRST_DAY + 2 <= moment_us // DAY_US <= _LAST_DAY - 2


def month_of(local_day: int) -> int:
    """Return the first day of the month of *local_day*, both counted from 1970."""
    day = dt.date(1970, 1, 1) + dt.timedelta(days=min(max(local_day, _FIRST_DAY), _LAST_DAY))
    return (day.replace(day=1) - dt.date(1970, 1, 1)).days


def _add_day(zone: dt.tzinfo, first: int, starts: list[int], offsets: list[int]) -> None:
    """Add what begins within the 86,400 seconds from *first*: the offset there, and a change if there is one."""
    here, after = _offset(zone, first), _offset(zone, first + 86_400)
    _add(first, here, starts, offsets)
    if here == after:
        return
    low, high = first, first + 86_400
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == here else (low, middle)
    _add(high, after, starts, offsets)


def _add(second: int, offset_us: int, starts: list[int], offsets: list[int]) -> None:
    if not offsets or offsets[-1] != offset_us:
        starts.append(second * _SECOND_US)
        offsets.append(offset_us)


def _offset(zone: dt.tzinfo, second: int) -> int:
    if not has_local_time(second * _SECOND_US):
        return 0
    offset = (_EPOCH + dt.timedelta(seconds=second)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // dt.timedelta(microseconds=1)


def _clamped(moment_us: int) -> dt.datetime:
    first, last = _FIRST_DAY * DAY_US, (_LAST_DAY + 1) * DAY_US - 1
    return _EPOCH + dt.timedelta(microseconds=min(max(moment_us, first), last))
