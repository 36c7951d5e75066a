"""The two books of cost of events that are at hand: what `BOOKS_SQL` sums in ClickHouse, summed here. Pure."""

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal

from trailhouse.query.books import Books, books_of
from trailhouse.query.steps.event_facts import EventFacts
from trailhouse.schemas import EventType
from trailhouse.schemas.event_data import USAGE_INCREMENTS

_EXACT = Context(prec=200)


def books_of_facts(events: Iterable[EventFacts]) -> Books:
    """Return the books of *events*: as `BOOKS_SQL` has them, without asking ClickHouse."""
    increments: list[EventFacts] = []
    totals: list[EventFacts] = []
    outside = 0
    for each in events:
        carries = not (
            each.input_tokens is None
            and each.output_tokens is None
            and each.total_tokens is None
            and each.cost_usd is None
        )
        if each.type == EventType.RUN_COMPLETED:
            totals.append(each)
        elif each.type == EventType.TOKEN_USAGE_UPDATED or (
            carries and each.type in USAGE_INCREMENTS
        ):
            increments.append(each)
        else:
            outside += carries
    return books_of([*_sums(increments), *_sums(totals), outside])


def _sums(events: Sequence[EventFacts]) -> list[int | Decimal | None]:
    costs = [each.cost_usd for each in events if each.cost_usd is not None]
    cost: Decimal | None = None
    for amount in costs:
        cost = amount if cost is None else _EXACT.add(cost, amount)
    return [
        len(events),
        len(events) - len(costs),
        _sum(each.input_tokens for each in events),
        _sum(each.output_tokens for each in events),
        _sum(each.total_tokens for each in events),
        cost,
    ]


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
