"""The two books of cost, increments and totals, side by side and never added: docs/reads.md says what each is.

All sums are exact: tokens are added in 128 bits and costs in 76 decimal digits, so that no stored value, however
large, makes a sum turn over.
"""

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from typing import Any

import msgspec

_EXACT = Context(prec=200)
"""No sum of ours has so many digits: the context of the caller's thread, which rounds at 28, is not used."""

CARRIES_USAGE = (
    "(isNotNull(input_tokens) OR isNotNull(output_tokens) OR isNotNull(total_tokens)"
    " OR isNotNull(cost_usd))"
)
IN_INCREMENTS = (
    "(type = 'token_usage_updated'"
    f" OR (type IN ('model_call_completed', 'model_call_failed') AND {CARRIES_USAGE}))"
)
IN_TOTALS = "(type = 'run_completed')"
OUTSIDE_BOOKS = f"({CARRIES_USAGE} AND NOT {IN_INCREMENTS} AND NOT {IN_TOTALS})"


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """What the events of one book say; None where none of them says it, which is unknown and not 0.

    Attributes:
        events: How many events the book has.
        unpriced_events: How many of them name no cost that can be read.
        input_tokens: Sum of what they say.
        output_tokens: Likewise.
        total_tokens: Likewise; only what is stated as a total, never input plus output.
        cost_usd: Likewise, US dollars, exact.
    """

    events: int
    unpriced_events: int
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cost_usd: Decimal | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Totals less increments; None where one of the two books does not say it.

    Attributes:
        input_tokens: By how many input tokens the totals exceed the increments.
        output_tokens: Likewise.
        total_tokens: Likewise.
        cost_usd: Likewise, US dollars, exact.
    """

    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cost_usd: Decimal | None

    @property
    def is_nothing(self) -> bool:
        """Whether the books agree wherever both say something."""
        return not any(msgspec.structs.astuple(self))


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Both books of the same events.

    Attributes:
        increments: What was used step by step: `token_usage_updated` and model calls that carry usage.
        totals: What `run_completed` says of its run by itself; it repeats the increments.
        difference: Totals less increments.
        differ: Whether any of those differences is not 0.
        outside_events: Events of other types that carry tokens or a cost: in neither book, in no sum.
    """

    increments: Book
    totals: Book
    difference: Difference
    differ: bool
    outside_events: int


def _book_sql(of: str) -> list[str]:
    tokens = [
        f"sumIf(toUInt128({name}), {of})"
        for name in ("input_tokens", "output_tokens", "total_tokens")
    ]
    return [
        f"countIf({of})",
        f"countIf({of} AND isNull(cost_usd))",
        *tokens,
        f"sumIf(toDecimal256(cost_usd, 18), {of})",
    ]


BOOKS_SQL = (*_book_sql(IN_INCREMENTS), *_book_sql(IN_TOTALS), f"countIf({OUTSIDE_BOOKS})")
"""What `books_of` takes, in its order, as aggregates over events each of which is met once."""


def books_of(values: Sequence[Any]) -> Books:
    """Return the books that the values of BOOKS_SQL are."""
    increments, totals = _book(values[:6]), _book(values[6:12])
    difference = _difference(increments, totals)
    return Books(
        increments=increments,
        totals=totals,
        difference=difference,
        differ=not difference.is_nothing,
        outside_events=int(values[12]),
    )


def added(several: Iterable[Books]) -> Books:
    """Return the books of all events of *several*, which have none in common: each book for itself."""
    found = list(several)
    increments = _added_books([each.increments for each in found])
    totals = _added_books([each.totals for each in found])
    difference = _difference(increments, totals)
    return Books(
        increments=increments,
        totals=totals,
        difference=difference,
        differ=not difference.is_nothing,
        outside_events=sum(each.outside_events for each in found),
    )


def exact(amount: Decimal | None) -> Decimal | None:
    """Return *amount* without the zeros that its column adds behind the last digit."""
    if amount is None:
        return None
    # Not `normalize`: it rounds to the precision of the thread's context.
    digits = f"{amount:f}"
    return Decimal(digits.rstrip("0").rstrip(".") if "." in digits else digits)


def _book(values: Sequence[Any]) -> Book:
    events, unpriced, tokens_in, tokens_out, tokens, cost = values
    return Book(
        events=int(events),
        unpriced_events=int(unpriced),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        total_tokens=tokens,
        cost_usd=exact(cost),
    )


def _added_books(books: Sequence[Book]) -> Book:
    return Book(
        events=sum(book.events for book in books),
        unpriced_events=sum(book.unpriced_events for book in books),
        input_tokens=_whole(book.input_tokens for book in books),
        output_tokens=_whole(book.output_tokens for book in books),
        total_tokens=_whole(book.total_tokens for book in books),
        cost_usd=_amount(book.cost_usd for book in books),
    )


def _whole(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _amount(values: Iterable[Decimal | None]) -> Decimal | None:
    total: Decimal | None = None
    for value in values:
        if value is not None:
            total = value if total is None else _EXACT.add(total, value)
    return exact(total)


def _difference(increments: Book, totals: Book) -> Difference:
    return Difference(
        input_tokens=_less(totals.input_tokens, increments.input_tokens),
        output_tokens=_less(totals.output_tokens, increments.output_tokens),
        total_tokens=_less(totals.total_tokens, increments.total_tokens),
        cost_usd=less(totals.cost_usd, increments.cost_usd),
    )


def _less(amount: int | None, other: int | None) -> int | None:
    return None if amount is None or other is None else amount - other


def less(amount: Decimal | None, other: Decimal | None) -> Decimal | None:
    """Return *amount* less *other*, exact; None if one of them is unknown."""
    return None if amount is None or other is None else exact(_EXACT.subtract(amount, other))
