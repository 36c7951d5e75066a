"""Tells a spool how far the events that were read from it are settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.producer.receipt import Receipt, Source

    MakeReceipt = Callable[[str, bytes, bytes], Receipt]


def put_on_its_way(receipt: Receipt, number: int, source: Source, place: int) -> Receipt:
    """Note that *receipt*'s event, which ends at *place* of *source*, comes after all before it."""
    receipt.number, receipt.source, receipt.place = number, source, place
    source.last = receipt
    return receipt


def pass_over(source: Source, place: int) -> None:
    """Settle a range that holds no event, together with the event before it and never sooner."""
    if source.last is not None and source.last.source is source:
        source.last.place = place
    else:
        source.settle_to(place)


def settle_source(receipt: Receipt) -> None:
    """Tell the spool that everything up to *receipt* is settled."""
    source, receipt.source = receipt.source, None
    if source is not None:
        source.settle_to(receipt.place)
