"""Which times several parts of the index may hold, and so copies: elsewhere each row is an event of its own. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

MOST_TIMES = 64
"""In so many stretches a statement names the times; of more, those that lie next to each other are taken as one."""


class Part(NamedTuple):
    """One part of the index: its name, its rows, and its first and last time."""

    name: str
    rows: int
    first_us: int
    last_us: int

    @property
    def is_merged(self) -> bool:
        """Whether ClickHouse made it by a merge, which leaves one row of each event, as `FINAL` takes for granted.

        A part is called partition_least-block_greatest-block_level, and the level of an insert is 0.
        """
        level = self.name.split("_")[3:4]
        return bool(level) and level[0].isdigit() and int(level[0]) > 0


class PartTimes(NamedTuple):
    """What can be said of an index by its parts.

    Attributes:
        merged: The names of the parts that hold each event once.
        merged_rows: How many rows these have.
        shared: Times, both ends included, outside of which each row is an event; the first first.
        shared_rows: About how many rows lie there, if those of each part are spread evenly.
    """

    merged: frozenset[str]
    merged_rows: int
    shared: tuple[tuple[int, int], ...]
    shared_rows: int


def part_times(parts: Iterable[Part]) -> PartTimes:
    """Return what *parts* say of their index."""
    ordered = sorted(parts, key=lambda part: (part.first_us, part.last_us))
    merged = [part for part in ordered if part.is_merged]
    shared = _shared(ordered)
    return PartTimes(
        frozenset(part.name for part in merged),
        sum(part.rows for part in merged),
        shared,
        sum(_rows_within(part, shared) for part in ordered),
    )


def _shared(ordered: Sequence[Part]) -> tuple[tuple[int, int], ...]:
    """Return the times of which two parts may have rows, or one that was not merged."""
    found: list[tuple[int, int]] = []
    end: int | None = None
    for part in ordered:
        if not part.is_merged:
            found.append((part.first_us, part.last_us))
        elif end is not None and part.first_us <= end:
            found.append((part.first_us, min(part.last_us, end)))
        end = part.last_us if end is None else max(end, part.last_us)
    return _few(_joined(found))


def _joined(times: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(times):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _few(times: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return *times* with their smallest gaps taken in, until they are few."""
    if len(times) <= MOST_TIMES:
        return tuple(times)
    gaps = sorted(range(1, len(times)), key=lambda place: times[place][0] - times[place - 1][1])
    starts = [0, *sorted(gaps[len(times) - MOST_TIMES :])]
    ends = [*(place - 1 for place in starts[1:]), len(times) - 1]
    return tuple((times[a][0], times[b][1]) for a, b in zip(starts, ends, strict=True))


def _rows_within(part: Part, times: Iterable[tuple[int, int]]) -> int:
    width = part.last_us - part.first_us + 1
    within = (
        min(last, part.last_us) - max(first, part.first_us) + 1
        for first, last in times
        if first <= part.last_us and last >= part.first_us
    )
    return sum(part.rows * each // width for each in within)
