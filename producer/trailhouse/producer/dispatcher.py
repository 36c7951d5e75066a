"""The dispatcher: numbers and encodes events, queues them, and owns the queue and its sender in this process."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import msgspec

from trailhouse.producer import process_hooks
from trailhouse.producer.backlog import Backlog
from trailhouse.producer.outbox import STAY, Outbox, Stats
from trailhouse.producer.receipt import Receipt
from trailhouse.producer.sender import Sender
from trailhouse.producer.service_name import default_service
from trailhouse.schemas.errors import BrokerRejectedError, EventTooLargeError, SpoolFullError
from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.quick import GIVEN, new_record
from trailhouse.schemas.record import Source
from trailhouse.schemas.topic import key_of
from trailhouse.schemas.uuid7 import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.schemas.config import ProducerConfig

log = logging.getLogger(__name__)

OFF_TIMEOUT_SECONDS = 1.0


class Dispatcher:
    """What an `AuditLogger` delivers by. Safe for threads and after fork.

    Each method promises and raises what the logger's method of that name does.
    """

    def __init__(self, config: ProducerConfig) -> None:
        self._config = config
        self._service = config.service or default_service()
        self._host = socket.gethostname()
        self._reset()
        process_hooks.register(self)

    def _reset(self) -> None:
        """Begin with an empty queue and an identity of our own: at the start, and after a fork."""
        self._pid = os.getpid()
        self._producer_id = uuid7()
        self._next_seq = 0
        self._unlogged = 0
        self._outbox = self._make_outbox()
        self._sender: Sender | None = None

    def _make_outbox(self) -> Outbox:
        backlog = (
            Backlog(self._config, self._producer_id, self._service)
            if self._config.mode == "durable"
            else None
        )
        return Outbox(self._config.queue_events, self._config.queue_bytes, backlog)

    def send_orphans(self) -> None:
        """Have what a predecessor left sent, whether or not we log anything."""
        if self._outbox.has_orphans():
            with self._outbox.lock:
                self._start()

    def log(self, given: tuple[Any, ...]) -> Receipt:
        """Stamp and queue what is given, in the order of `GIVEN`."""
        return self._when_there_is_room(self._enqueue_numbered, given)

    def try_log(self, given: tuple[Any, ...]) -> Receipt | None:
        """Do what `log` does, or return None where that might wait: for room, or for the disk."""
        if self._config.fsync == "always":
            return None
        outbox = self._outbox
        with outbox.mutex:
            if not outbox.has_room:
                return None
            try:
                return self._enqueue_numbered(given)
            except SpoolFullError:
                return None

    def emit(self, event: AuditEvent) -> Receipt:
        """Queue *event* as it is."""
        return self._when_there_is_room(self._enqueue, event)

    def _when_there_is_room(self, enqueue: Callable[[Any], Receipt], what: object) -> Receipt:
        """Call *enqueue* under the outbox's lock, again for as long as the disk may still get space."""
        outbox = self._outbox
        with outbox.mutex:
            if not outbox.has_room:
                outbox.wait_for_room(self._config.queue_timeout_seconds)
            try:
                return enqueue(what)
            except SpoolFullError:
                deadline_seconds = time.monotonic() + self._config.queue_timeout_seconds
            while True:
                # The lock is let go of here: others may take the numbers that follow.
                is_over = not outbox.wait_for_disk(deadline_seconds)
                try:
                    return enqueue(what)
                except SpoolFullError:
                    if is_over:
                        raise

    def _enqueue_numbered(self, given: tuple[Any, ...]) -> Receipt:
        number = self._outbox.end_number
        seq = self._next_seq
        self._next_seq = seq + 1  # at once: a signal handler may log before we are done
        source = Source(
            host=self._host,
            pid=self._pid,
            producer_id=self._producer_id,
            seq=seq,
            service=self._service,
        )
        try:
            if (new := new_record(source, *given)) is None:
                return self._enqueue(_event(given, source))
            event_id, record = new
            return self._enqueue_record(event_id, given[_SESSION_ID].encode(), record)
        except BaseException:
            if self._next_seq == seq + 1 and self._outbox.end_number == number:
                self._next_seq = seq  # a refused event must not look like a lost one
            raise

    def _enqueue(self, event: AuditEvent) -> Receipt:
        return self._enqueue_record(event.event_id, key_of(event), event.record)

    def _enqueue_record(self, event_id: str, key: bytes, record: bytes) -> Receipt:
        if (size_bytes := len(record)) > self._config.max_event_bytes:
            raise EventTooLargeError(size_bytes, self._config.max_event_bytes)
        if self._sender is None:
            self._start()
        receipt = Receipt(self._outbox, event_id, key, record)
        self._outbox.add(receipt)
        return receipt

    def _start(self) -> None:
        self._outbox.adopt()
        self._sender = Sender(self._config, self._outbox)
        process_hooks.hold(self)

    def flush(self, timeout_seconds: float) -> None:
        """Return when every event logged before this call is acknowledged."""
        self._outbox.wait_empty(timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Flush, then refuse further events and free the connection. May be called twice."""
        try:
            if not self._outbox.is_closed:
                self._wait_at_close(timeout_seconds)
        finally:
            with self._outbox.lock:
                # From here on nothing is added, and so no new sender is made.
                self._outbox.is_closed = True
                sender, self._sender = self._sender, None
            if sender is not None:
                sender.stop()
            self._outbox.close()
            process_hooks.release(self)

    def _wait_at_close(self, timeout_seconds: float) -> None:
        if (waits := self._outbox.wait_settled_all(timeout_seconds)) is None:
            return
        # A program that is off by its settings has said no more than that it is.
        if not self._outbox.is_durable and self._config.enabled:
            raise waits.with_traceback(None)
        if isinstance(waits, BrokerRejectedError):
            waiting = self._outbox.stats().queued_events
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
        return msgspec.structs.replace(self._outbox.stats(), unlogged_total=self._unlogged)

    def count_unlogged(self) -> None:
        """Count an event that telemetry reported and that could not be logged."""
        self._unlogged += 1

    def after_fork(self) -> None:
        """Leave the parent's queue and connection to the parent. Called in a forked child."""
        process_hooks.abandon(self._sender)
        self._outbox.abandon()
        self._reset()


_SESSION_ID = GIVEN.index("session_id")


def _event(given: tuple[Any, ...], source: Source) -> AuditEvent:
    fields: dict[str, Any] = {"session_id": None}
    fields |= {name: value for name, value in zip(GIVEN, given, strict=True) if value is not None}
    return AuditEvent(**fields, source=source)
