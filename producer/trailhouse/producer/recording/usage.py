"""What one model call used, and the totals of a run's own calls: one meaning, whatever a framework calls it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, Self

import msgspec
from msgspec.structs import force_setattr

from trailhouse.producer.object_fields import read
from trailhouse.schemas.json_form import kind_of

TOKEN_KEYS = (
    "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip
_tokens_of = attrgetter(*TOKEN_KEYS)
_TEXT_OR_NONE = (str, type(None))
MOST_TOKENS = 10**12
"""More is a mistake of whoever counts, and would make every sum one."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a model call used; None is what its provider did not say, and 0 what it said.

    `input_tokens` holds what was read from and written into a cache, and `output_tokens` what was thought: an adapter
    whose framework counts those apart adds them first, or has `from_anthropic` or `from_openai` do so. A number that
    is none (text, a negative or a huge one) is taken as unknown, and `warnings` says so.
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
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for value in _tokens_of(self):
            if value is not None and (type(value) is not int or not 0 <= value <= MOST_TOKENS):
                self._check_tokens()
                break
        if self.cost_usd is not None and exact_cost(self.cost_usd) is None:
            self._refuse("cost_usd", "an amount", self.cost_usd)
            force_setattr(self, "cost_usd", None)
        if type(self.model) not in _TEXT_OR_NONE or type(self.provider) not in _TEXT_OR_NONE:
            self._check_names()

    def _check_tokens(self) -> None:
        for name, value in zip(TOKEN_KEYS, _tokens_of(self), strict=True):
            if value is None or (type(value) is int and 0 <= value <= MOST_TOKENS):
                continue
            if (count := token_count(value)) is None:
                self._refuse(name, "a number of tokens", value)
            force_setattr(self, name, count)

    def _check_names(self) -> None:
        for name in ("model", "provider"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                self._refuse(name, "a string", value)
                force_setattr(self, name, None)

    def _refuse(self, name: str, wanted: str, value: object) -> None:
        said = f"{name}: should be {wanted}, is {kind_of(value)}"
        force_setattr(self, "warnings", (*self.warnings, said))

    @classmethod
    def from_anthropic(
        cls,
        usage: object,
        *,
        model: str | None = None,
        provider: str | None = "anthropic",
        cost_usd: Decimal | float | str | None = None,
    ) -> Self:
        """Return what Anthropic's API says, whose `input_tokens` leave out what came from or went into a cache.

        Args:
            usage: A mapping or an object of the API's names; None where there is none.
            model: The model.
            provider: Who served it, such as ``aws.bedrock``.
            cost_usd: What it cost.
        """
        read_tokens = read(usage, "cache_read_input_tokens", "cache_read_tokens")
        written = read(usage, "cache_creation_input_tokens", "cache_write_input_tokens")
        fresh = token_count(given := read(usage, "input_tokens"))
        cached = sum(token_count(part) or 0 for part in (read_tokens, written))
        return cls(
            input_tokens=given if fresh is None else fresh + cached,
            output_tokens=read(usage, "output_tokens"),
            cache_read_tokens=read_tokens,
            cache_write_tokens=written,
            cost_usd=cost_usd,
            model=model,
            provider=provider,
        )

    @classmethod
    def from_openai(
        cls,
        usage: object,
        *,
        model: str | None = None,
        provider: str | None = "openai",
        cost_usd: Decimal | float | str | None = None,
    ) -> Self:
        """Return what OpenAI's APIs and those made after them say, whose input holds what is cached.

        Args:
            usage: A mapping or an object of the names of Responses or Chat Completions; None where there is none.
            model: The model.
            provider: Who served it.
            cost_usd: What it cost.
        """
        of_input = read(usage, "input_tokens_details", "prompt_tokens_details")
        of_output = read(usage, "output_tokens_details", "completion_tokens_details")
        return cls(
            input_tokens=read(usage, "input_tokens", "prompt_tokens"),
            output_tokens=read(usage, "output_tokens", "completion_tokens"),
            total_tokens=read(usage, "total_tokens"),
            cache_read_tokens=read(of_input, "cached_tokens"),
            cache_write_tokens=read(of_input, "cache_write_tokens", "cache_creation_tokens"),
            reasoning_tokens=read(of_output, "reasoning_tokens"),
            cost_usd=cost_usd,
            model=model,
            provider=provider,
        )

    @property
    def is_missing(self) -> bool:
        """Whether neither what went in nor what came out is known."""
        return self.input_tokens is None and self.output_tokens is None

    def tokens(self) -> dict[str, int]:
        """Return its numbers of tokens, by name; what is unknown is left out."""
        values = _tokens_of(self)
        return {
            name: value for name, value in zip(TOKEN_KEYS, values, strict=True) if value is not None
        }

    def data(self) -> dict[str, Any]:
        """Return it as the `data` of `token_usage_updated`; what is unknown is left out, and said."""
        data: dict[str, Any] = {} if self.model is None else {"model": self.model}
        for name, value in zip(TOKEN_KEYS, _tokens_of(self), strict=True):
            if value is not None:
                data[name] = value  # noqa: PERF403 - a comprehension is a call more
        if self.cost_usd is not None:
            data["cost_usd"] = self.cost_usd
        if self.input_tokens is None and self.output_tokens is None:
            data["usage_missing"] = True
        return data


class Totals:
    """The sums of what a run's own model calls used. For one thread at a time."""

    def __init__(self) -> None:
        self._tokens: dict[str, int] = {}
        self._cost: Decimal | None = None
        self._is_missing = False

    def add(self, usage: Usage) -> None:
        """Add a call; what it does not know makes the totals say so, and counts as nothing."""
        if usage.input_tokens is None and usage.output_tokens is None:
            self._is_missing = True
        tokens = self._tokens
        for name, count in zip(TOKEN_KEYS, _tokens_of(usage), strict=True):
            if count is not None:
                tokens[name] = tokens.get(name, 0) + count
        if (cost := None if usage.cost_usd is None else exact_cost(usage.cost_usd)) is not None:
            self._cost = cost if self._cost is None else self._cost + cost

    @property
    def token_usage(self) -> dict[str, Any]:
        """The totals as `run_completed` has them; empty where no call was recorded."""
        return {**self._tokens, "usage_missing": True} if self._is_missing else dict(self._tokens)

    @property
    def cost_usd(self) -> Decimal | None:
        """The sum of the costs that are known."""
        return self._cost


def token_count(value: object) -> int | None:
    """Return *value* as a number of tokens; None where it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    count = int.__int__(value)  # not what a subclass makes of it
    return count if 0 <= count <= MOST_TOKENS else None


def exact_cost(cost: object) -> Decimal | None:
    """Return *cost* as the decimal that it is written as; None where it is no finite amount from 0."""
    if isinstance(cost, bool) or not isinstance(cost, (Decimal, int, float, str)):
        return None
    try:
        amount = Decimal(str(cost))
    except (InvalidOperation, ValueError):  # an integer of too many digits has no text
        return None
    return amount if amount.is_finite() and amount >= 0 else None
