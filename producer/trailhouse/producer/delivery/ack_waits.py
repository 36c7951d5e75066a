"""Waits for the broker's answers to all events that were logged; for one event's, see `Receipt.result`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse.producer.receipt import bounded, waiting
from trailhouse.schemas.errors import DeliveryTimeoutError, ProducerClosedError

if TYPE_CHECKING:
    from trailhouse.producer.delivery.send_queue import SendQueue
    from trailhouse.schemas.errors import DeliveryError

STAY = "they stay in the spool, and the next logger or `trailhouse spool drain` sends them"


def wait_empty(queue: SendQueue, timeout_seconds: float) -> None:
    """Return when every event that was added before this call is acknowledged or refused.

    Raises:
        DeliveryRejectedError: The broker refuses. Permanent until mended; what it refuses as a whole stays queued.
        SpoolDamagedError: Events were damaged on the disk since the last call. Permanent: they are set aside.
        DeliveryTimeoutError: Some are not acknowledged within *timeout_seconds*. Retriable; they stay queued.
        ProducerClosedError: The logger was closed before some were acknowledged. Permanent.
    """
    if (waits := wait_settled_all(queue, timeout_seconds)) is not None:
        raise waits.with_traceback(None)


def wait_settled_all(queue: SendQueue, timeout_seconds: float) -> DeliveryError | None:
    """Do what `wait_empty` does, but return why some still wait: they are safe where there is a spool.

    Raises:
        DeliveryRejectedError: The broker refused an event since the last call. Permanent: it is set aside.
        SpoolDamagedError: As `wait_empty`.
    """
    timeout = bounded(timeout_seconds)
    with queue.lock:
        end = queue.end_number  # others may go on adding: their events are not waited for

        def is_done() -> bool:
            return queue.oldest_number() >= end

        with waiting(queue):
            queue.lock.wait_for(lambda: is_done() or queue.is_hopeless, timeout)
        refusal = queue.take_unreported_refusal()
        if refusal is not None:
            raise refusal
        return None if is_done() else queue.trouble or _not_acknowledged(queue, timeout_seconds)


def _not_acknowledged(queue: SendQueue, timeout_seconds: float) -> DeliveryError:
    if queue.is_closed:
        return ProducerClosedError(
            f"{queue.unsettled_events} events were not acknowledged when the audit logger was closed: "
            + (STAY if queue.is_durable else "their outcome is unknown")
        )
    return DeliveryTimeoutError(
        f"{queue.unsettled_events} events are not acknowledged after {timeout_seconds:g} s:"
        " check that the broker is up" + (f"; {STAY}" if queue.is_durable else "")
    )
