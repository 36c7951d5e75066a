"""Which days of a log have a manifest, and which offsets each is of, by the first record of each day. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trailhouse.proof.manifest import day_of, next_listed


class ListedDay(NamedTuple):
    """A day, its first offset, and the one after its last."""

    day: str
    first_offset: int
    end_offset: int


class FirstRecord(NamedTuple):
    """The first record of a log that the broker took on some day, whatever came before it."""

    offset: int
    at_ms: int


def listed_days(
    firsts: Iterable[FirstRecord], today: str, after: ListedDay | None = None
) -> Iterator[ListedDay]:
    """Yield the days that are finished and before *today*, in their order: each ends where a record of a later one is.

    Args:
        firsts: Of each day that any record is of: all of the log, or those from the end of *after* on.
        today: In UTC.
        after: The day before the first that is wanted; all days of the log without.
    """
    first = 0 if after is None else after.end_offset
    day = None if after is None else after.day
    is_listed = after is not None
    for offset, at_ms in sorted(firsts):
        reached = day_of(at_ms)
        if day is None:
            day = reached
        elif is_listed:
            day, is_listed = next_listed(day, reached), False
        while day < reached:
            if day >= today:
                return
            yield ListedDay(day, first, offset)
            first, day = offset, next_listed(day, reached)
