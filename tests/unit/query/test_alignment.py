"""Two sequences aligned: as many matches as there can be, and never more work than is bounded."""

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.query.steps.alignment import MAX_EDITS, aligned

letters = st.text("abc", max_size=30)


def longest_common(a: str, b: str) -> int:
    """Return the length of the longest common subsequence, by the textbook's table."""
    row = [0] * (len(b) + 1)
    for x in a:
        row_before, row = row, [0]
        for place, y in enumerate(b):
            row.append(row_before[place] + 1 if x == y else max(row_before[place + 1], row[place]))
    return row[-1]


@given(letters, letters)
def test_it_has_as_many_matches_as_there_can_be(a: str, b: str) -> None:
    """Each match is of equals, both places rise, and the textbook finds no more."""
    found = aligned(a, b)
    assert all(a[x] == b[y] for x, y in found.matches)
    for places in zip(*found.matches, strict=True):
        assert all(one < other for one, other in itertools.pairwise(places))
    assert found.is_longest
    assert len(found.matches) == longest_common(a, b)


def test_long_runs_that_differ_everywhere_take_bounded_work() -> None:
    """Beyond the bound it is an alignment still, and says that another may have more matches."""
    chance = random.Random(1)  # noqa: S311 - no secret
    a = [chance.randrange(3) for _ in range(6_000)]
    b = [chance.randrange(3) for _ in range(6_000)]
    found = aligned(a, b)
    assert not found.is_longest
    assert all(a[x] == b[y] for x, y in found.matches)
    assert len(found.matches) > 3_000
    same = aligned(a, a)
    assert same.is_longest
    assert same.matches == [(place, place) for place in range(6_000)]


def test_what_has_nothing_in_common_has_no_match() -> None:
    """Two long runs without a common step cost no more than looking at each."""
    found = aligned(range(20_000), range(20_000, 40_000))
    assert found.matches == []
    assert found.is_longest
    assert MAX_EDITS < 20_000
