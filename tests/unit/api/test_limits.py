"""Limits of a principal: by the clock, each for itself."""

import pytest

from trailhouse.api.limits import Limits


class Clock:
    """A clock that is turned by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


def limits(clock: Clock, requests: int = 60, concurrent: int = 100, size: int = 6_000) -> Limits:
    """Return limits that count by *clock*."""
    return Limits(
        requests_per_minute=requests, concurrent_requests=concurrent, bytes_per_minute=size, now=clock
    )  # fmt: skip


def test_requests_come_back_evenly(clock: Clock) -> None:
    """After a burst of a minute's worth one request a second is let in, and the wait that is told is enough."""
    counted = limits(clock)
    assert [counted.begin("a") for _ in range(60)] == [None] * 60
    refusal = counted.begin("a")
    assert refusal is not None
    assert (refusal.limit, round(refusal.wait_seconds, 6)) == ("requests_per_minute", 1.0)
    clock.now += refusal.wait_seconds
    assert counted.begin("a") is None
    assert counted.begin("a") is not None
    assert counted.begin("b") is None


def test_no_more_at_a_time_than_allowed(clock: Clock) -> None:
    """A request that ends makes room for one, and a refused one takes none."""
    counted = limits(clock, concurrent=2)
    assert [counted.begin("a"), counted.begin("a")] == [None, None]
    refusal = counted.begin("a")
    assert refusal is not None
    assert refusal.limit == "concurrent_requests"
    counted.end("a")
    assert counted.begin("a") is None
    assert counted.begin("a") is not None


def test_an_answer_of_many_bytes_is_paid_back(clock: Clock) -> None:
    """It goes out whole, and the next request waits as long as its bytes take."""
    counted = limits(clock, size=6_000)
    assert counted.begin("a") is None
    counted.sent("a", 12_000)
    refusal = counted.begin("a")
    assert refusal is not None
    assert (refusal.limit, round(refusal.wait_seconds)) == ("bytes_per_minute", 60)
    clock.now += refusal.wait_seconds
    assert counted.begin("a") is None


def test_a_clock_that_stands_gives_nothing(clock: Clock) -> None:
    """Nothing comes back but by time, and never more than a minute's worth."""
    counted = limits(clock, requests=3)
    clock.now += 86_400
    assert [counted.begin("a") is None for _ in range(4)] == [True, True, True, False]
