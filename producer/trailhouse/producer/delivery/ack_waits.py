"""Waits for the broker's answers to all events that were logged; for one event's, see `Receipt.result`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse.producer.receipt import bounded, waiting
from trailhouse.schemas.errors import DeliveryTimeoutError, ProducerClosedError

if TYPE_CHECKING:
    from trailhouse.producer.delivery.send_queue import Outbox
    from trailhouse.schemas.errors import DeliveryError

STAY = "they stay in the spool, and the next logger or `trailhouse spool drain` sends them"


def wait_empty(outbox: Outbox, timeout_seconds: float) -> None:
    """Return when every event that was added before this call is acknowledged or refused.

    Raises:
        DeliveryRejectedError: The broker refuses. Permanent until mended; what it refuses as a whole stays queued.
        SpoolDamagedError: Events were damaged on the disk since the last call. Permanent: they are set aside.
        DeliveryTimeoutError: Some are not acknowledged within *timeout_seconds*. Retriable; they stay queued.
        ProducerClosedError: The logger was closed before some were acknowledged. Permanent.
    """
    if (waits := wait_settled_all(outbox, timeout_seconds)) is not None:
        raise waits.with_traceback(None)


def wait_settled_all(outbox: Outbox, timeout_seconds: float) -> DeliveryError | None:
    """Do what `wait_empty` does, but return why some still wait: they are safe where there is a spool.

    Raises:
        DeliveryRejectedError: The broker refused an event since the last call. Permanent: it is set aside.
        SpoolDamagedError: As `wait_empty`.
    """
    timeout = bounded(timeout_seconds)
    with outbox.lock:
        end = outbox.end_number  # others may go on adding: their events are not waited for

        def is_done() -> bool:
            return outbox.oldest_number() >= end

        with waiting(outbox):
            outbox.lock.wait_for(lambda: is_done() or outbox.is_hopeless, timeout)
        refusal = outbox.take_unreported_refusal()
        if refusal is not None:
            raise refusal
        return None if is_done() else outbox.trouble or _not_acknowledged(outbox, timeout_seconds)


def _not_acknowledged(outbox: Outbox, timeout_seconds: float) -> DeliveryError:
    if outbox.is_closed:
        return ProducerClosedError(
            f"{outbox.unsettled_events} events were not acknowledged when the audit logger was closed: "
            + (STAY if outbox.is_durable else "their outcome is unknown")
        )
    return DeliveryTimeoutError(
        f"{outbox.unsettled_events} events are not acknowledged after {timeout_seconds:g} s:"
        " check that the broker is up" + (f"; {STAY}" if outbox.is_durable else "")
    )
