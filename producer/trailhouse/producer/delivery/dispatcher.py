"""The dispatcher: numbers and encodes events, queues them, and owns the queue and its sender in this process."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.delivery import process_hooks
from trailhouse.producer.delivery.ack_waits import STAY, wait_empty, wait_settled_all
from trailhouse.producer.delivery.backpressure import wait_for_disk, wait_for_room
from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.delivery.sender import Sender
from trailhouse.producer.receipt import Receipt, bounded, waiting
from trailhouse.producer.sealing.key import seal_signer
from trailhouse.producer.service_name import default_service
from trailhouse.producer.spool.queue import SpoolQueue
from trailhouse.producer.spool.root import check_root
from trailhouse.redaction.content import left_alone_by
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import (
    DeliveryRejectedError,
    EventTooLargeError,
    ProducerClosedError,
    SpoolFullError,
)
from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.fast import new_record
from trailhouse.schemas.record import Source, renumbered
from trailhouse.schemas.topic import key_of
from trailhouse.schemas.uuid7 import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.producer.config import ProducerConfig
    from trailhouse.producer.sealing.sealer import Sealer
    from trailhouse.producer.spool.journal import Entry
    from trailhouse.producer.spool.queued_event import QueuedEvent
    from trailhouse.producer.stats import Stats
    from trailhouse.redaction.redactor import Redactor

    Made = tuple[str, bytes, bytes, int | None]
    """Id, key and record of an event; the `seq` that stands in it, if it is for us to give one."""
    Make = Callable[["ProcessState", Any], Made]

log = logging.getLogger(__name__)

OFF_TIMEOUT_SECONDS = 1.0
LAST_SEAL_SECONDS = 1.0
"""How long a logger that closes waits for its last seal to be made, which takes one turn of the sender."""


class OpenRecords(Protocol):
    """What a dispatcher asks of a recorder, which has runs and tool calls open."""

    def close(self) -> None:
        """End what is open."""
        ...

    def leave_to_parent(self) -> None:
        """Forget what is open, in a forked child."""
        ...

    def counts(self) -> dict[str, int]:
        """Return its counters, by their names in `Stats`."""
        ...


class ProcessState:
    """What a dispatcher is in one process: a forked child has another, and never a part of its parent's."""

    def __init__(self, queue: SendQueue, producer_id: str) -> None:
        self.pid = os.getpid()
        self.producer_id = producer_id
        self.queue = queue
        self.senders: list[Sender] = []
        """The first is the one; others were made by calls that a signal handler has overtaken."""
        self.sender: Sender | None = None
        """The one, when it runs."""


class Dispatcher:
    """What an `AuditLogger` delivers by. Safe for threads, after fork, and in signal handlers.

    Each method promises and raises what the logger's method of that name does.
    """

    def __init__(self, config: ProducerConfig, clock: Clock = SYSTEM_CLOCK) -> None:
        self._config = config
        self._clock = clock
        self._service = config.service or default_service()
        self._host = socket.gethostname()
        self._signer = seal_signer(config.seal_key_file, self._service)
        self._unlogged = 0
        self.redactor = _redactor_of(config)
        self.recorder: OpenRecords | None = None
        """Where one is used: what is open in it is ended before the queue closes."""
        self._here = self._new_state()
        process_hooks.register(self)

    def _new_state(self) -> ProcessState:
        producer_id, sealer = uuid7(), None
        if self._signer is not None:
            from trailhouse.producer.sealing.sealer import sealer_of  # no key: nothing to pay for

            sealer = sealer_of(self._signer, self._service, producer_id, self._config, self._clock)
        return ProcessState(self._make_queue(sealer), producer_id)

    def _make_queue(self, sealer: Sealer | None) -> SendQueue:
        config, clock, on_disk = self._config, self._clock, None
        if config.mode == "durable":
            on_disk = SpoolQueue(config, self._service, clock, sealer)
        return SendQueue(config.queue_events, config.queue_bytes, on_disk, clock, sealer)

    @property
    def queue(self) -> SendQueue:
        """The queue of this process."""
        return self._here.queue

    def prepare(self) -> None:
        """Check the folder of the spools, and have what a predecessor left sent, whether or not we log.

        Raises:
            ConfigError: The folder cannot be made or written, or is not ours alone. Permanent.
        """
        here = self._here
        if (root := here.queue.root) is not None:
            check_root(root)
        # Nothing is logged yet, and yet somebody's events wait: that alone makes a connection.
        if here.queue.has_orphans():
            self._start(here)

    def log(self, draft: EventDraft) -> Receipt:
        """Number, encode and queue *draft*."""
        return self._deliver(self._encoded, draft)

    def log_at_once(self, draft: EventDraft) -> Receipt:
        """Do what `log` does, but never wait for room: where there is none, that is raised at once."""
        return self._deliver(self._encoded, draft, 0.0)

    def try_log(self, draft: EventDraft) -> Receipt | None:
        """Do what `log` does, or return None where that might wait: for room, or for the disk."""
        here = self._here
        queue = here.queue
        if self._config.fsync == "always" or not queue.has_room():
            return None
        try:
            queued = self._append(here, *self._encoded(here, draft))
        except (SpoolFullError, ProducerClosedError):
            return None  # `log` waits, begins anew, or says that it is closed
        except Exception:
            if self._here is here:
                raise
            return None  # a signal handler has forked
        return Receipt(queue, queued)

    def emit(self, event: AuditEvent) -> Receipt:
        """Queue *event* as it is."""
        return self._deliver(_as_it_is, event)

    def _deliver(self, make: Make, what: Any, room_seconds: float | None = None) -> Receipt:
        """Encode *what* and queue it; without a lock, unless there is no room: that waits for *room_seconds*."""
        here = self._here
        queue = here.queue
        try:
            event_id, key, record, seq = make(here, what)
            queued = None
            if queue.has_room():
                try:  # `suppress` would be a twentieth of the call
                    queued = self._append(here, event_id, key, record, seq)
                except SpoolFullError:
                    queued = None
            if queued is None:
                timeout = (
                    self._config.queue_timeout_seconds if room_seconds is None else room_seconds
                )
                queued = self._append_when_there_is_room(here, event_id, key, record, seq, timeout)
            return Receipt(queue, queued)
        except Exception as error:
            is_renewed = isinstance(error, ProducerClosedError) and not queue.refuses
            if self._here is here and not is_renewed:
                raise
        # A signal handler has forked, and left to the parent what this was about; or the spool was removed.
        queue.wait_for_sender()
        return self._deliver(make, what, room_seconds)

    def _append_when_there_is_room(
        self,
        here: ProcessState,
        event_id: str,
        key: bytes,
        record: bytes,
        seq: int | None,
        timeout_seconds: float,
    ) -> QueuedEvent:
        """Wait for room, and try again for as long as the disk may still get space."""
        queue = here.queue
        with queue.mutex:
            wait_for_room(queue, timeout_seconds)
            deadline_seconds = self._clock.monotonic_seconds() + timeout_seconds
            is_over = False
            while True:
                try:
                    return self._append(here, event_id, key, record, seq)
                except SpoolFullError:
                    if is_over:
                        raise
                # The lock is let go of here.
                is_over = not wait_for_disk(queue, deadline_seconds)

    def _append(
        self, here: ProcessState, event_id: str, key: bytes, record: bytes, seq: int | None
    ) -> QueuedEvent:
        """Append *record* to the journal, with the next `seq` where another has taken the one that it has."""
        queue = here.queue
        newest: Entry | None = None
        try:
            while True:
                # Before anything is begun: a refused event leaves no number, no spool and no thread.
                if len(record) > self._config.max_event_bytes:
                    raise EventTooLargeError(len(record), self._config.max_event_bytes)
                # Not when the logger is made: a program that logs nothing has no thread and no connection.
                if here.sender is None:
                    with queue.mutex:  # one client to Kafka, and one spool, whoever comes first
                        if here.sender is None:
                            self._start(here)
                if queue.is_busy:
                    queue.wait_for_sender()
                if (journal := queue.journal_if_open()) is None:
                    with queue.mutex:
                        journal = queue.journal
                newest = journal.newest()
                numbers = newest.seq
                if seq is not None:
                    if seq != numbers:
                        record, seq = renumbered(record, seq, numbers), numbers
                        continue
                    numbers += 1
                is_kept = queue.keeps_in_memory(newest)
                queued = journal.append(newest, numbers, event_id, key, record, is_kept)
                if queued is not None:
                    queue.note_arrival(len(record) if is_kept else 0)
                    return queued
        finally:
            # An exception that somebody keeps holds this frame, and an entry holds all that come after it.
            newest = None

    def _encoded(self, here: ProcessState, draft: EventDraft) -> Made:
        seq = here.queue.expected_seq
        source = Source(
            host=self._host,
            pid=here.pid,
            producer_id=here.producer_id,
            seq=seq,
            service=self._service,
        )
        if (new := new_record(draft, source)) is None:
            given: dict[str, Any] = {"session_id": None, **draft.given()}
            event = AuditEvent(**given, source=source)
            new, key = (event.event_id, event.record), key_of(event)
        else:
            key = draft.session_id.encode()
        event_id, record = new
        if self.redactor is not None:
            record = self.redactor.redacted(record)
        return event_id, key, record, seq

    def _start(self, here: ProcessState) -> None:
        """Have the sender run. Whatever interrupts this, or calls it in between, there is one that serves."""
        senders = here.senders
        if not senders:
            made = Sender(self._config, here.queue)
            senders.append(made)  # a fork after this abandons it
            if os.getpid() != here.pid:
                process_hooks.abandon(made)
        sender = senders[0]
        process_hooks.hold(self)
        sender.start()
        here.sender = sender
        if here.queue.is_closed:  # a signal handler has closed, or forked, meanwhile
            sender.stop()
            if self._here is here:
                process_hooks.release(self)

    def flush(self, timeout_seconds: float) -> None:
        """Return when every event logged before this call is acknowledged."""
        wait_empty(self._here.queue, timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Flush, then refuse further events and free the connection. May be called twice, and interrupted."""
        here = self._here
        queue = here.queue
        timeout = bounded(timeout_seconds)
        try:
            if not queue.is_closed:
                if self.recorder is not None:
                    self.recorder.close()
                self._deliver_at_close(here, timeout)
        finally:
            with queue.lock:
                # From here on nothing is added; a call that is interrupted by this one finds it sealed.
                queue.is_closed = queue.refuses = True
            # The threads first: they must find the queue as it was while they end their turn.
            for sender in list(here.senders):
                sender.stop()
            queue.close()
            process_hooks.release(self)

    def _deliver_at_close(self, here: ProcessState, timeout_seconds: float) -> None:
        deadline_seconds = self._clock.monotonic_seconds() + timeout_seconds
        try:
            self._wait_at_close(here.queue, timeout_seconds)
        finally:  # what was refused or damaged is to be told by the last seal, too
            if self._seal_last(here):
                left_seconds = deadline_seconds - self._clock.monotonic_seconds()
                self._wait_at_close(here.queue, max(0.0, left_seconds))

    def _seal_last(self, here: ProcessState) -> bool:
        """Have nothing more logged, and the last seal made; tell whether it is: else who adopts the spool makes it."""
        queue, sealer = here.queue, here.queue.sealer
        if sealer is None or here.sender is None:
            return False
        with queue.lock:
            queue.refuses = sealer.wants_last = True
            with waiting(queue):
                queue.lock.wait_for(lambda: sealer.is_done, LAST_SEAL_SECONDS)
        return sealer.is_done

    def _wait_at_close(self, queue: SendQueue, timeout_seconds: float) -> None:
        if (waits := wait_settled_all(queue, timeout_seconds)) is None:
            return
        # A program that is off by its settings has said no more than that it is.
        if not queue.is_durable and self._config.enabled:
            raise waits.with_traceback(None)
        if isinstance(waits, DeliveryRejectedError):
            waiting = queue.stats().queued_events
            log.error("closing the audit logger: %s; %d events wait: %s", waits, waiting, STAY)
        else:
            log.warning("closing the audit logger: %s", waits)

    @property
    def close_timeout_seconds(self) -> float:
        """How long `close` waits for acknowledgements unless told otherwise."""
        configured = self._config.close_timeout_seconds
        # A program that is off by its settings has one event, and may have no broker.
        return configured if self._config.enabled else min(configured, OFF_TIMEOUT_SECONDS)

    def stats(self) -> Stats:
        """Return the counters of this process."""
        failures = 0 if self.redactor is None else self.redactor.failures_total
        recorded = {} if self.recorder is None else self.recorder.counts()
        return msgspec.structs.replace(
            self._here.queue.stats(),
            unlogged_total=self._unlogged,
            redaction_failures_total=failures,
            **recorded,
        )

    def count_unlogged(self) -> None:
        """Count an event that was reported or recorded and that could not be logged."""
        self._unlogged += 1

    def after_fork(self) -> None:
        """Leave the parent's queue and connection to the parent. Called in a forked child."""
        before = self._here
        for sender in before.senders:
            process_hooks.abandon(sender)
        before.queue.abandon()
        self._unlogged = 0
        if self.recorder is not None:
            self.recorder.leave_to_parent()
        self._here = self._new_state()


def _as_it_is(here: ProcessState, event: AuditEvent) -> Made:
    queue = here.queue
    if queue.sealer is not None:
        queue.sealer.check_emitted(event.record, queue.expected_seq)
    return event.event_id, key_of(event), event.record, None


def _redactor_of(config: ProducerConfig) -> Redactor | None:
    """Return what takes secrets out of events; None where the settings say that nothing does."""
    if not config.redaction.enabled:
        return None
    from trailhouse.redaction.redactor import Redactor  # lazily: import time counts in every agent

    return Redactor(
        config.redaction,
        limit_bytes=config.max_event_bytes,
        left_alone=left_alone_by(config.content),
    )
