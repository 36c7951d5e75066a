"""The promoted columns: right where data is plain, empty where it is odd, and never an error."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.consumer.batch.promoted import cost_usd, promote

ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = (
    "model", "tool_name", "tool_call_id", "error_code", "input_tokens", "output_tokens", "total_tokens", "cost_usd",
    "duration_ms", "token_usage",
)  # fmt: skip


def test_each_column_comes_from_its_name() -> None:
    """Every promoted column is the value of its own name in data."""
    data = {
        "model": "m", "tool_name": "t", "tool_call_id": "c", "error_code": "e", "input_tokens": 0, "output_tokens": 2,
        "total_tokens": 3, "cost_usd": 0.25, "duration_ms": 4,
    }  # fmt: skip
    assert promote(data) == ("m", "t", "c", "e", 0, 2, 3, Decimal("0.25"), 4.0)


def test_token_usage_is_the_second_place() -> None:
    """What data does not name is taken from its token_usage; what it names goes first."""
    usage = {"input_tokens": 1, "output_tokens": 2, "cost_usd": "0.5"}
    assert promote({"token_usage": usage, "output_tokens": 9})[4:8] == (1, 9, None, Decimal("0.5"))


@pytest.mark.parametrize(
    "data", [{}, {"token_usage": {}}, {"token_usage": [1]}, {"other": 1}], ids=repr
)
def test_absent_is_empty(data: dict[str, Any]) -> None:
    """Nothing given is empty text and no number."""
    assert promote(data) == ("", "", "", "", None, None, None, None, None)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("model", 4, ""),
        ("model", ["m"], ""),
        ("tool_call_id", 7, ""),
        ("error_code", 500, "500"),
        ("error_code", True, ""),
        pytest.param("error_code", 10**5_000, "", id="more digits than Python writes"),
        ("input_tokens", -1, None),
        ("input_tokens", 2**64, None),
        ("input_tokens", 2**64 - 1, 2**64 - 1),
        ("input_tokens", True, None),
        ("input_tokens", 1.0, None),
        ("input_tokens", "7", None),
        ("duration_ms", 10**400, None),
        ("duration_ms", True, None),
        ("duration_ms", "5", None),
        ("duration_ms", 1.5, 1.5),
    ],
)
def test_odd_values_leave_the_column_empty(name: str, value: object, expected: object) -> None:
    """A value of another type or range is no value."""
    assert promote({name: value})[NAMES.index(name)] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (3, "3"),
        (0.1, "0.1"),
        ("0.000150", "0.00015"),
        ("-2.5e-3", "-0.0025"),
        (1e-18, "1e-18"),
        (0.00034500000000000004, "0.000345"),
        ("0.0000000000000000005", "0"),
        ("0.0000000000000000015", "2e-18"),
        ("99999999999999999999", "99999999999999999999"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
    ],
)
def test_costs_are_exact_to_eighteen_digits(value: object, expected: str) -> None:
    """A number or its text becomes the decimal with the same digits, rounded half to even at the 18th."""
    assert cost_usd(value) == Decimal(expected)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "NaN",
        "Infinity",
        "1_000",
        " 1",
        "١",
        "1e9999",
        1e20,
        "100000000000000000000",
        "99999999999999999999.9999999999999999995",
        "-99999999999999999999.9999999999999999996",
        10**400,
        [],
        {},
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_cost_is_none(value: object) -> None:
    """Text that is no plain number, and amounts that do not fit, are no cost."""
    assert cost_usd(value) is None


@given(st.dictionaries(st.sampled_from(NAMES), ANY_JSON))
def test_no_data_is_too_odd(data: dict[str, Any]) -> None:
    """Whatever stands under the promoted names, the result fits the columns."""
    *texts, tokens_in, tokens_out, tokens, cost, duration = promote(data)
    assert all(type(text) is str for text in texts)
    assert all(count is None or 0 <= count < 2**64 for count in (tokens_in, tokens_out, tokens))
    assert cost is None or abs(cost) <= 10**20
    assert duration is None or isinstance(duration, float)
