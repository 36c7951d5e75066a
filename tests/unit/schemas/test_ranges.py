"""Sets of whole numbers as ranges, compared with Python's own sets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.schemas.ranges import Range, Ranges

numbers = st.frozensets(st.integers(0, 40), max_size=25)


def as_set(ranges: Ranges) -> set[int]:
    """Return the numbers themselves."""
    return {number for part in ranges for number in range(part.first, part.last + 1)}


@given(numbers, numbers)
def test_ranges_calculate_as_sets_do(left: frozenset[int], right: frozenset[int]) -> None:
    """Union, difference, section, size and ends are those of the sets."""
    a, b = Ranges.of(left), Ranges.of(right)
    assert as_set(a | b) == left | right
    assert as_set(a - b) == left - right
    assert as_set(a & b) == left & right
    assert (a.size, bool(a)) == (len(left), bool(left))
    assert all((number in a) == (number in left) for number in range(42))
    assert (a.first, a.last) == (min(left, default=None), max(left, default=None))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=10))
def test_ranges_neither_overlap_nor_touch(parts: list[tuple[int, int]]) -> None:
    """However they are given, what is kept is the shortest list, in order; empty ones are nothing."""
    ranges = Ranges(parts)
    kept = list(ranges)
    assert all(one.last + 1 < other.first for one, other in pairwise(kept))
    assert as_set(ranges) == {n for first, last in parts for n in range(first, last + 1)}
    assert ranges == Ranges(reversed(parts))


@given(numbers, st.integers(0, 10))
def test_coalesced_ranges_are_further_apart(numbers: frozenset[int], distance: int) -> None:
    """What lies close together becomes one range, and nothing is added at the ends."""
    ranges = Ranges.of(numbers)
    wide = ranges.coalesced(distance)
    assert not ranges - wide
    assert (wide.first, wide.last) == (ranges.first, ranges.last)
    assert all(other.first - one.last - 1 > distance for one, other in pairwise(wide))
    assert all(part.first in numbers and part.last in numbers for part in wide)


def test_a_huge_range_costs_nothing() -> None:
    """Numbers are not spelled out: 2**63 of them are as quick as one."""
    rest = Ranges([(0, 2**63)]) - Ranges.of([5])
    assert list(rest) == [Range(0, 4), Range(6, 2**63)]
