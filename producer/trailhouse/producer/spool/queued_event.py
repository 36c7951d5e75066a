"""An event on its way to the broker: what the queue, the spool and the sender know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.schemas.errors import DeliveryError


class Delivery(NamedTuple):
    """Where the broker stored an event."""

    topic: str
    partition: int
    offset: int


class SpoolHandle(Protocol):
    """A spool that events are sent from, told how far they are settled.

    Attributes:
        last: The event that was put on its way last; it loses its `source` when it is settled and
            everything before it is.
    """

    last: QueuedEvent | None

    def settle_to(self, place: int) -> None:
        """Note that everything before *place* is settled."""
        ...


class QueuedEvent(msgspec.Struct, eq=False, weakref=True):
    """One event, until it is settled; under the send queue's lock once it is logged.

    Attributes:
        event_id: Empty where the event was read from a spool.
        record: Empty where it is on the disk alone, and once it is settled.
        number, place: Its number in its journal, and where it ends in its spool.
        source: The spool that is told when it is settled.
    """

    event_id: str
    key: bytes
    record: bytes
    number: int = 0
    place: int = 0
    source: SpoolHandle | None = None
    delivery: Delivery | None = None
    refusal: DeliveryError | None = None
    wakers: list[Callable[[], object]] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the broker has acknowledged or refused the event."""
        return self.delivery is not None or self.refusal is not None

    def add_waker(self, waker: Callable[[], object]) -> None:
        """Have *waker* called once when the event is settled."""
        if self.wakers is None:
            self.wakers = []
        self.wakers.append(waker)

    def remove_waker(self, waker: Callable[[], object]) -> None:
        """Forget *waker*, which may have been taken already."""
        if self.wakers is not None and waker in self.wakers:
            self.wakers.remove(waker)

    def take_wakers(self) -> list[Callable[[], object]]:
        """Return the wakers and forget them."""
        wakers, self.wakers = self.wakers or [], None
        return wakers
