"""The waits between attempts."""

from trailhouse.schemas.backoff import Backoff


def test_each_wait_is_twice_the_one_before_up_to_the_limit() -> None:
    """Waits double and stay at the longest, however many attempts there are."""
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next_seconds() for _ in range(5_000)][:5] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.next_seconds() == 3.0


def test_after_a_success_the_first_wait_comes_again() -> None:
    """What succeeded once is tried again soon when it fails anew."""
    backoff = Backoff(0.5, 3.0)
    grown = [backoff.has_grown]
    backoff.next_seconds()
    grown.append(backoff.has_grown)
    backoff.reset()
    grown.append(backoff.has_grown)
    assert grown == [False, True, False]
    assert backoff.next_seconds() == 0.5
