"""Time to loss: what is left of the retention, at this rate."""

import math

import pytest

from trailhouse.consumer.monitoring.time_to_loss import TimeToLoss

HOUR = 3_600.0


def after_two_minutes(speed: float, *, age_seconds: float = HOUR, lag: int = 5) -> float:
    """Return the answer when the oldest record moves by *speed* seconds a second, 2 minutes on."""
    clock = TimeToLoss()
    answer = math.nan
    for second in range(121):
        oldest = 1_000.0 + speed * second
        answer = clock.seconds(
            {0: lag}, {0: oldest}, 2 * HOUR, 1_000.0 + age_seconds + float(second)
        )
    return answer


def test_standing_still_loses_the_rest_of_the_retention() -> None:
    """Without any speed it is retention less age."""
    assert after_two_minutes(0.0) == pytest.approx(HOUR - 120)


def test_a_slow_worker_has_longer() -> None:
    """At half the speed of the stream the time doubles."""
    assert after_two_minutes(0.5) == pytest.approx(2 * (HOUR - 60), rel=0.05)


def test_a_worker_that_keeps_up_loses_nothing() -> None:
    """At the speed of the stream, or without lag, it is infinite."""
    assert after_two_minutes(1.1) == math.inf
    assert after_two_minutes(0.0, lag=0) == math.inf


def test_it_is_never_negative() -> None:
    """What is older than the retention has no time left."""
    assert after_two_minutes(0.0, age_seconds=3 * HOUR) == 0.0


def test_unknown_is_said() -> None:
    """Records wait, but their age or the retention is not known yet."""
    assert math.isnan(TimeToLoss().seconds({0: 1}, {}, HOUR, 0.0))
    assert math.isnan(TimeToLoss().seconds({0: 1}, {0: 1.0}, None, 2.0))
    assert TimeToLoss().seconds({}, {}, None, 0.0) == math.inf


def test_the_worst_partition_counts() -> None:
    """Of several partitions the one that loses first is meant."""
    answer = TimeToLoss().seconds({0: 1, 1: 1}, {0: 90.0, 1: 50.0}, HOUR, 100.0)
    assert answer == pytest.approx(HOUR - 50)
