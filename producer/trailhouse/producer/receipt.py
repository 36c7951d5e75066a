"""The receipt of one event: known at once by its id, settled when the broker has answered."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from trailhouse.schemas.errors import ConfigError, DeliveryTimeoutError, ProducerClosedError
from trailhouse.schemas.settings import LONGEST_WAIT_SECONDS

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator

    from trailhouse.producer.spool.queued_event import Delivery, QueuedEvent
    from trailhouse.schemas.errors import DeliveryError, DeliveryRejectedError

_STAYS = "it stays in the spool, and the next logger or `trailhouse spool drain` sends it"
DEFAULT_TIMEOUT_SECONDS = 30.0
Level = Literal["spooled", "acked"]


class Queue(Protocol):
    """What sends the event of a receipt, and tells who waits for it.

    Attributes:
        lock: Held while a receipt is settled; who waits is notified on it.
        mutex: The same, and quicker to take.
        awaited: How many wait: the sender does not rest meanwhile.
        trouble: Why the broker refuses everything; None while it does not.
        is_closed: Whether nothing more will be sent.
    """

    lock: threading.Condition
    mutex: threading.RLock
    awaited: int
    trouble: DeliveryRejectedError | None
    is_closed: bool

    @property
    def is_durable(self) -> bool:
        """Whether events are spooled."""
        ...

    @property
    def is_hopeless(self) -> bool:
        """Whether waiting on is no use for now."""
        ...

    def wake(self) -> None:
        """Have the sender look at once: somebody waits."""
        ...


class Receipt(msgspec.Struct, frozen=True, eq=False, weakref=True):
    """What a caller holds for one event. Usable from any thread, and awaitable under asyncio."""

    # A struct is made for a third of what a class with an `__init__` costs, and every event makes one.
    _queue: Queue
    _queued: QueuedEvent

    @property
    def event_id(self) -> str:
        """The event's id, known before anything was sent."""
        return self._queued.event_id

    @property
    def session_id(self) -> str:
        """The event's session."""
        return self._queued.key.decode()

    @property
    def is_settled(self) -> bool:
        """Whether the broker has acknowledged or refused the event."""
        return self._queued.is_settled

    @property
    def refusal(self) -> DeliveryError | None:
        """The broker's refusal of this very event; None as long as there is none."""
        return self._queued.refusal

    def result(self, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Delivery:
        """Wait for the broker's acknowledgement by all in-sync replicas.

        Delivery:
            When this returns, the event is in the topic. When it raises, the event is still queued
            and is sent as soon as the broker takes it, unless the broker refused this very event;
            asking again later is allowed.

        Raises:
            ConfigError: *timeout_seconds* is not a number. Permanent; the event goes on being sent.
            DeliveryTimeoutError: No answer within *timeout_seconds*; below 0 counts as 0. Retriable;
                outcome unknown.
            DeliveryRejectedError: The topic is missing, the credentials are wrong, or the broker
                refused this event. Permanent until somebody mends the cause.
            ProducerClosedError: The logger was closed before the broker answered. Permanent; the
                outcome is unknown, and the event is not sent again.
            SpoolDamagedError: The event was damaged in the spool, or removed from it. Permanent.
        """
        return _wait_settled(self._queue, self._queued, timeout_seconds)

    def wait(
        self, level: Level = "acked", timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        """Return when the event has reached *level*.

        ``spooled``: it is in a file and survives this process; so it is since `log` returned, in mode
        ``durable``. ``acked``: all in-sync replicas have it, as `result` says. That it is ``stored`` is
        seen by a reader alone: `AuditReader.wait_stored`.

        Raises:
            ConfigError: ``spooled`` in mode ``memory``, where no file is. Permanent.
            DeliveryError: As `result`.
        """
        if level == "acked":
            self.result(timeout_seconds)
        elif level != "spooled":
            raise ConfigError(f"level: must be spooled or acked, got {level!r}")
        elif not self._queue.is_durable:
            raise ConfigError("level spooled needs TRAILHOUSE_PRODUCER_MODE=durable")

    async def aresult(self, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Delivery:
        """Do what `result` does without blocking the event loop; ``await receipt`` is the same."""
        return await _wait_settled_async(self._queue, self._queued, timeout_seconds)

    def __await__(self) -> Generator[object, None, Delivery]:
        """Wait like `result` does, without blocking the event loop."""
        return _wait_settled_async(self._queue, self._queued, DEFAULT_TIMEOUT_SECONDS).__await__()

    def __repr__(self) -> str:
        return f"Receipt(event_id={self.event_id!r}, delivery={self._queued.delivery!r})"


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


def _wait_settled(queue: Queue, queued: QueuedEvent, timeout_seconds: float) -> Delivery:
    """See `Receipt.result`."""
    timeout = bounded(timeout_seconds)
    with queue.lock:
        if not queued.is_settled:
            with waiting(queue):
                queue.lock.wait_for(lambda: queued.is_settled or queue.is_hopeless, timeout)
        return _outcome(queue, queued, timeout_seconds)


async def _wait_settled_async(
    queue: Queue, queued: QueuedEvent, timeout_seconds: float
) -> Delivery:
    """See `Receipt.__await__`."""
    import asyncio  # lazily: many users never await, and import time counts

    timeout = bounded(timeout_seconds)
    loop = asyncio.get_running_loop()
    settled = asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there
            loop.call_soon_threadsafe(settled.set)

    with queue.lock:
        if queued.is_settled or queue.is_hopeless:
            return _outcome(queue, queued, timeout_seconds)
        queued.add_waker(wake)
    try:
        with contextlib.suppress(TimeoutError), waiting(queue):
            await asyncio.wait_for(settled.wait(), timeout)
    finally:
        with queue.lock:
            queued.remove_waker(wake)
    with queue.lock:
        return _outcome(queue, queued, timeout_seconds)


@contextlib.contextmanager
def waiting(queue: Queue) -> Generator[None]:
    """Let the sender know that it should not rest meanwhile."""
    with queue.mutex:
        queue.awaited += 1
    queue.wake()
    try:
        yield
    finally:
        with queue.mutex:
            queue.awaited -= 1


def _outcome(queue: Queue, queued: QueuedEvent, timeout_seconds: float) -> Delivery:
    if queued.delivery is not None:
        return queued.delivery
    if (error := queued.refusal or queue.trouble) is not None:
        raise error.with_traceback(None)  # else each raising would add to the one trouble
    if queue.is_closed:
        raise ProducerClosedError(
            f"the audit logger was closed before event {queued.event_id} was acknowledged: "
            + (
                _STAYS
                if queue.is_durable
                else "its outcome is unknown, log it again with the same event_id"
            )
        )
    raise DeliveryTimeoutError(
        f"no acknowledgement of event {queued.event_id} within {timeout_seconds:g} s;"
        " it stays queued: check that the broker is up, and ask the receipt again"
    )
