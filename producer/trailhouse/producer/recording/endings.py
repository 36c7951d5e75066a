"""How a run ended, told from what was raised: completed, failed, cancelled or timed out."""

from __future__ import annotations

from trailhouse.schemas.event_type import EventType


def ending_of(error: BaseException | None) -> EventType:
    """Return the type of the event that ends a run which *error* left; None left it well.

    What is no `Exception` stops a run from outside: asyncio's and trio's cancellations, Ctrl-C, an exit, a stream
    that its reader broke off. A time limit inside the run raises `TimeoutError`; one around it arrives as a
    cancellation, and cannot be told from one.
    """
    if error is None:
        return EventType.RUN_COMPLETED
    if not isinstance(error, Exception):
        return EventType.RUN_CANCELLED
    return EventType.RUN_TIMEOUT if isinstance(error, TimeoutError) else EventType.RUN_FAILED
