"""The two books in Python: added exactly, each for itself, and never to one another."""

from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.query.books import Books, added, books_of, exact

amounts = st.none() | st.decimals(min_value=-(10**22), max_value=10**22, allow_nan=False, places=18)
tokens = st.none() | st.integers(0, 2**70)
one_book = st.tuples(st.integers(0, 99), st.integers(0, 99), tokens, tokens, tokens, amounts)
several = st.lists(
    st.builds(lambda a, b, n: books_of([*a, *b, n]), one_book, one_book, st.integers(0, 9)),
    max_size=6,
)


def total(values: list[Decimal | None]) -> Decimal | None:
    """Return the exact sum of what is known, None if nothing is."""
    known = [value for value in values if value is not None]
    with localcontext() as context:
        context.prec = 200
        return sum(known, Decimal(0)) if known else None


@given(parts=several)
def test_books_are_added_each_for_itself(parts: list[Books]) -> None:
    """Sums are exact beyond the 28 digits of Python's context, and unknown only where nobody knows."""
    found = added(parts)
    for name in ("increments", "totals"):
        books = [getattr(each, name) for each in parts]
        assert getattr(found, name).cost_usd == total([each.cost_usd for each in books])
        assert getattr(found, name).events == sum(each.events for each in books)
    both = (found.increments.cost_usd, found.totals.cost_usd)
    if None in both:
        assert found.difference.cost_usd is None
    else:
        assert found.difference.cost_usd == total(
            [both[1], both[0].copy_negate() if both[0] is not None else None]
        )
    assert found.differ is any(
        difference not in (None, 0)
        for difference in (
            found.difference.input_tokens,
            found.difference.output_tokens,
            found.difference.total_tokens,
            found.difference.cost_usd,
        )
    )


@given(amount=amounts)
def test_an_amount_keeps_its_value_and_loses_its_zeros(amount: Decimal | None) -> None:
    """No zero that a column added stands behind the last digit, and the value is the same."""
    shown = exact(amount)
    assert shown == amount
    if shown is not None and "." in f"{shown:f}":
        assert not f"{shown:f}".endswith("0")
