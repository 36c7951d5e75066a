"""The outbox: events on their way to the broker, in order, bounded, each held until it is settled."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from trailhouse.schemas.config import LONGEST_WAIT_SECONDS
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


def bounded(timeout_seconds: float) -> float:
    """Return a wait that has a deadline: never longer than a day, and None is no time."""
    return min(float(timeout_seconds), LONGEST_WAIT_SECONDS)


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
        self._next_number = 0
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
        receipt.number = self._next_number
        self._next_number += 1
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
            self._acknowledged += 1
        self.trouble = None  # the broker has answered
        self._events -= 1
        self._bytes -= len(receipt.record)

    def report_trouble(self, trouble: BrokerRejectedError) -> bool:
        """Tell everyone who waits that the broker refuses; the events stay queued.

        Returns whether this is new. With nothing queued there is nobody to tell, and an old trouble
        must not meet a new event: librdkafka repeats itself for as long as the cause is there.
        """
        with self.lock:
            if not self._events or self.trouble is not None:
                self.trouble = trouble if self._events else None
                return False
            self.trouble = trouble
            wakers = self._take_all_wakers()
            self.lock.notify_all()
        for waker in wakers:
            waker()
        return True

    def close(self) -> None:
        """Refuse further events, and tell everyone who waits that nothing more will be sent."""
        with self.lock:
            self.is_closed = True
            wakers = self._take_all_wakers()
            self.lock.notify_all()
        for waker in wakers:
            waker()

    def _take_all_wakers(self) -> list[Callable[[], object]]:
        return [waker for receipt in (*self.sent, *self.waiting) for waker in receipt.take_wakers()]

    @property
    def _is_hopeless(self) -> bool:
        """Whether waiting on is no use for now: the broker refuses, or nothing more will be sent."""
        return self.trouble is not None or self.is_closed

    def wait_settled(self, receipt: Receipt, timeout_seconds: float) -> Delivery:
        """See `Receipt.result`."""
        with self.lock:
            self.lock.wait_for(
                lambda: receipt.is_settled or self._is_hopeless, bounded(timeout_seconds)
            )
            return self._outcome(receipt, timeout_seconds)

    async def wait_settled_async(self, receipt: Receipt, timeout_seconds: float) -> Delivery:
        """See `Receipt.__await__`."""
        import asyncio  # lazily: many users never await, and import time counts

        loop = asyncio.get_running_loop()
        settled = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there
                loop.call_soon_threadsafe(settled.set)

        with self.lock:
            if receipt.is_settled or self._is_hopeless:
                return self._outcome(receipt, timeout_seconds)
            receipt.add_waker(wake)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(settled.wait(), bounded(timeout_seconds))
        finally:
            with self.lock:
                receipt.remove_waker(wake)
        with self.lock:
            return self._outcome(receipt, timeout_seconds)

    def _outcome(self, receipt: Receipt, timeout_seconds: float) -> Delivery:
        if receipt.delivery is not None:
            return receipt.delivery
        if (error := receipt.refusal or self.trouble) is not None:
            raise error.with_traceback(None)  # else each raising would add to the one trouble
        if self.is_closed:
            raise ProducerClosedError(
                f"the audit logger was closed before event {receipt.event_id} was acknowledged:"
                " its outcome is unknown, log it again with the same event_id"
            )
        raise DeliveryTimeoutError(
            f"no acknowledgement of event {receipt.event_id} within {timeout_seconds:g} s;"
            " it stays queued: check that the broker is up, and ask the receipt again"
        )

    def wait_empty(self, timeout_seconds: float) -> None:
        """Return when every event that was added before this call is acknowledged or refused.

        Raises:
            BrokerRejectedError: The broker refuses; what it refuses as a whole stays queued.
            DeliveryTimeoutError: Some are not acknowledged within *timeout_seconds*; they stay queued.
            ProducerClosedError: The logger was closed before some were acknowledged.
        """
        with self.lock:
            end = self._next_number  # others may go on adding: their events are not waited for

            def is_done() -> bool:
                return self._oldest_number() >= end

            self.lock.wait_for(lambda: is_done() or self._is_hopeless, bounded(timeout_seconds))
            refusal, self._unreported_refusal = self._unreported_refusal, None
            if refusal is not None:
                raise refusal
            if is_done():
                return
            error = self.trouble or self._not_acknowledged(timeout_seconds)
            raise error.with_traceback(None)

    def _oldest_number(self) -> int:
        """Return the number of the oldest event that is not settled; the next one's if there is none."""
        for receipts in (self.sent, self.waiting):
            if receipts:
                return receipts[0].number
        return self._next_number

    def _not_acknowledged(self, timeout_seconds: float) -> DeliveryError:
        if self.is_closed:
            return ProducerClosedError(
                f"{self._events} events were not acknowledged when the audit logger was closed:"
                " their outcome is unknown"
            )
        return DeliveryTimeoutError(
            f"{self._events} events are not acknowledged after {timeout_seconds:g} s:"
            " check that the broker is up"
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
