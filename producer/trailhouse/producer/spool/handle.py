"""Tells a spool how far the events that were read from it are settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trailhouse.producer.spool.queued_event import QueuedEvent, SpoolHandle


def put_on_its_way(
    queued: QueuedEvent, number: int, source: SpoolHandle, place: int
) -> QueuedEvent:
    """Note that *queued*'s event, which ends at *place* of *source*, comes after all before it."""
    queued.number, queued.source, queued.place = number, source, place
    source.last = queued
    return queued


def pass_over(source: SpoolHandle, place: int) -> None:
    """Settle a range that holds no event, together with the event before it and never sooner."""
    if source.last is not None and source.last.source is source:
        source.last.place = place
    else:
        source.settle_to(place)


def settle_source(queued: QueuedEvent) -> None:
    """Tell the spool that everything up to *queued* is settled."""
    source, queued.source = queued.source, None
    if source is not None:
        source.settle_to(queued.place)
