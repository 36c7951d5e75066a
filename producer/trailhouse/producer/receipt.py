"""The receipt of one event: known at once by its id, settled when the broker has answered."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from trailhouse.schemas.config import LONGEST_WAIT_SECONDS
from trailhouse.schemas.errors import ConfigError, DeliveryTimeoutError, ProducerClosedError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator

    from trailhouse.schemas.errors import DeliveryError, DeliveryRejectedError

_STAYS = "it stays in the spool, and the next logger or `trailhouse spool drain` sends it"
DEFAULT_TIMEOUT_SECONDS = 30.0
Level = Literal["spooled", "acked"]


class Delivery(NamedTuple):
    """Where the broker stored an event."""

    topic: str
    partition: int
    offset: int


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


class Source(Protocol):
    """A spool that events are sent from, told how far they are settled.

    Attributes:
        last: The event that was put on its way last; it loses its `source` when it is settled and
            everything before it is.
    """

    last: Receipt | None

    def settle_to(self, place: int) -> None:
        """Note that everything before *place* is settled."""
        ...


class Receipt:
    """What a caller holds for one event. Usable from any thread, and awaitable under asyncio.

    Attributes:
        event_id: The event's id, known before anything was sent.
    """

    __slots__ = (
        "__weakref__", "_queue", "delivery", "event_id", "key", "number", "place", "record", "refusal", "source",
        "wakers",
    )  # fmt: skip

    def __init__(self, queue: Queue, event_id: str, key: bytes, record: bytes) -> None:
        self.event_id = event_id
        self.key = key
        self.record = record
        self.number = 0
        self.delivery: Delivery | None = None
        self.refusal: DeliveryError | None = None
        self.source: Source | None = None
        self.place = 0
        self._queue = queue
        self.wakers: list[Callable[[], object]] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the broker has acknowledged or refused the event."""
        return self.delivery is not None or self.refusal is not None

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
        """
        return _wait_settled(self._queue, self, timeout_seconds)

    @property
    def session_id(self) -> str:
        """The event's session."""
        return self.key.decode()

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
        return await _wait_settled_async(self._queue, self, timeout_seconds)

    def __await__(self) -> Generator[object, None, Delivery]:
        """Wait like `result` does, without blocking the event loop."""
        return _wait_settled_async(self._queue, self, DEFAULT_TIMEOUT_SECONDS).__await__()

    def add_waker(self, waker: Callable[[], object]) -> None:
        """Have *waker* called once when the receipt is settled; under the queue's lock."""
        if self.wakers is None:
            self.wakers = []
        self.wakers.append(waker)

    def remove_waker(self, waker: Callable[[], object]) -> None:
        """Forget *waker*, which may have been taken already; under the queue's lock."""
        if self.wakers is not None and waker in self.wakers:
            self.wakers.remove(waker)

    def copy(self) -> Receipt:
        """Return a receipt of the same event, which nobody waits for."""
        return Receipt(self._queue, self.event_id, self.key, self.record)

    def take_wakers(self) -> list[Callable[[], object]]:
        """Return the wakers and forget them; under the queue's lock."""
        wakers, self.wakers = self.wakers or [], None
        return wakers

    def __repr__(self) -> str:
        return f"Receipt(event_id={self.event_id!r}, delivery={self.delivery!r})"


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


def _wait_settled(queue: Queue, receipt: Receipt, timeout_seconds: float) -> Delivery:
    """See `Receipt.result`."""
    timeout = bounded(timeout_seconds)
    with queue.lock, waiting(queue):
        queue.lock.wait_for(lambda: receipt.is_settled or queue.is_hopeless, timeout)
        return _outcome(queue, receipt, timeout_seconds)


async def _wait_settled_async(queue: Queue, receipt: Receipt, timeout_seconds: float) -> Delivery:
    """See `Receipt.__await__`."""
    import asyncio  # lazily: many users never await, and import time counts

    timeout = bounded(timeout_seconds)
    loop = asyncio.get_running_loop()
    settled = asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there
            loop.call_soon_threadsafe(settled.set)

    with queue.lock:
        if receipt.is_settled or queue.is_hopeless:
            return _outcome(queue, receipt, timeout_seconds)
        receipt.add_waker(wake)
    try:
        with contextlib.suppress(TimeoutError), waiting(queue):
            await asyncio.wait_for(settled.wait(), timeout)
    finally:
        with queue.lock:
            receipt.remove_waker(wake)
    with queue.lock:
        return _outcome(queue, receipt, timeout_seconds)


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


def _outcome(queue: Queue, receipt: Receipt, timeout_seconds: float) -> Delivery:
    if receipt.delivery is not None:
        return receipt.delivery
    if (error := receipt.refusal or queue.trouble) is not None:
        raise error.with_traceback(None)  # else each raising would add to the one trouble
    if queue.is_closed:
        raise ProducerClosedError(
            f"the audit logger was closed before event {receipt.event_id} was acknowledged: "
            + (
                _STAYS
                if queue.is_durable
                else "its outcome is unknown, log it again with the same event_id"
            )
        )
    raise DeliveryTimeoutError(
        f"no acknowledgement of event {receipt.event_id} within {timeout_seconds:g} s;"
        " it stays queued: check that the broker is up, and ask the receipt again"
    )
