"""The curve of a day, and what was counted under it."""

import pytest
from benchmarks.day import Day, Sample, counted
from benchmarks.engine_counts import EngineCounts
from benchmarks.offered import events_of


def test_a_day_takes_its_time_and_begins_with_nothing() -> None:
    """Then come all events of the burst, much faster than any later one."""
    day = Day(seconds=1_200.0, peak=1_000.0, burst=100_000)
    night, burst, *rest = day.stretches
    assert sum(each.seconds for each in day.stretches) == pytest.approx(1_200.0)
    assert (night.events, burst.events) == (0, 100_000)
    assert night.seconds > 100
    assert burst.events_per_second > 10 * max(each.events_per_second for each in rest)


def test_a_burst_that_is_too_large_for_its_hour_is_logged_faster() -> None:
    """A day of a minute has all its events too, and one more by which the logger connects."""
    day = Day(seconds=60.0, peak=0.0, burst=100_000)
    assert sum(each.seconds for each in day.stretches) == pytest.approx(60.0)
    assert events_of(day.stretches) == 100_001


def sample(at: float, inserts: int, parts: int, active: int) -> Sample:
    """Return what the engine had counted *at* a time."""
    counts = {"inserts": inserts, "selects": 1, "merges": 0}
    return Sample(at, EngineCounts(counts, {"event_log": parts}), active)


def test_the_most_inserts_a_second_are_of_one_second_and_not_of_the_day() -> None:
    """A mean over the day would hide a burst."""
    found = counted([sample(0, 0, 0, 1), sample(1, 40, 20, 9), sample(10, 49, 25, 4)])
    assert found["inserts a second, at most"] == 40
    assert found["inserts a second, mean"] == pytest.approx(4.9)
    assert found["active parts of a partition, at most"] == 9
    assert found["parts of event_log, made"] == 25
