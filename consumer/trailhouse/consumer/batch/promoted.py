"""The promoted columns: what analysts filter and sum on, projected from an event's `data`.

The record is the truth. A value of an odd type leaves its column empty; nothing here ever raises.
"""

import decimal
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from trailhouse.schemas.event_data import PROMOTED_COLUMNS

MAX_UINT64 = 2**64 - 1
COST_DIGITS_BEFORE_POINT = 20
_MAX_COST = Decimal(10) ** COST_DIGITS_BEFORE_POINT
_COST_STEP = Decimal("1e-18")
_COST_CONTEXT = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_EVEN)
_is_plain_number = re.compile(
    r"[+-]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?"
).fullmatch


Promoted = tuple[
    str, str, str, str, int | None, int | None, int | None, Decimal | None, float | None
]
"""model, tool_name, tool_call_id, error_code, input_tokens, output_tokens, total_tokens, cost_usd, duration_ms."""

_NOTHING: Promoted = ("", "", "", "", None, None, None, None, None)


_has_none_of = frozenset({*PROMOTED_COLUMNS, "token_usage"}).isdisjoint


def promoted_columns(data: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Project each of *data*; return a list for each of `Promoted`'s values."""
    if not data:
        return [[] for _ in _NOTHING]
    rows = [_NOTHING if _has_none_of(each) else promote(each) for each in data]
    return list(map(list, zip(*rows, strict=True)))


def promote(data: Mapping[str, Any]) -> Promoted:
    """Project *data*: text is empty and a number None when it is absent or odd.

    What `data` does not name is looked for in its `token_usage`.
    """
    usage = data.get("token_usage")
    get = ({**usage, **data} if type(usage) is dict else data).get
    # Checked here before any call: in most events most of these are absent, and this is the hot path.
    model, tool_name, call, code = (
        get("model"),
        get("tool_name"),
        get("tool_call_id"),
        get("error_code"),
    )
    tokens_in, tokens_out, tokens = get("input_tokens"), get("output_tokens"), get("total_tokens")
    cost, duration = get("cost_usd"), get("duration_ms")
    return (
        model if type(model) is str else "",
        tool_name if type(tool_name) is str else "",
        call if type(call) is str else "",
        "" if code is None else _code(code),
        None if tokens_in is None else _tokens(tokens_in),
        None if tokens_out is None else _tokens(tokens_out),
        None if tokens is None else _tokens(tokens),
        None if cost is None else cost_usd(cost),
        None if duration is None else _duration_ms(duration),
    )


def cost_usd(value: object) -> Decimal | None:
    """Return a number, or the text of one, as Decimal(38, 18), rounded half to even.

    A float counts as its shortest digits, so 0.1 is 0.1. None when absent, odd or out of range.
    """
    # True is an int to Python; as a cost it is a mistake of whoever wrote it.
    if value is None or type(value) is bool:
        return None
    # The shortest digits that give the float again are what was written in the JSON.
    text = repr(value) if type(value) is float else value if type(value) is str else None
    if text is None:
        return _fitted(Decimal(value)) if type(value) is int and abs(value) <= 10**21 else None
    return _fitted(Decimal(text)) if _is_plain_number(text) else None


def _fitted(amount: Decimal) -> Decimal | None:
    if amount.copy_abs() >= _MAX_COST:
        return None
    # Rounded up it may be a digit more than the column has, and would take its event into quarantine.
    rounded = _COST_CONTEXT.quantize(amount, _COST_STEP)
    return rounded if rounded.copy_abs() < _MAX_COST else None


def _code(value: object) -> str:
    """Return an error's code as text; a whole number such as an HTTP status is as good."""
    if type(value) is str:
        return value
    return str(value) if type(value) is int and abs(value) <= MAX_UINT64 else ""


def _tokens(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_UINT64 else None


def _duration_ms(value: object) -> float | None:
    if type(value) is int and abs(value) <= MAX_UINT64:
        return float(value)
    return value if type(value) is float and math.isfinite(value) else None
