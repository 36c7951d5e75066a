"""Broker's times, against the order of the log and its anchors."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.operate.verify.leaves.clock_limits import (
    SKEW_MS,
    Bucket,
    Limit,
    Misdated,
    TimeCheck,
)
from trailhouse.store.tables import LATEST_MS

START_MS = 1_760_000_000_000
DAY_MS = 86_400_000
NOW_MS = START_MS + 100 * DAY_MS


def wrong(times: Sequence[int], limits: Sequence[Limit] = ()) -> list[Misdated | None]:
    """Return what is wrong with each of *times*, whose place is its offset."""
    check = TimeCheck(limits, NOW_MS)
    return [check.take(offset, at_ms) for offset, at_ms in enumerate(times)]


@pytest.mark.parametrize(
    ("at_ms", "what"),
    [
        (START_MS, None),
        (START_MS - SKEW_MS, None),
        (START_MS - DAY_MS, Misdated.BACK),
        (0, Misdated.NONE),
        (NOW_MS + DAY_MS, Misdated.AFTER_ANCHOR),
        (LATEST_MS - 1, Misdated.AFTER_ANCHOR),
        (LATEST_MS, Misdated.SENDER),
    ],
)
def test_a_time_that_cannot_be_is_told_and_moves_nothing(at_ms: int, what: Misdated | None) -> None:
    """Whatever one leaf says, those after it are judged by what was right before."""
    assert wrong([START_MS, at_ms, START_MS + 1]) == [None, what, None]


def test_a_leaf_is_not_younger_than_the_anchor_that_covers_it() -> None:
    """An anchor's clock a day behind is told by what it covers; the next counts from its size on."""
    limits = [Limit(1, START_MS + 5), Limit(2, START_MS - DAY_MS), Limit(3, START_MS + DAY_MS)]
    assert wrong([START_MS] * 4, limits) == [None, Misdated.AFTER_ANCHOR, None, None]


def test_a_worker_that_was_away_is_no_fault() -> None:
    """A leaf may be much older than its anchor, and much younger than the leaf before it."""
    times = [START_MS, START_MS + 40 * DAY_MS, START_MS + 41 * DAY_MS]
    assert wrong(times, [Limit(3, NOW_MS)]) == [None, None, None]


@given(
    st.lists(
        st.one_of(
            st.integers(START_MS, START_MS + 4 * SKEW_MS),
            st.sampled_from([0, 1, LATEST_MS, START_MS - DAY_MS, NOW_MS + DAY_MS]),
        ),
        max_size=40,
    ),
    st.integers(1, 9),
)
def test_a_clean_bucket_is_one_whose_leaves_are(times: list[int], size: int) -> None:
    """By buckets nothing is found less, and what is clean leaves the check as its leaves would."""
    limits = [Limit(7, START_MS + 2 * SKEW_MS), Limit(20, START_MS + 3 * SKEW_MS)]
    one, other = TimeCheck(limits, NOW_MS), TimeCheck(limits, NOW_MS)
    for start in range(0, len(times), size):
        part = times[start : start + size]
        most_back = max(max(part[: at + 1]) - part[at] for at in range(len(part)))
        bucket = Bucket(start, start + len(part) - 1, min(part), max(part), most_back)
        found = [one.take(start + at, at_ms) for at, at_ms in enumerate(part)]
        if other.is_clean(bucket):
            assert not any(found)
        else:
            assert found == [other.take(start + at, at_ms) for at, at_ms in enumerate(part)]
