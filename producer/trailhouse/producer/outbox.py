"""The outbox: events on their way to the broker, in order, bounded, each held until it is settled."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from trailhouse.schemas.errors import (
    BrokerRejectedError,
    DeliveryTimeoutError,
    ProducerClosedError,
    QueueFullError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.producer.receipt import Delivery, Receipt
    from trailhouse.schemas.errors import DeliveryError


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one logger in this process since its start. Nothing is lost without one moving."""

    queued_events: int
    queued_bytes: int
    acknowledged_total: int
    refused_total: int
    queue_full_total: int


class Outbox:
    """All unsettled receipts in the order of their events. Safe for threads.

    `waiting` holds what the broker client does not have yet, `sent` what it has. `lock` guards all
    of it, and is what callers and the sender wait on.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.lock = threading.Condition()
        self.waiting: deque[Receipt] = deque()
        self.sent: deque[Receipt] = deque()
        self.trouble: BrokerRejectedError | None = None
        self.is_closed = False
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events = 0
        self._bytes = 0
        self._acknowledged = 0
        self._refused = 0
        self._queue_full = 0
        self._unreported_refusal: DeliveryError | None = None

    def abandon(self) -> None:
        """Leave the queue to the parent process: in a fork, another thread may have held the lock."""
        self.lock = threading.Condition()

    def wait_for_room(self, timeout_seconds: float) -> None:
        """Return when one more event may be added; called under `lock`.

        Raises:
            QueueFullError: No room within *timeout_seconds*. Retriable; nothing was queued.
            ProducerClosedError: The logger is closed. Permanent; nothing was queued.
        """
        if self.is_closed:
            raise ProducerClosedError("the audit logger is closed: make a new AuditLogger")
        if self._has_room():
            return
        if not self.lock.wait_for(lambda: self._has_room() or self.is_closed, timeout_seconds):
            self._queue_full += 1
            raise QueueFullError(
                f"{self._events} events ({self._bytes} bytes) wait for the broker and none left within"
                f" {timeout_seconds:g} s: check the broker, or raise TRAILHOUSE_PRODUCER_QUEUE_EVENTS"
                " and TRAILHOUSE_PRODUCER_QUEUE_BYTES"
            ) from self.trouble
        self.wait_for_room(0)

    def _has_room(self) -> bool:
        return self._events < self._max_events and self._bytes < self._max_bytes

    def add(self, receipt: Receipt) -> None:
        """Append *receipt* to `waiting`; called under `lock`."""
        self.waiting.append(receipt)
        self._events += 1
        self._bytes += len(receipt.record)

    def take_back(self) -> None:
        """Put everything sent but unsettled back in front of `waiting`, in order; under `lock`."""
        self.waiting.extendleft(
            receipt for receipt in reversed(self.sent) if not receipt.is_settled
        )
        self.sent.clear()

    def settle(self, outcomes: list[tuple[Receipt, Delivery | DeliveryError]]) -> None:
        """Record what the broker answered, and wake who waits for it."""
        wakers: list[Callable[[], object]] = []
        with self.lock:
            for receipt, outcome in outcomes:
                self._settle_one(receipt, outcome)
                wakers += receipt.take_wakers()
            while self.sent and self.sent[0].is_settled:
                self.sent.popleft()
            self.lock.notify_all()
        for waker in wakers:
            waker()

    def _settle_one(self, receipt: Receipt, outcome: Delivery | DeliveryError) -> None:
        if receipt.is_settled:
            return
        if isinstance(outcome, Exception):
            receipt.refusal = self._unreported_refusal = outcome
            self._refused += 1
        else:
            receipt.delivery = outcome
            self.trouble = None
            self._acknowledged += 1
        self._events -= 1
        self._bytes -= len(receipt.record)

    def report_trouble(self, trouble: BrokerRejectedError) -> None:
        """Tell everyone who waits that the broker refuses; the events stay queued."""
        with self.lock:
            self.trouble = trouble
            wakers = [
                waker for receipt in (*self.sent, *self.waiting) for waker in receipt.take_wakers()
            ]
            self.lock.notify_all()
        for waker in wakers:
            waker()

    def wait_settled(self, receipt: Receipt, timeout_seconds: float) -> Delivery:
        """See `Receipt.result`."""
        with self.lock:
            self.lock.wait_for(
                lambda: receipt.is_settled or self.trouble is not None, timeout_seconds
            )
            return self._outcome(receipt, timeout_seconds)

    async def wait_settled_async(self, receipt: Receipt, timeout_seconds: float) -> Delivery:
        """See `Receipt.__await__`."""
        import asyncio  # lazily: many users never await, and import time counts

        loop = asyncio.get_running_loop()
        settled = asyncio.Event()
        with self.lock:
            if not receipt.is_settled and self.trouble is None:
                receipt.add_waker(lambda: loop.call_soon_threadsafe(settled.set))
            else:
                settled.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(settled.wait(), timeout_seconds)
        with self.lock:
            return self._outcome(receipt, timeout_seconds)

    def _outcome(self, receipt: Receipt, timeout_seconds: float) -> Delivery:
        if receipt.delivery is not None:
            return receipt.delivery
        if (error := receipt.refusal or self.trouble) is not None:
            raise error
        raise DeliveryTimeoutError(
            f"no acknowledgement of event {receipt.event_id} within {timeout_seconds:g} s;"
            " it stays queued: check that the broker is up, and ask the receipt again"
        )

    def wait_empty(self, timeout_seconds: float) -> None:
        """Return when every event is acknowledged.

        Raises:
            BrokerRejectedError: The broker refuses; what it refuses as a whole stays queued.
            DeliveryTimeoutError: Some are not acknowledged within *timeout_seconds*; they stay queued.
        """
        deadline = time.monotonic() + timeout_seconds
        with self.lock:
            self.lock.wait_for(
                lambda: self._events == 0 or self.trouble is not None, deadline - time.monotonic()
            )
            refusal, self._unreported_refusal = self._unreported_refusal, None
            if (error := refusal or (self.trouble if self._events else None)) is not None:
                raise error
            if self._events:
                raise DeliveryTimeoutError(
                    f"{self._events} events are not acknowledged after {timeout_seconds:g} s;"
                    " they stay queued: check that the broker is up"
                )

    def stats(self) -> Stats:
        """Return the counters as they are now."""
        with self.lock:
            return Stats(
                queued_events=self._events,
                queued_bytes=self._bytes,
                acknowledged_total=self._acknowledged,
                refused_total=self._refused,
                queue_full_total=self._queue_full,
            )
