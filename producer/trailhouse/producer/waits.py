"""Waits for the broker's answers: for one event's, or for all."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

from trailhouse.schemas.config import LONGEST_WAIT_SECONDS
from trailhouse.schemas.errors import ConfigError, DeliveryTimeoutError, ProducerClosedError

if TYPE_CHECKING:
    from collections.abc import Generator

    from trailhouse.producer.outbox import Outbox
    from trailhouse.producer.receipt import Delivery, Receipt
    from trailhouse.schemas.errors import DeliveryError

_STAYS = "it stays in the spool, and the next logger or `trailhouse spool drain` sends it"
STAY = "they stay in the spool, and the next logger or `trailhouse spool drain` sends them"


def bounded(timeout_seconds: float) -> float:
    """Return a wait that has a deadline: never longer than a day; below 0 is none, and None is no time.

    Raises:
        ConfigError: It is not a number. Permanent; nothing was done.
    """
    timeout = float(timeout_seconds)
    if math.isnan(timeout):
        raise ConfigError(
            "timeout_seconds: must be a number of seconds, got one that is not a number"
        )
    return min(max(timeout, 0.0), LONGEST_WAIT_SECONDS)


def wait_settled(outbox: Outbox, receipt: Receipt, timeout_seconds: float) -> Delivery:
    """See `Receipt.result`."""
    timeout = bounded(timeout_seconds)
    with outbox.lock, _waiting(outbox):
        outbox.lock.wait_for(lambda: receipt.is_settled or outbox.is_hopeless, timeout)
        return _outcome(outbox, receipt, timeout_seconds)


async def wait_settled_async(outbox: Outbox, receipt: Receipt, timeout_seconds: float) -> Delivery:
    """See `Receipt.__await__`."""
    import asyncio  # lazily: many users never await, and import time counts

    timeout = bounded(timeout_seconds)
    loop = asyncio.get_running_loop()
    settled = asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there
            loop.call_soon_threadsafe(settled.set)

    with outbox.lock:
        if receipt.is_settled or outbox.is_hopeless:
            return _outcome(outbox, receipt, timeout_seconds)
        receipt.add_waker(wake)
    try:
        with contextlib.suppress(TimeoutError), _waiting(outbox):
            await asyncio.wait_for(settled.wait(), timeout)
    finally:
        with outbox.lock:
            receipt.remove_waker(wake)
    with outbox.lock:
        return _outcome(outbox, receipt, timeout_seconds)


@contextlib.contextmanager
def _waiting(outbox: Outbox) -> Generator[None]:
    """Let the sender know that it should not rest meanwhile."""
    with outbox.mutex:
        outbox.awaited += 1
    outbox.bell.ring()
    try:
        yield
    finally:
        with outbox.mutex:
            outbox.awaited -= 1


def _outcome(outbox: Outbox, receipt: Receipt, timeout_seconds: float) -> Delivery:
    if receipt.delivery is not None:
        return receipt.delivery
    if (error := receipt.refusal or outbox.trouble) is not None:
        raise error.with_traceback(None)  # else each raising would add to the one trouble
    if outbox.is_closed:
        raise ProducerClosedError(
            f"the audit logger was closed before event {receipt.event_id} was acknowledged: "
            + (
                _STAYS
                if outbox.is_durable
                else "its outcome is unknown, log it again with the same event_id"
            )
        )
    raise DeliveryTimeoutError(
        f"no acknowledgement of event {receipt.event_id} within {timeout_seconds:g} s;"
        " it stays queued: check that the broker is up, and ask the receipt again"
    )


def wait_empty(outbox: Outbox, timeout_seconds: float) -> None:
    """Return when every event that was added before this call is acknowledged or refused.

    Raises:
        DeliveryRejectedError: The broker refuses; what it refuses as a whole stays queued.
        SpoolUnavailableError: Events were damaged on the disk since the last call, and set aside.
        DeliveryTimeoutError: Some are not acknowledged within *timeout_seconds*; they stay queued.
        ProducerClosedError: The logger was closed before some were acknowledged.
    """
    if (waits := wait_settled_all(outbox, timeout_seconds)) is not None:
        raise waits.with_traceback(None)


def wait_settled_all(outbox: Outbox, timeout_seconds: float) -> DeliveryError | None:
    """Do what `wait_empty` does, but return why some still wait: they are safe where there is a spool.

    Raises:
        DeliveryRejectedError: The broker refused an event since the last call: it is set aside.
        SpoolUnavailableError: As `wait_empty`.
    """
    timeout = bounded(timeout_seconds)
    with outbox.lock:
        end = outbox.end_number  # others may go on adding: their events are not waited for

        def is_done() -> bool:
            return outbox.oldest_number() >= end

        with _waiting(outbox):
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
