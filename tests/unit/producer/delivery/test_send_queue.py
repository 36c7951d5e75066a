"""What the send queue remembers of a broker that refuses."""

import pytest

from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.receipt import Receipt
from trailhouse.producer.spool.queued_event import Delivery, QueuedEvent
from trailhouse.schemas.errors import DeliveryRejectedError

TROUBLE = DeliveryRejectedError("the broker refuses us", "_AUTHENTICATION")


def logged(queue: SendQueue) -> QueuedEvent:
    with queue.lock:
        newest = queue.journal.newest()
        queued = queue.journal.append(newest, newest.seq, "id", b"key", b"record")
        queue.admit()
    assert queued is not None, "expected nobody else to be faster"
    return queued


def test_a_trouble_that_nobody_waits_for_is_not_kept() -> None:
    """What the broker refused while nothing was queued does not meet a later event."""
    queue = SendQueue(10, 1_000)
    assert queue.report_trouble(TROUBLE) is False
    logged(queue)

    assert queue.trouble is None


def test_a_trouble_is_new_once_and_ends_with_an_answer() -> None:
    """A trouble is told once however often it is reported, until the broker has answered."""
    queue = SendQueue(10, 1_000)
    queued = logged(queue)
    assert [queue.report_trouble(TROUBLE) for _ in range(3)] == [True, False, False]
    queue.settle([(queued, Delivery("topic", 0, 0))])

    assert queue.trouble is None
    assert Receipt(queue, queued).result(0) == Delivery("topic", 0, 0)


def test_a_trouble_does_not_grow_with_those_it_is_told_to() -> None:
    """A trouble that is raised again and again holds no stack of the callers before."""
    queue = SendQueue(10, 1_000)
    queued = logged(queue)
    queue.report_trouble(TROUBLE)
    lengths: list[int] = []
    for _ in range(5):
        with pytest.raises(DeliveryRejectedError) as caught:
            Receipt(queue, queued).result(0)
        lengths.append(len(caught.traceback))

    assert len(set(lengths)) == 1, f"expected stacks of one length, got {lengths}"
