"""What a spool is to the events that are read from it: told how far they are settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.producer.receipt import Receipt

    MakeReceipt = Callable[[str, bytes, bytes], Receipt]


class Source(Protocol):
    """A spool that events are sent from.

    Attributes:
        last: The event that was put on its way last; it loses its `source` when it is settled and
            everything before it is.
    """

    last: Receipt | None

    def settle_to(self, place: int) -> None:
        """Note that everything before *place* is settled."""
        ...


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
