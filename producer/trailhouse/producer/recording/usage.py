"""What one model call used, and the totals of a run's own calls: one meaning, whatever a framework calls it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

TOKEN_KEYS = (
    "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a model call used; None is what its provider did not say, and 0 what it said.

    `input_tokens` holds what was read from and written into a cache, and `output_tokens` what was thought: an adapter
    whose framework counts those apart adds them first.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: Decimal | float | str | None = None
    model: str | None = None
    provider: str | None = None

    @property
    def is_missing(self) -> bool:
        """Whether neither what went in nor what came out is known."""
        return self.input_tokens is None and self.output_tokens is None

    def data(self) -> dict[str, Any]:
        """Return it as the `data` of `token_usage_updated`; what is unknown is left out, and said."""
        names = ("model", *TOKEN_KEYS, "cost_usd")
        data = {name: value for name in names if (value := getattr(self, name)) is not None}
        return data | {"usage_missing": True} if self.is_missing else data


class Totals:
    """The sums of what a run's own model calls used. For one thread at a time."""

    def __init__(self) -> None:
        self._tokens: dict[str, int] = {}
        self._cost: Decimal | None = None
        self._is_missing = False

    def add(self, usage: Usage) -> None:
        """Add a call; what it does not know makes the totals say so, and counts as nothing."""
        self._is_missing = self._is_missing or usage.is_missing
        for name in TOKEN_KEYS:
            value = getattr(usage, name)
            if type(value) is int:
                self._tokens[name] = self._tokens.get(name, 0) + value
        cost = exact_cost(usage.cost_usd)
        if cost is not None:
            self._cost = cost if self._cost is None else self._cost + cost

    @property
    def token_usage(self) -> dict[str, Any]:
        """The totals as `run_completed` has them; empty where no call was recorded."""
        return {**self._tokens, "usage_missing": True} if self._is_missing else dict(self._tokens)

    @property
    def cost_usd(self) -> Decimal | None:
        """The sum of the costs that are known."""
        return self._cost


def exact_cost(cost: object) -> Decimal | None:
    """Return *cost* as the decimal that it is written as; None where it is no finite amount."""
    if isinstance(cost, bool) or not isinstance(cost, (Decimal, int, float, str)):
        return None
    try:
        amount = Decimal(str(cost))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
