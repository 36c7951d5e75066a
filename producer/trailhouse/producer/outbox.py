"""The outbox: events on their way to the broker, in order, bounded, each held until it is settled."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from trailhouse.producer.receipt import Receipt
from trailhouse.schemas.config import LONGEST_WAIT_SECONDS
from trailhouse.schemas.errors import (
    BrokerRejectedError,
    DeliveryTimeoutError,
    ProducerClosedError,
    QueueFullError,
    SpoolFullError,
    SpoolUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from trailhouse.producer.backlog import Backlog
    from trailhouse.producer.receipt import Delivery
    from trailhouse.schemas.errors import DeliveryError


DISK_SECONDS = 0.05


def bounded(timeout_seconds: float) -> float:
    """Return a wait that has a deadline: never longer than a day, and None is no time."""
    return min(float(timeout_seconds), LONGEST_WAIT_SECONDS)


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one logger in this process since its start. Nothing is lost without one moving."""

    queued_events: int
    """Events that the broker has not acknowledged, in memory and in the spool."""
    queued_bytes: int
    """Bytes of those in memory."""
    spool_bytes: int
    """Bytes that the spool takes on the disk."""
    acknowledged_total: int
    adopted_total: int
    """Events of loggers that are gone, sent in their place."""
    refused_total: int
    """Events that the broker refused for good, or that were damaged on the disk: set aside in the spool."""
    queue_full_total: int
    lost_total: int
    """Events that were not acknowledged at `close` in mode ``memory``."""
    unlogged_total: int = 0
    """Events that telemetry reported and that could not be logged; our log says which, and why."""


class Bell:
    """Wakes one thread. Unlike `threading.Event` it may be rung in a signal handler at any instant."""

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """End a `wait`: one that goes on, or the next."""
        with contextlib.suppress(RuntimeError):  # it was rung before
            self._silence.release()

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, and tell whether there was one within *seconds*."""
        return self._silence.acquire(timeout=seconds)


class Outbox:
    """All unsettled receipts in the order of their events. Safe for threads.

    `waiting` holds what the broker client does not have yet, `sent` what it has. `lock` guards all
    of it, and is what callers wait on; `mutex` is the same, and quicker to take. The sender waits for the
    `bell`, which rings when something comes while it `is_resting`, and when an answer is `awaited`.
    With a *backlog*, each event is spooled first, and those that find no room in memory are read from
    there in their turn.
    """

    def __init__(self, max_events: int, max_bytes: int, backlog: Backlog | None = None) -> None:
        self.mutex = threading.RLock()
        self.lock = threading.Condition(self.mutex)
        self.bell = Bell()
        self.awaited = 0
        self.is_resting = False
        self.waiting: deque[Receipt] = deque()
        self.sent: deque[Receipt] = deque()
        self.trouble: BrokerRejectedError | None = None
        self.is_closed = False
        self._backlog = backlog
        self._arriving: list[Receipt] = []
        self._depth = 0
        self._lost = 0
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
        self.mutex = threading.RLock()
        self.lock = threading.Condition(self.mutex)
        if self._backlog is not None:
            self._backlog.forget()

    @property
    def is_durable(self) -> bool:
        """Whether events are spooled."""
        return self._backlog is not None

    def wait_for_room(self, timeout_seconds: float) -> None:
        """Return when one more event may be added; called under `lock`.

        Raises:
            QueueFullError, SpoolFullError: No room within *timeout_seconds*. Retriable; nothing was queued.
            ProducerClosedError: The logger is closed. Permanent; nothing was queued.
        """
        if self.is_closed:
            raise ProducerClosedError("the audit logger is closed: make a new AuditLogger")
        if self.has_room:
            return
        if not self.lock.wait_for(lambda: self.has_room or self.is_closed, timeout_seconds):
            self._queue_full += 1
            if self._backlog is not None:
                raise SpoolFullError(
                    f"the spool in {self._backlog.root} holds {self._backlog.used_bytes} bytes and none left within"
                    f" {timeout_seconds:g} s; the event was not logged: check the broker, or raise"
                    " TRAILHOUSE_PRODUCER_SPOOL_BYTES"
                ) from self.trouble
            raise QueueFullError(
                f"{self._events} events ({self._bytes} bytes) wait for the broker and none left within"
                f" {timeout_seconds:g} s: check the broker, or raise TRAILHOUSE_PRODUCER_QUEUE_EVENTS"
                " and TRAILHOUSE_PRODUCER_QUEUE_BYTES"
            ) from self.trouble
        self.wait_for_room(0)

    def wait_for_disk(self, deadline_seconds: float) -> bool:
        """Wait a moment for space on a full disk; False at *deadline_seconds* of the monotonic clock.

        Raises:
            ProducerClosedError: The logger was closed meanwhile. Permanent; nothing was logged.
        """
        remaining = deadline_seconds - time.monotonic()
        if remaining <= 0:
            self._queue_full += 1
            return False
        self.lock.wait(min(remaining, DISK_SECONDS))
        if self.is_closed:
            raise ProducerClosedError("the audit logger is closed: make a new AuditLogger")
        return True

    def _has_room(self) -> bool:
        return self._events < self._max_events and self._bytes < self._max_bytes

    @property
    def has_room(self) -> bool:
        """Whether `wait_for_room` would return at once."""
        return not self.is_closed and (
            self._has_room() if self._backlog is None else self._backlog.has_room
        )

    def add(self, receipt: Receipt) -> None:
        """Append *receipt* to `waiting`, after it is spooled; called under `lock`.

        Raises:
            SpoolFullError, SpoolUnavailableError: It was not spooled. Retriable; nothing was queued.
        """
        self._depth += 1
        try:
            if self._backlog is None:
                receipt.number = self._next_number
                self._next_number += 1
            else:
                self._backlog.append(receipt)
            self._arriving.append(receipt)
        finally:
            self._depth -= 1
            if not self._depth:
                self._let_in()

    def _let_in(self) -> None:
        """Queue what has arrived, in spool order: a signal handler may have logged between two steps."""
        arrived, self._arriving = self._arriving, []
        if len(arrived) > 1:
            arrived.sort(key=attrgetter("number"))
        backlog = self._backlog
        for receipt in arrived:
            if backlog is not None and (
                backlog.has_unread_before(receipt)
                or self._events >= self._max_events
                or self._bytes >= self._max_bytes
            ):
                backlog.leave(receipt)
                continue
            # First: what is logged in between must see that it is behind this.
            self.waiting.append(receipt)
            self._events += 1
            self._bytes += len(receipt.record)
            if backlog is not None:
                backlog.pass_by(receipt)
        if self.is_resting:
            self.is_resting = False
            self.bell.ring()

    def _queue(self, receipt: Receipt) -> None:
        self.waiting.append(receipt)
        self._events += 1
        self._bytes += len(receipt.record)

    def refill(self) -> None:
        """Read on in the backlog as far as there is room; called by the sender.

        Raises:
            SpoolUnavailableError: The spool cannot be read. Retriable once that is mended.
        """
        backlog = self._backlog
        if backlog is None:
            return
        wakers: list[Callable[[], object]] = []
        with self.lock:
            while self._has_room() and backlog.has_unread:
                receipts = backlog.read(self._make)
                if receipts is None:
                    break
                for receipt in receipts:
                    self._queue(receipt)
                wakers += self._refuse_damaged(*backlog.take_damaged())
                self.lock.notify_all()
            backlog.inheritance.end_turn()
        for waker in wakers:
            waker()

    def _refuse_damaged(self, count: int, held: list[Receipt]) -> list[Callable[[], object]]:
        if count:
            self._refused += count
            self._unreported_refusal = SpoolUnavailableError(
                f"{count} events were damaged in the spool, or removed from it; what is left of them is set aside there"
            )
        for receipt in held:
            receipt.refusal = SpoolUnavailableError(
                f"event {receipt.event_id} was damaged in the spool, or removed from it"
            )
        return [waker for receipt in held for waker in receipt.take_wakers()]

    def _make(self, event_id: str, key: bytes, record: bytes) -> Receipt:
        return Receipt(self, event_id, key, record)

    def adopt(self, *, min_age_seconds: float = 0.0, any_destination: bool = False) -> bool:
        """Take over the spools of loggers that are gone; tell whether there were any."""
        if self._backlog is None:
            return False
        inheritance = self._backlog.inheritance
        found = inheritance.find(min_age_seconds=min_age_seconds, any_destination=any_destination)
        with self.lock:
            if not min_age_seconds:
                inheritance.await_turn()
            is_heir = inheritance.line_up(found)
            inheritance.end_turn()
            return is_heir

    def has_orphans(self) -> bool:
        """Tell whether there are spools to adopt."""
        return self._backlog is not None and self._backlog.inheritance.has_orphans()

    def take_unsynced(self) -> list[int]:
        """Return the spool's files that are to be forced to the disk, outside the lock."""
        if self._backlog is None:
            return []
        with self.lock:
            return self._backlog.take_unsynced()

    def renew_spool(self) -> None:
        """Begin a new spool if somebody has removed the files of ours.

        Raises:
            SpoolFullError, SpoolUnavailableError: It cannot be made. Retriable.
        """
        backlog = self._backlog
        if backlog is None or not backlog.is_gone:
            return
        with self.lock:
            backlog.renew([*self.sent, *self.waiting])
            wakers = self._refuse_damaged(*backlog.take_damaged())
            self.lock.notify_all()
        for waker in wakers:
            waker()

    def keep_refused(self, receipt: Receipt) -> None:
        """Set an event aside that the broker refuses for good, where there is a spool."""
        if self._backlog is not None:
            with self.lock:
                self._backlog.keep_refused(receipt)

    def take_back(self) -> None:
        """Put everything sent back in front of `waiting`, in order; under `lock`.

        What is settled among it stays in its place: a spool is settled in order.
        """
        self.waiting.extendleft(reversed(self.sent))
        self.sent.clear()

    def settle(self, outcomes: list[tuple[Receipt, Delivery | DeliveryError]]) -> None:
        """Record what the broker answered, and wake who waits for it."""
        wakers: list[Callable[[], object]] = []
        with self.lock:
            if outcomes:
                self.trouble = None  # the broker has answered
            for receipt, outcome in outcomes:
                if receipt.delivery is None and receipt.refusal is None:
                    if isinstance(outcome, Exception):
                        self._refuse(receipt, outcome)
                    else:
                        receipt.delivery = outcome
                        self._acknowledged += 1
                    self._events -= 1
                    self._bytes -= len(receipt.record)
                    receipt.record = b""  # a caller may keep a million receipts
                if receipt.wakers is not None:
                    wakers += receipt.take_wakers()
            self.lock.notify_all()  # they go on when we let go of the lock
            self._free_settled()
        for waker in wakers:
            waker()

    def _free_settled(self) -> None:
        last: Receipt | None = None
        sent = self.sent
        while sent and (sent[0].delivery is not None or sent[0].refusal is not None):
            receipt = sent.popleft()
            if last is not None and last.source is not receipt.source:
                _settle_source(last)
            last = receipt
        if last is not None:
            _settle_source(last)

    def _refuse(self, receipt: Receipt, error: DeliveryError) -> None:
        receipt.refusal = self._unreported_refusal = error
        self._refused += 1

    def report_trouble(self, trouble: BrokerRejectedError) -> bool:
        """Tell everyone who waits that the broker refuses; the events stay queued.

        Returns whether this is new. With nothing queued there is nobody to tell, and an old trouble
        must not meet a new event: librdkafka repeats itself for as long as the cause is there.
        """
        with self.lock:
            if not self._unsettled_events or self.trouble is not None:
                self.trouble = trouble if self._unsettled_events else None
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
            if self._backlog is None:
                self._lost = self._events
            else:
                self._backlog.close()
            self.lock.notify_all()
        for waker in wakers:
            waker()

    def _take_all_wakers(self) -> list[Callable[[], object]]:
        left = [] if self._backlog is None else self._backlog.left_receipts()
        return [
            waker
            for receipt in (*self.sent, *self.waiting, *left)
            for waker in receipt.take_wakers()
        ]

    @property
    def _is_hopeless(self) -> bool:
        """Whether waiting on is no use for now: the broker refuses, or nothing more will be sent."""
        return self.trouble is not None or self.is_closed

    def wait_settled(self, receipt: Receipt, timeout_seconds: float) -> Delivery:
        """See `Receipt.result`."""
        with self.lock, self._waiting():
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
            with contextlib.suppress(TimeoutError), self._waiting():
                await asyncio.wait_for(settled.wait(), bounded(timeout_seconds))
        finally:
            with self.lock:
                receipt.remove_waker(wake)
        with self.lock:
            return self._outcome(receipt, timeout_seconds)

    @contextlib.contextmanager
    def _waiting(self) -> Generator[None]:
        """Let the sender know that it should not rest meanwhile."""
        with self.mutex:
            self.awaited += 1
        self.bell.ring()
        try:
            yield
        finally:
            with self.mutex:
                self.awaited -= 1

    def _outcome(self, receipt: Receipt, timeout_seconds: float) -> Delivery:
        if receipt.delivery is not None:
            return receipt.delivery
        if (error := receipt.refusal or self.trouble) is not None:
            raise error.with_traceback(None)  # else each raising would add to the one trouble
        if self.is_closed:
            raise ProducerClosedError(
                f"the audit logger was closed before event {receipt.event_id} was acknowledged: "
                + (
                    _STAYS
                    if self.is_durable
                    else "its outcome is unknown, log it again with the same event_id"
                )
            )
        raise DeliveryTimeoutError(
            f"no acknowledgement of event {receipt.event_id} within {timeout_seconds:g} s;"
            " it stays queued: check that the broker is up, and ask the receipt again"
        )

    def wait_empty(self, timeout_seconds: float) -> None:
        """Return when every event that was added before this call is acknowledged or refused.

        Raises:
            BrokerRejectedError: The broker refuses; what it refuses as a whole stays queued.
            SpoolUnavailableError: Events were damaged on the disk since the last call, and set aside.
            DeliveryTimeoutError: Some are not acknowledged within *timeout_seconds*; they stay queued.
            ProducerClosedError: The logger was closed before some were acknowledged.
        """
        if (waits := self.wait_settled_all(timeout_seconds)) is not None:
            raise waits.with_traceback(None)

    def wait_settled_all(self, timeout_seconds: float) -> DeliveryError | None:
        """Do what `wait_empty` does, but return why some still wait: they are safe where there is a spool.

        Raises:
            BrokerRejectedError: The broker refused an event since the last call: it is set aside.
            SpoolUnavailableError: As `wait_empty`.
        """
        with self.lock:
            end = self.end_number  # others may go on adding: their events are not waited for

            def is_done() -> bool:
                return self._oldest_number() >= end

            with self._waiting():
                self.lock.wait_for(lambda: is_done() or self._is_hopeless, bounded(timeout_seconds))
            refusal, self._unreported_refusal = self._unreported_refusal, None
            if refusal is not None:
                raise refusal
            return None if is_done() else self.trouble or self._not_acknowledged(timeout_seconds)

    def _oldest_number(self) -> int:
        """Return the number of the oldest event that is not settled; the next one's if there is none."""
        for receipts in (self.sent, self.waiting):
            if receipts:
                return receipts[0].number
        if self._backlog is not None and self._backlog.has_unread:
            return self._backlog.next_number
        return self.end_number

    @property
    def end_number(self) -> int:
        """The number that the next event will have."""
        return self._next_number if self._backlog is None else self._backlog.end_number

    @property
    def _unsettled_events(self) -> int:
        """Events that are queued, and those of our own that are spooled only."""
        backlog = self._backlog
        if backlog is None or not backlog.has_unread:
            return self._events
        return self._events + max(1, self.end_number - max(backlog.next_number, 0))

    def _not_acknowledged(self, timeout_seconds: float) -> DeliveryError:
        if self.is_closed:
            return ProducerClosedError(
                f"{self._unsettled_events} events were not acknowledged when the audit logger was closed: "
                + (STAY if self.is_durable else "their outcome is unknown")
            )
        return DeliveryTimeoutError(
            f"{self._unsettled_events} events are not acknowledged after {timeout_seconds:g} s:"
            " check that the broker is up" + (f"; {STAY}" if self.is_durable else "")
        )

    def stats(self) -> Stats:
        """Return the counters as they are now."""
        with self.lock:
            return Stats(
                queued_events=self._unsettled_events,
                queued_bytes=self._bytes,
                spool_bytes=0 if self._backlog is None else self._backlog.used_bytes,
                acknowledged_total=self._acknowledged,
                adopted_total=0
                if self._backlog is None
                else self._backlog.inheritance.adopted_total,
                refused_total=self._refused,
                queue_full_total=self._queue_full,
                lost_total=self._lost,
            )


_STAYS = "it stays in the spool, and the next logger or `trailhouse spool drain` sends it"
STAY = "they stay in the spool, and the next logger or `trailhouse spool drain` sends them"


def _settle_source(receipt: Receipt) -> None:
    """Tell the spool that everything up to *receipt* is settled."""
    source, receipt.source = receipt.source, None
    if source is not None:
        source.settle_to(receipt.place)
