"""How a run ended, told from what was raised: completed, failed, cancelled or timed out."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING

from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from collections.abc import Iterator


def ending_of(error: BaseException | None) -> EventType:
    """Return the type of the event that ends a run which *error* left; None left it well.

    What is no `Exception` stops a run from outside: asyncio's and trio's cancellations, Ctrl-C, an exit, a stream
    that its reader broke off. A time limit inside the run raises `TimeoutError`; one around it arrives as a
    cancellation, and cannot be told from one. A group of errors has failed where any of them has; else it has timed
    out where any of them has.
    """
    if error is None:
        return EventType.RUN_COMPLETED
    endings = {_ending(each) for each in _leaves(error)}
    for ending in (EventType.RUN_FAILED, EventType.RUN_TIMEOUT):
        if ending in endings:
            return ending
    return EventType.RUN_CANCELLED


def _ending(error: BaseException) -> EventType:
    # The cancellation of a future of threads is an Exception, unlike asyncio's.
    if not isinstance(error, Exception) or isinstance(error, concurrent.futures.CancelledError):
        return EventType.RUN_CANCELLED
    return EventType.RUN_TIMEOUT if isinstance(error, TimeoutError) else EventType.RUN_FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield what a group holds, at any depth; an error that is no group is itself."""
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
        else:
            yield each
