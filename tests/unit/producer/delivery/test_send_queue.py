"""What the outbox remembers of a broker that refuses."""

import pytest

from trailhouse.producer.delivery.send_queue import Outbox
from trailhouse.producer.receipt import Receipt
from trailhouse.producer.spool.queued_event import Delivery, QueuedEvent
from trailhouse.schemas.errors import DeliveryRejectedError

TROUBLE = DeliveryRejectedError("the broker refuses us", "_AUTHENTICATION")


def logged(outbox: Outbox) -> QueuedEvent:
    with outbox.lock:
        newest = outbox.journal.newest()
        queued = outbox.journal.append(newest, newest.seq, "id", b"key", b"record")
        outbox.admit()
    assert queued is not None, "expected nobody else to be faster"
    return queued


def test_a_trouble_that_nobody_waits_for_is_not_kept() -> None:
    """What the broker refused while nothing was queued does not meet a later event."""
    outbox = Outbox(10, 1_000)
    assert outbox.report_trouble(TROUBLE) is False
    logged(outbox)

    assert outbox.trouble is None


def test_a_trouble_is_new_once_and_ends_with_an_answer() -> None:
    """A trouble is told once however often it is reported, until the broker has answered."""
    outbox = Outbox(10, 1_000)
    queued = logged(outbox)
    assert [outbox.report_trouble(TROUBLE) for _ in range(3)] == [True, False, False]
    outbox.settle([(queued, Delivery("topic", 0, 0))])

    assert outbox.trouble is None
    assert Receipt(outbox, queued).result(0) == Delivery("topic", 0, 0)


def test_a_trouble_does_not_grow_with_those_it_is_told_to() -> None:
    """A trouble that is raised again and again holds no stack of the callers before."""
    outbox = Outbox(10, 1_000)
    queued = logged(outbox)
    outbox.report_trouble(TROUBLE)
    lengths: list[int] = []
    for _ in range(5):
        with pytest.raises(DeliveryRejectedError) as caught:
            Receipt(outbox, queued).result(0)
        lengths.append(len(caught.traceback))

    assert len(set(lengths)) == 1, f"expected stacks of one length, got {lengths}"
