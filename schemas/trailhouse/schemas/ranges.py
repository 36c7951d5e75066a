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
        for first, last in sorted(parts):
            if last < first:
                continue
            if merged and first <= merged[-1].last + 1:
                merged[-1] = Range(merged[-1].first, max(merged[-1].last, last))
            else:
                merged.append(Range(first, last))
        self._parts = tuple(merged)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "Ranges":
        """Return the set of *numbers*."""
        parts: list[tuple[int, int]] = []
        for number in sorted(numbers):
            if parts and number <= parts[-1][1] + 1:
                parts[-1] = (parts[-1][0], number)
            else:
                parts.append((number, number))
        return cls(parts)

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
        return sum(part.size for part in self._parts)

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
        return self - (self - other) if self and other else Ranges()

    def __sub__(self, other: "Ranges") -> "Ranges":
        if not (self and other):
            return self
        left: list[tuple[int, int]] = []
        taken = list(other._parts)
        place = 0
        for first, last in self._parts:
            begin = first
            while place < len(taken) and taken[place].last < first:
                place += 1
            at = place
            while at < len(taken) and taken[at].first <= last:
                left.append((begin, taken[at].first - 1))
                begin = taken[at].last + 1
                at += 1
            left.append((begin, last))
        return Ranges(left)
