"""The receipt of one event: known at once by its id, settled when the broker has answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from trailhouse.producer.waits import wait_settled, wait_settled_async
from trailhouse.schemas.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from trailhouse.producer.outbox import Outbox
    from trailhouse.producer.spool_source import Source
    from trailhouse.schemas.errors import DeliveryError

DEFAULT_TIMEOUT_SECONDS = 30.0
Level = Literal["spooled", "acked"]


class Delivery(NamedTuple):
    """Where the broker stored an event."""

    topic: str
    partition: int
    offset: int


class Receipt:
    """What a caller holds for one event. Usable from any thread, and awaitable under asyncio.

    Attributes:
        event_id: The event's id, known before anything was sent.
    """

    __slots__ = (
        "__weakref__", "_outbox", "delivery", "event_id", "key", "number", "place", "record", "refusal", "source",
        "wakers",
    )  # fmt: skip

    def __init__(self, outbox: Outbox, event_id: str, key: bytes, record: bytes) -> None:
        self.event_id = event_id
        self.key = key
        self.record = record
        self.number = 0
        self.delivery: Delivery | None = None
        self.refusal: DeliveryError | None = None
        self.source: Source | None = None
        self.place = 0
        self._outbox = outbox
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
        return wait_settled(self._outbox, self, timeout_seconds)

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
        elif not self._outbox.is_durable:
            raise ConfigError("level spooled needs TRAILHOUSE_PRODUCER_MODE=durable")

    async def aresult(self, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Delivery:
        """Do what `result` does without blocking the event loop; ``await receipt`` is the same."""
        return await wait_settled_async(self._outbox, self, timeout_seconds)

    def __await__(self) -> Generator[object, None, Delivery]:
        """Wait like `result` does, without blocking the event loop."""
        return wait_settled_async(self._outbox, self, DEFAULT_TIMEOUT_SECONDS).__await__()

    def add_waker(self, waker: Callable[[], object]) -> None:
        """Have *waker* called once when the receipt is settled; under the outbox's lock."""
        if self.wakers is None:
            self.wakers = []
        self.wakers.append(waker)

    def remove_waker(self, waker: Callable[[], object]) -> None:
        """Forget *waker*, which may have been taken already; under the outbox's lock."""
        if self.wakers is not None and waker in self.wakers:
            self.wakers.remove(waker)

    def copy(self) -> Receipt:
        """Return a receipt of the same event, which nobody waits for."""
        return Receipt(self._outbox, self.event_id, self.key, self.record)

    def take_wakers(self) -> list[Callable[[], object]]:
        """Return the wakers and forget them; under the outbox's lock."""
        wakers, self.wakers = self.wakers or [], None
        return wakers

    def __repr__(self) -> str:
        return f"Receipt(event_id={self.event_id!r}, delivery={self.delivery!r})"
