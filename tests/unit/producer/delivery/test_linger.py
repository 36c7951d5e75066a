"""How long an event waits for others: a pause first, then the size of what has come."""

import pytest

from trailhouse.producer.delivery.linger import (
    BATCH_BYTES,
    BATCH_SECONDS,
    FULL_BYTES,
    LEAST_EVENT_BYTES,
    NEVER_BYTES,
    SHORTEST_SECONDS,
    Linger,
)

LINGER_SECONDS = 0.3
MANY = 1_000_000_000


def lingering(
    seconds: float = LINGER_SECONDS,
    *,
    events: int = MANY,
    size_bytes: int = MANY,
    sent_bytes: int = 1,
) -> Linger:
    """Return what lingers *seconds*, and has sent a batch of *sent_bytes* at 100 s of its clock."""
    linger = Linger(seconds, events, size_bytes)
    linger.note_sent(100.0, sent_bytes)
    return linger


def test_the_first_event_after_a_pause_goes_at_once() -> None:
    """One that nobody is to share a batch with yet waits for nothing."""
    assert Linger(LINGER_SECONDS, MANY, MANY).pause(0.0, 1).seconds == 0
    assert lingering().pause(100.0 + LINGER_SECONDS, 1).seconds == 0


@pytest.mark.parametrize(
    ("arrived_bytes", "wait_seconds", "wake_at_bytes"),
    [
        (1, LINGER_SECONDS - 0.01, BATCH_BYTES),
        (BATCH_BYTES, BATCH_SECONDS - 0.01, FULL_BYTES),
        (FULL_BYTES, 0, NEVER_BYTES),
    ],
)
def test_the_more_has_come_the_sooner_it_goes(
    arrived_bytes: int, wait_seconds: float, wake_at_bytes: int
) -> None:
    """A few events wait for the linger's end, a batch for the end of a short time, a full one for nothing."""
    pause = lingering().pause(100.01, arrived_bytes)
    assert tuple(pause) == pytest.approx((wait_seconds, wake_at_bytes))


def test_a_short_linger_is_kept_by_large_batches_too() -> None:
    """No batch waits longer than was asked for; none at all is as short as a turn can be."""
    assert lingering(0.02).pause(100.0, BATCH_BYTES).seconds == pytest.approx(0.02)
    assert lingering(0.0).pause(100.0, 1).seconds == pytest.approx(SHORTEST_SECONDS)


@pytest.mark.parametrize(
    "linger",
    [lingering(size_bytes=FULL_BYTES), lingering(events=FULL_BYTES // LEAST_EVENT_BYTES)],
)
def test_a_narrow_queue_is_emptied_long_before_it_is_full(linger: Linger) -> None:
    """Whatever bounds it, events or bytes: a quarter of it goes at once."""
    assert linger.pause(100.0, FULL_BYTES // 4).seconds == 0


def test_in_a_stream_the_next_batch_is_expected() -> None:
    """After twice a batch the sender sleeps a short while, and is woken by a full one alone."""
    linger = lingering(sent_bytes=2 * BATCH_BYTES)
    assert tuple(linger.pause(100.0, 0)) == pytest.approx((BATCH_SECONDS, FULL_BYTES))
    assert linger.pause(100.0 + BATCH_SECONDS, 1).wake_at_bytes == BATCH_BYTES
