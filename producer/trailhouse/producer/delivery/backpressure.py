"""Waits of a call of `log`: for room in memory or in the spool, for space on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse.producer.spool.journal import CLOSED
from trailhouse.schemas.errors import ProducerClosedError, QueueFullError, SpoolFullError

if TYPE_CHECKING:
    from trailhouse.producer.delivery.send_queue import Outbox
    from trailhouse.schemas.errors import DeliveryError

DISK_SECONDS = 0.05


def wait_for_room(outbox: Outbox, timeout_seconds: float) -> None:
    """Return when one more event may be added; called under the outbox's lock.

    Raises:
        QueueFullError, SpoolFullError: No room within *timeout_seconds*. Retriable; nothing was queued.
        ProducerClosedError: The logger is closed. Permanent; nothing was queued.
    """
    if outbox.is_closed:
        raise ProducerClosedError(CLOSED)
    if outbox.has_room:
        return
    if not outbox.lock.wait_for(lambda: outbox.has_room or outbox.is_closed, timeout_seconds):
        outbox.queue_full_total += 1
        raise _no_room(outbox, timeout_seconds) from outbox.trouble
    wait_for_room(outbox, 0)


def wait_for_disk(outbox: Outbox, deadline_seconds: float) -> bool:
    """Wait a moment for space on a full disk; False at *deadline_seconds* of the monotonic clock.

    Raises:
        ProducerClosedError: The logger was closed meanwhile. Permanent; nothing was logged.
    """
    remaining = deadline_seconds - outbox.clock.monotonic_seconds()
    if remaining <= 0:
        outbox.queue_full_total += 1
        return False
    outbox.lock.wait(min(remaining, DISK_SECONDS))
    if outbox.is_closed:
        raise ProducerClosedError(CLOSED)
    return True


def _no_room(outbox: Outbox, timeout_seconds: float) -> DeliveryError:
    found = outbox.stats()
    if outbox.root is not None:
        return SpoolFullError(
            f"the spool in {outbox.root} holds {found.spool_bytes} bytes and none left within"
            f" {timeout_seconds:g} s; the event was not logged: check the broker, or raise"
            " TRAILHOUSE_PRODUCER_SPOOL_BYTES"
        )
    return QueueFullError(
        f"{found.queued_events} events ({found.queued_bytes} bytes) wait for the broker and none left within"
        f" {timeout_seconds:g} s: check the broker, or raise TRAILHOUSE_PRODUCER_QUEUE_EVENTS"
        " and TRAILHOUSE_PRODUCER_QUEUE_BYTES"
    )
