"""The send queue: events on their way to the broker, in order, bounded, each held until it is settled."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.delivery.linger import NEVER_BYTES
from trailhouse.producer.delivery.wake_signal import WakeSignal
from trailhouse.producer.spool.handle import settle_source
from trailhouse.producer.spool.journal import CLOSED, Entry, Inbox, Journal
from trailhouse.producer.spool.queued_event import QueuedEvent
from trailhouse.producer.stats import Stats
from trailhouse.schemas.errors import ProducerClosedError, SpoolDamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from trailhouse.producer.sealing.sealer import Sealer
    from trailhouse.producer.spool.queue import SpoolQueue
    from trailhouse.producer.spool.queued_event import Delivery
    from trailhouse.schemas.errors import DeliveryError, DeliveryRejectedError


LATE_EVENTS = 4_096
"""So many that have come are more than the sender takes in two turns."""


class SendQueue:
    """All unsettled events, in the order in which they were logged. Safe for threads.

    Callers log to the `journal` and put events into its inbox, without a lock, and may be interrupted there
    at any instant: what a thread that is switched out held, all others would wait for. The sender takes the
    events from there: `waiting` holds what the broker client does not have yet, `sent` what it has. `lock`
    guards these two, and all but the journal; it is what callers wait on who find no room, or the sender
    `is_busy`. `mutex` is the same, and quicker to take. The sender sleeps until the `wake_signal`, which is sent
    when as much has arrived as it wants to be woken for, and when an answer is `awaited`. With a spool *on_disk*,
    each event is written there first, and those that find no room in memory are read from there in their turn.
    With a `sealer`, that is given each event that comes into memory. It `refuses` events once it is about to be closed.
    """

    def __init__(
        self,
        max_events: int,
        max_bytes: int,
        on_disk: SpoolQueue | None = None,
        clock: Clock = SYSTEM_CLOCK,
        sealer: Sealer | None = None,
    ) -> None:
        self.clock = clock
        self.sealer = sealer
        self._fresh: list[QueuedEvent] | None = None if sealer is None else []
        self.mutex = threading.RLock()
        self.lock = threading.Condition(self.mutex)
        self.wake_signal = WakeSignal()
        self.awaited = 0
        self.wake_at_bytes = NEVER_BYTES
        self.is_busy = False
        self.waiting: deque[QueuedEvent] = deque()
        self.sent: deque[QueuedEvent] = deque()
        self.trouble: DeliveryRejectedError | None = None
        self.is_closed = self.refuses = False
        self.expects_adoption = False
        self.is_adopted = False
        self._on_disk = on_disk
        inbox = Inbox() if on_disk is None else on_disk.inbox
        self._arrivals = inbox.arrivals
        self._spools = None if on_disk is None else on_disk.spools
        self._early: dict[int, QueuedEvent] = {}
        self._memory = Journal(Entry(0, 0), inbox)
        self._lost = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._next_number = 0
        self._has_looked = False
        self._events = self._bytes = self._arrived_bytes = 0
        self._acknowledged = self._refused = 0
        self.queue_full_total = 0
        self._unreported_refusal: DeliveryError | None = None

    def abandon(self) -> None:
        """Leave the queue to the parent process: in a fork, another thread may have held the lock."""
        self.mutex = threading.RLock()
        self.lock = threading.Condition(self.mutex)
        self.is_closed = self.refuses = True
        self._memory.seal()  # a call that was interrupted by this very fork begins anew in ours
        if self._on_disk is not None:
            self._on_disk.forget()

    def journal_if_open(self) -> Journal | None:
        """What callers log to; None when the spool is not made yet, or the logger is closed."""
        if (spools := self._spools) is None:
            return self._memory
        return spools[0] if spools else None

    @contextlib.contextmanager
    def held_off(self) -> Generator[None]:
        """Have who logs wait until the end of the block: the sender needs Python's lock again and again in it."""
        with self.lock:
            self.is_busy = True
            try:
                yield
            finally:
                self.is_busy = False

    def hold_off_if_late(self) -> None:
        """Have who logs wait for `lock` until `is_busy` is reset, if so much has come that the sender lags behind.

        Of nine threads that compute, Python gives it a ninth of the time.
        """
        self.is_busy = (
            len(self._arrivals) > LATE_EVENTS or self._arrived_bytes > self._max_bytes // 4
        )

    def wait_for_sender(self) -> None:
        """Return when the sender has left `held_off`."""
        with self.mutex:
            pass

    @property
    def expected_seq(self) -> int:
        """The `seq` that the next event will have, unless another thread or a signal handler is faster."""
        if (spools := self._spools) is None:
            return self._memory.seen.seq
        return spool.seen.seq if spools and (spool := spools[0]) is not None else 0

    @property
    def root(self) -> Path | None:
        """The folder of the spools; None in mode ``memory``."""
        return None if self._on_disk is None else self._on_disk.root

    @property
    def journal(self) -> Journal:
        """What callers log to, under `lock`; the spool is made now if there is none.

        Raises:
            SpoolFullError, SpoolUnavailableError: It cannot be made. Retriable; nothing was logged.
            ProducerClosedError: The logger is closed. Permanent.
        """
        return self._memory if (on_disk := self._on_disk) is None else on_disk.spool()

    @property
    def is_durable(self) -> bool:
        """Whether events are spooled."""
        return self._on_disk is not None

    def _has_room(self) -> bool:
        return (
            self._events + len(self._arrivals) < self._max_events
            and self._bytes + self._arrived_bytes < self._max_bytes
        )

    def has_room(self) -> bool:
        """Whether `wait_for_room` would return at once."""
        if self.refuses:
            return False
        if (spools := self._spools) is None:
            return self._has_room()
        return not spools or ((spool := spools[0]) is not None and spool.has_room())

    def keeps_in_memory(self, newest: Entry) -> bool:
        """Tell whether the event after *newest* is sent from memory; else it is read in its turn."""
        on_disk = self._on_disk
        if on_disk is None:
            return True
        # Else something before it is on the disk alone, and must be read before.
        return (
            newest.left <= on_disk.next_number
            and self._events + len(self._arrivals) < self._max_events
            and self._bytes + self._arrived_bytes < self._max_bytes
        )

    def wake(self) -> None:
        """Have the sender look at once."""
        self.wake_signal.send()

    def note_arrival(self, size_bytes: int) -> None:
        """Let the sender know that an event of *size_bytes* has come."""
        # An estimate, until the next turn of the sender.
        self._arrived_bytes = arrived_bytes = self._arrived_bytes + size_bytes
        if arrived_bytes >= self.wake_at_bytes:
            # Again and again, until the sender looks: who is interrupted in between must not be the only one.
            self.wake_signal.send()

    @property
    def arrived_bytes(self) -> int | None:
        """How much has arrived since the sender's last turn; None: nothing."""
        return self._arrived_bytes if self._arrivals else None

    @property
    def is_behind(self) -> bool:
        """Whether there is more to hand over, or to read, than the sender's last turn has done."""
        on_disk = self._on_disk
        return (
            bool(self.waiting)
            or not self._has_looked
            or (on_disk is not None and on_disk.has_unread(on_disk.tail()))
        )

    def admit(self, *, at_once: bool = False) -> None:
        """Take what has arrived, in order: by the sender, under `lock`. Never by a caller of `log`.

        What others have left comes first, unless *at_once*.
        """
        arrivals, on_disk, early = self._arrivals, self._on_disk, self._early
        if not arrivals:
            # A thread that was switched out may have set it back to what it was.
            self._arrived_bytes = 0
            return
        if on_disk is not None and on_disk.orphans.has_unread and not at_once:
            return
        self._arrived_bytes = 0
        for _ in range(len(arrivals)):
            queued = arrivals.popleft()
            number = self._next_number if on_disk is None else on_disk.next_number
            if queued.number > number:
                early[queued.number] = queued
            elif queued.number == number:
                self._pass_by(queued)
                while early and (after := early.pop(self.next_number, None)) is not None:
                    self._pass_by(after)

    def _pass_by(self, queued: QueuedEvent) -> None:
        self._queue(queued)
        if (on_disk := self._on_disk) is None:
            self._next_number = queued.number + 1
        else:
            on_disk.pass_by(queued)

    @property
    def next_number(self) -> int:
        """The number of the next event that is to come into memory."""
        return self._next_number if self._on_disk is None else self._on_disk.next_number

    def _queue(self, queued: QueuedEvent) -> None:
        self.waiting.append(queued)
        self._events += 1
        self._bytes += len(queued.record)
        if (fresh := self._fresh) is not None and queued.number >= 0:  # else another logger's
            fresh.append(queued)

    def has_fresh(self) -> bool:
        """Whether something has come into memory that `note_fresh` has not given to the sealer."""
        return bool(self._fresh)

    def note_fresh(self) -> None:
        """Give what has come to the sealer, before it is sent; by the sender."""
        if (fresh := self._fresh) and self.sealer is not None:
            self._fresh = []
            self.sealer.note(fresh, self.clock.monotonic_seconds())

    def newest(self) -> Entry:
        """Return what the next event is logged after.

        Raises:
            SpoolFullError, SpoolUnavailableError: The spool cannot be made. Retriable.
            ProducerClosedError: The logger is closed. Permanent.
        """
        if (journal := self.journal_if_open()) is None:
            with self.mutex:
                journal = self.journal
        return journal.newest()

    def log_own(
        self, newest: Entry, event_id: str, key: bytes, record: bytes, *, is_last: bool = False
    ) -> QueuedEvent | None:
        """Log an event that the sender makes itself, without waiting for room; None when another was faster.

        Raises:
            SpoolFullError, SpoolUnavailableError: It cannot be written. Retriable; nothing was logged.
            ProducerClosedError: The logger is closed. Permanent.
        """
        if (journal := self.journal_if_open()) is None:
            raise ProducerClosedError(CLOSED)
        is_kept = self.keeps_in_memory(newest)
        queued = journal.append(newest, newest.seq + 1, event_id, key, record, is_kept, is_last)
        if queued is not None:
            self.note_arrival(len(record) if is_kept else 0)
        return queued

    def refill(self) -> None:
        """Take what has come, and read on from the disk as far as there is room; called by the sender.

        Raises:
            SpoolUnavailableError: The spool cannot be read. Retriable once that is mended.
        """
        self._has_looked = True
        on_disk = self._on_disk
        if on_disk is None:
            with self.lock:
                self.admit()
            self.note_fresh()
            return
        wakers: list[Callable[[], object]] = []
        with self.lock:
            while True:
                # Before what has come is taken: all that comes after it is left for the next look.
                tail = on_disk.tail()
                self.admit()
                if not (self._has_room() and on_disk.has_unread(tail)):
                    break
                queued_events = on_disk.read(tail, self._early)
                if queued_events is None:
                    break
                for queued in queued_events:
                    self._queue(queued)
                wakers += self._refuse_damaged(*on_disk.take_damaged())
                self.lock.notify_all()
            on_disk.orphans.release_lease()
        self.note_fresh()
        for waker in wakers:
            waker()

    def _refuse_damaged(self, count: int, held: list[QueuedEvent]) -> list[Callable[[], object]]:
        if count:
            self._refused += count
            self._unreported_refusal = SpoolDamagedError(
                f"{count} events were damaged in the spool, or removed from it; what is left of them is set aside there"
            )
        for queued in held:
            queued.refusal = SpoolDamagedError(
                f"event {queued.event_id} was damaged in the spool, or removed from it"
            )
        return [waker for queued in held for waker in queued.take_wakers()]

    def adopt(self, *, min_age_seconds: float = 0.0, any_destination: bool = False) -> bool:
        """Take over the spools of loggers that are gone; tell whether there were any."""
        if self._on_disk is None:
            return False
        orphans = self._on_disk.orphans
        found = orphans.find(min_age_seconds=min_age_seconds, any_destination=any_destination)
        with self.lock:
            if not min_age_seconds:
                orphans.wait_for_lease()
            has_adopted = orphans.line_up(found)
            orphans.release_lease()
            return has_adopted

    def has_orphans(self) -> bool:
        """Tell whether there are spools to adopt."""
        return self._on_disk is not None and self._on_disk.orphans.has_orphans()

    def has_unsynced(self) -> bool:
        """Whether something was spooled since `take_unsynced`; under `lock`."""
        return self._on_disk is not None and self._on_disk.has_unsynced

    def take_unsynced(self) -> list[int]:
        """Return the spool's files that are to be forced to the disk, outside the lock."""
        if self._on_disk is None:
            return []
        with self.lock:
            return self._on_disk.take_unsynced()

    def renew_spool(self) -> None:
        """Begin a new spool if somebody has removed the files of ours.

        Raises:
            SpoolFullError, SpoolUnavailableError: It cannot be made. Retriable.
        """
        if (on_disk := self._on_disk) is None:
            return
        with self.lock:
            if not on_disk.is_gone:
                return
            on_disk.renew(self._all_in_memory)
            wakers = self._refuse_damaged(*on_disk.take_damaged())
            self.lock.notify_all()
        for waker in wakers:
            waker()

    def _all_in_memory(self) -> list[QueuedEvent]:
        self.admit(at_once=True)
        return [*self.sent, *self.waiting]

    def make_space(self) -> None:
        """Give back what the spool does not need, if a caller has found the disk full; by the sender."""
        if self._on_disk is not None:
            with self.lock:
                self._on_disk.make_space()

    def keep_refused(self, queued: QueuedEvent) -> None:
        """Set an event aside that the broker refuses for good, where there is a spool."""
        if self._on_disk is not None:
            with self.lock:
                self._on_disk.keep_refused(queued)
        if self.sealer is not None:
            self.sealer.note_refused(queued.record)

    def take_back(self) -> None:
        """Put everything sent back in front of `waiting`, in order; under `lock`.

        What is settled among it stays in its place: a spool is settled in order.
        """
        self.waiting.extendleft(reversed(self.sent))
        self.sent.clear()

    def settle(self, outcomes: list[tuple[QueuedEvent, Delivery | DeliveryError]]) -> None:
        """Record what the broker answered, and wake who waits for it."""
        wakers: list[Callable[[], object]] = []
        with self.lock:
            if outcomes:
                self.trouble = None  # the broker has answered
            for queued, outcome in outcomes:
                if queued.delivery is None and queued.refusal is None:
                    if isinstance(outcome, Exception):
                        self._refuse(queued, outcome)
                    else:
                        queued.delivery = outcome
                        self._acknowledged += 1
                    self._events -= 1
                    self._bytes -= len(queued.record)
                    queued.record = b""  # a caller may keep a million receipts
                if queued.wakers is not None:
                    wakers += queued.take_wakers()
            self.lock.notify_all()  # they go on when we let go of the lock
            self._free_settled()
        for waker in wakers:
            waker()

    def _free_settled(self) -> None:
        last, sent = None, self.sent
        while sent and (sent[0].delivery is not None or sent[0].refusal is not None):
            queued = sent.popleft()
            if last is not None and last.source is not queued.source:
                settle_source(last)
            last = queued
        if last is not None:
            settle_source(last)

    def _refuse(self, queued: QueuedEvent, error: DeliveryError) -> None:
        queued.refusal = self._unreported_refusal = error
        self._refused += 1

    def report_trouble(self, trouble: DeliveryRejectedError) -> bool:
        """Tell everyone who waits that the broker refuses; the events stay queued.

        Returns whether this is new. With nothing queued there is nobody to tell, and an old trouble
        must not meet a new event: librdkafka repeats itself for as long as the cause is there.
        """
        with self.lock:
            unsettled_events = self.unsettled_events
            if not unsettled_events or self.trouble is not None:
                self.trouble = trouble if unsettled_events else None
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
            self.is_closed = self.refuses = True
            wakers = self._take_all_wakers()
            if self._on_disk is None:
                self._memory.seal()
                self._lost = self.unsettled_events
            else:
                self._on_disk.close()
            self.lock.notify_all()
        for waker in wakers:
            waker()

    def _take_all_wakers(self) -> list[Callable[[], object]]:
        # Others log meanwhile; the dictionary may not grow under an iteration.
        refs = [] if self._on_disk is None else self._on_disk.inbox.left.valuerefs()
        left = [queued for ref in refs if (queued := ref()) is not None]
        arrived = (*self._early.values(), *self._arrivals)
        return [
            waker
            for queued in (*self.sent, *self.waiting, *arrived, *left)
            for waker in queued.take_wakers()
        ]

    @property
    def is_hopeless(self) -> bool:
        """Whether waiting on is no use for now: the broker refuses, or nothing more will be sent."""
        return self.trouble is not None or self.is_closed

    def take_unreported_refusal(self) -> DeliveryError | None:
        """Return the last refusal that no `flush` has told yet."""
        refusal, self._unreported_refusal = self._unreported_refusal, None
        return refusal

    def oldest_number(self) -> int:
        """Return the number of the oldest event that is not settled; the next one's if there is none."""
        for queued_events in (self.sent, self.waiting):
            if queued_events:
                return queued_events[0].number
        if self.expects_adoption and not self.is_adopted:
            return -1  # the sender is still looking for what others have left
        if self._on_disk is not None and self._on_disk.orphans.has_unread:
            return -1
        return self.next_number

    @property
    def end_number(self) -> int:
        """The number that the next event will have."""
        return self._memory.tail().events if self._on_disk is None else self._on_disk.end_number

    @property
    def seen_number(self) -> int:
        """The number after the newest event that a look shows: another than before, and something has come."""
        seen = self._memory.seen if self._on_disk is None else self._on_disk.tail()
        return 0 if seen is None else seen.events

    @property
    def unsettled_events(self) -> int:
        """Events in memory, those of ours that are on the disk alone, and one at least if others' are there."""
        unread = max(0, self.end_number - self.next_number)
        if not unread and self._on_disk is not None and self._on_disk.orphans.has_unread:
            unread = 1
        return self._events + unread

    def stats(self) -> Stats:
        """Return the counters as they are now."""
        on_disk = self._on_disk
        with self.lock:
            return Stats(
                queued_events=self.unsettled_events,
                queued_bytes=self._bytes,
                spool_bytes=on_disk.used_bytes if on_disk else 0,
                acknowledged_total=self._acknowledged,
                adopted_total=on_disk.orphans.adopted_total if on_disk else 0,
                unreadable_spools_total=on_disk.orphans.unreadable_total if on_disk else 0,
                refused_total=self._refused,
                queue_full_total=self.queue_full_total,
                lost_total=self._lost,
            )
