"""What wakes the sender: as much as it wants to be woken for, and somebody who waits for an answer."""

import signal
from types import FrameType

import pytest

from trailhouse.producer.delivery.linger import NEVER_BYTES
from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.delivery.wake_signal import WakeSignal
from trailhouse.producer.receipt import Receipt
from trailhouse.schemas.errors import DeliveryTimeoutError


def logged(queue: SendQueue) -> Receipt:
    """Log some event; return its receipt."""
    newest = queue.journal.newest()
    queued = queue.journal.append(newest, newest.seq, "id", b"session", b"record")
    assert queued is not None, "expected nobody else to be faster"
    queue.note_arrival(6)
    return Receipt(queue, queued)


def test_a_ring_ends_one_wait() -> None:
    """A signal is kept until somebody waits, and several before that are one."""
    wake_signal = WakeSignal()
    wake_signal.send()
    wake_signal.send()

    assert wake_signal.wait(0), "expected the signal before the wait to end it"
    assert not wake_signal.wait(0.01), "expected two signals to end one wait"


def test_a_signal_handler_may_ring_at_any_instant() -> None:
    """A handler that sends in the middle of sending does not wait for it."""
    wake_signal, handled = WakeSignal(), 0

    def handler(_number: int, _frame: FrameType | None) -> None:
        nonlocal handled
        handled += 1
        wake_signal.send()

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while handled < 50:
            wake_signal.send()
            wake_signal.wait(0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_the_sender_is_woken_by_as_much_as_it_wants() -> None:
    """Those before the event that makes it enough send no signal; the sender sets anew what is enough."""
    queue = SendQueue(10, 1_000)
    logged(queue)
    assert not queue.wake_signal.wait(0), "expected no signal while the sender takes its turn"

    queue.wake_at_bytes = 18
    logged(queue)
    assert not queue.wake_signal.wait(0), "expected no signal before there is enough"
    logged(queue)
    assert queue.wake_signal.wait(0), "expected a signal for what makes it enough"
    queue.wake_at_bytes = NEVER_BYTES
    logged(queue)
    assert not queue.wake_signal.wait(0), "expected no signal that nobody wants"


def test_any_event_wakes_a_sender_that_has_nothing_to_do() -> None:
    """Nothing is enough for one that sleeps without end: an event that is on the disk alone wakes it, too."""
    queue = SendQueue(10, 1_000)
    queue.wake_at_bytes = 0
    queue.note_arrival(0)

    assert queue.wake_signal.wait(0), "expected a signal for the first event"


def test_somebody_who_waits_is_counted_until_they_give_up() -> None:
    """The sender sees that an answer is awaited, from its first instant to its last."""
    queue = SendQueue(10, 1_000)
    receipt = logged(queue)
    counted: list[int] = []

    class Noting(WakeSignal):
        def send(self) -> None:
            counted.append(queue.awaited)
            super().send()

    queue.wake_signal = Noting()
    with pytest.raises(DeliveryTimeoutError):
        receipt.result(0.05)

    assert queue.wake_signal.wait(0), "expected a signal by the one who waits"
    assert counted == [1]
    assert queue.awaited == 0
