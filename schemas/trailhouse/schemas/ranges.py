"""Sets of whole numbers as ranges: offsets of a partition, numbers of a producer. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Range(NamedTuple):
    """The whole numbers from *first* to *last*, both inclusive."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return self.last - self.first + 1


class Ranges:
    """A set of whole numbers, kept as ranges that neither overlap nor touch, in order; immutable."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Iterable[tuple[int, int]] = ()) -> None:
        """Take the ranges in *parts*, in any order; one whose last is below its first is empty."""
        merged: list[Range] = []
        end = 0
        for first, last in sorted(parts):
            if last < first:
                continue
            if not merged or first > end + 1:
                merged.append(Range(first, last))
                end = last
            elif last > end:
                merged[-1] = Range(merged[-1].first, last)
                end = last
        self._parts = tuple(merged)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "Ranges":
        """Return the set of *numbers*."""
        parts: list[Range] = []
        first = last = None
        for number in sorted(numbers):
            if first is None or last is None:
                first = number
            elif number > last + 1:
                parts.append(Range(first, last))
                first = number
            last = number
        if first is not None and last is not None:
            parts.append(Range(first, last))
        return cls._in_order(parts)

    @classmethod
    def _in_order(cls, parts: Iterable[Range]) -> "Ranges":
        """Return the set of *parts*, which are as this keeps them: in order, none touching another."""
        found = cls()
        found._parts = tuple(parts)
        return found

    def __iter__(self) -> Iterator[Range]:
        return iter(self._parts)

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self._parts)

    def __repr__(self) -> str:
        return f"Ranges({[tuple(part) for part in self._parts]})"

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return sum(last - first + 1 for first, last in self._parts)

    @property
    def first(self) -> int | None:
        """Its lowest number, None when it is empty."""
        return self._parts[0].first if self._parts else None

    @property
    def last(self) -> int | None:
        """Its highest number, None when it is empty."""
        return self._parts[-1].last if self._parts else None

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._parts, number, key=lambda part: part.first)
        return place > 0 and number <= self._parts[place - 1].last

    def coalesced(self, distance: int) -> "Ranges":
        """Return a larger set of fewer ranges: those at most *distance* numbers apart are one."""
        wide = Ranges((part.first, part.last + distance) for part in self._parts)
        return Ranges((part.first, part.last - distance) for part in wide)

    def __or__(self, other: "Ranges") -> "Ranges":
        return Ranges((*self._parts, *other._parts))

    def __and__(self, other: "Ranges") -> "Ranges":
        common: list[Range] = []
        mine, theirs = iter(self._parts), iter(other._parts)
        one, two = next(mine, None), next(theirs, None)
        while one is not None and two is not None:
            first, last = max(one.first, two.first), min(one.last, two.last)
            if first <= last:
                common.append(Range(first, last))
            if one.last <= two.last:
                one = next(mine, None)
            else:
                two = next(theirs, None)
        return self._in_order(common)

    def __sub__(self, other: "Ranges") -> "Ranges":
        if not (self and other):
            return self
        left: list[Range] = []
        taken = other._parts
        place = 0
        for part in self._parts:
            begin, last = part
            while place < len(taken) and taken[place][1] < begin:
                place += 1
            at = place
            while at < len(taken) and taken[at][0] <= last:
                taken_first, taken_last = taken[at]
                if begin < taken_first:
                    left.append(Range(begin, taken_first - 1))
                begin = taken_last + 1
                at += 1
            if begin <= last:
                left.append(part if begin == part[0] else Range(begin, last))
        return self._in_order(left)
