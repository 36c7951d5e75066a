"""The calls of the audit logger for asyncio: what may block is done beside the event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from trailhouse.producer.receipt import DEFAULT_TIMEOUT_SECONDS
from trailhouse.producer.run_in_thread import run_in_thread
from trailhouse.schemas.draft import GIVEN, EventDraft, Processor, processed
from trailhouse.schemas.errors import DeliveryError
from trailhouse.schemas.event import unknown_field

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from types import TracebackType

    from trailhouse.producer.delivery.dispatcher import Dispatcher
    from trailhouse.producer.receipt import Receipt
    from trailhouse.schemas.event_type import EventType
    from trailhouse.schemas.record import Actor


class EventFields(TypedDict, total=False):
    """What a call that logs may name beside the type."""

    session_id: str
    run_id: str | None
    data: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None
    tenant_id: str | None
    actor: Actor | Mapping[str, str] | None
    agent_id: str | None
    parent_run_id: str | None
    provider: str | None
    correlation_id: str | None
    trace_id: str | None
    span_id: str | None
    event_id: str | None
    occurred_at: dt.datetime | None


class AsyncCalls(ABC):
    """`log`, `flush`, `close` and the block of an `AuditLogger`, for coroutines: none of them holds the event loop.

    A cancelled caller waits no longer; what was begun goes on: the event is logged, the logger is closed.
    """

    async def alog(
        self,
        type: EventType | str,
        *,
        wait: bool = False,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        **fields: Unpack[EventFields],
    ) -> Receipt | None:
        """Do what `log` does, *wait* included, and wait for room in a full spool without holding the loop.

        Guarantees, arguments and errors are those of `log`. Calls that are awaited one after the other are in
        that order; of those that go on at once, each takes its place when it finds room.
        """
        if (unknown := fields.keys() - _NAMES) and self.is_enabled:
            raise unknown_field(unknown)
        named = {name: value for name, value in fields.items() if name in _NAMES}
        draft = processed(EventDraft(type=type, **named), self._processors)
        if draft is None:
            return None
        dispatcher = self._dispatcher
        if (receipt := dispatcher.try_log(draft)) is None:
            receipt = await run_in_thread(dispatcher.log, draft)
        if wait:
            await receipt.aresult(timeout_seconds)
        return receipt

    async def aflush(self, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """Do what `flush` does; the same errors."""
        await run_in_thread(self.flush, timeout_seconds)

    async def aclose(self, timeout_seconds: float | None = None) -> None:
        """Do what `close` does; the same errors."""
        await run_in_thread(self.close, timeout_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.aclose()
        except DeliveryError as undelivered:
            note_on(error, undelivered)

    _dispatcher: Dispatcher
    _processors: tuple[Processor, ...]

    @property
    @abstractmethod
    def is_enabled(self) -> bool:
        """Whether events are written in the current context."""

    @abstractmethod
    def flush(self, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """Wait for every acknowledgement."""

    @abstractmethod
    def close(self, timeout_seconds: float | None = None) -> None:
        """Flush, and refuse further events."""


def note_on(error: BaseException | None, undelivered: DeliveryError) -> None:
    """Note on a block's own *error*, which goes on, what is undelivered; without one raise that."""
    if error is None:
        raise undelivered
    error.add_note(f"trailhouse: {undelivered}")


_NAMES = frozenset(GIVEN) - {"type"}
