"""Waits of a call of `log`: for room in memory or in the spool, for space on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse.producer.receipt import waiting
from trailhouse.producer.spool.journal import CLOSED
from trailhouse.schemas.errors import ProducerClosedError, QueueFullError, SpoolFullError

if TYPE_CHECKING:
    from trailhouse.producer.delivery.send_queue import SendQueue
    from trailhouse.schemas.errors import DeliveryError

DISK_SECONDS = 0.05


def wait_for_room(queue: SendQueue, timeout_seconds: float) -> None:
    """Return when one more event may be added; called under the send queue's lock.

    Raises:
        QueueFullError, SpoolFullError: No room within *timeout_seconds*. Retriable; nothing was queued.
        ProducerClosedError: The logger is closed. Permanent; nothing was queued.
    """
    if queue.refuses:
        raise ProducerClosedError(CLOSED)
    if queue.has_room():
        return
    with waiting(queue):  # for answers: they make room
        has_changed = queue.lock.wait_for(
            lambda: queue.has_room() or queue.refuses, timeout_seconds
        )
    if not has_changed:
        queue.queue_full_total += 1
        raise _no_room(queue, timeout_seconds) from queue.trouble
    wait_for_room(queue, 0)


def wait_for_disk(queue: SendQueue, deadline_seconds: float) -> bool:
    """Wait a moment for space on a full disk; False at *deadline_seconds* of the monotonic clock.

    Raises:
        ProducerClosedError: The logger was closed meanwhile. Permanent; nothing was logged.
    """
    remaining = deadline_seconds - queue.clock.monotonic_seconds()
    if remaining <= 0:
        queue.queue_full_total += 1
        return False
    with waiting(queue):  # for a turn of the sender: it makes space
        queue.lock.wait(min(remaining, DISK_SECONDS))
    if queue.refuses:
        raise ProducerClosedError(CLOSED)
    return True


def _no_room(queue: SendQueue, timeout_seconds: float) -> DeliveryError:
    found = queue.stats()
    if queue.root is not None:
        return SpoolFullError(
            f"the spool in {queue.root} holds {found.spool_bytes} bytes and none left within"
            f" {timeout_seconds:g} s; the event was not logged: check the broker, or raise"
            " TRAILHOUSE_PRODUCER_SPOOL_BYTES"
        )
    return QueueFullError(
        f"{found.queued_events} events ({found.queued_bytes} bytes) wait for the broker and none left within"
        f" {timeout_seconds:g} s: check the broker, or raise TRAILHOUSE_PRODUCER_QUEUE_EVENTS"
        " and TRAILHOUSE_PRODUCER_QUEUE_BYTES"
    )
