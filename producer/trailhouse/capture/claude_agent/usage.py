"""What a turn of Claude used: the result's own count, and what its subagents used beside it."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trailhouse.producer.recording.usage import Usage, exact_cost

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN_NAMES = {
    "input_tokens": "fresh", "cache_read_input_tokens": "read", "cache_creation_input_tokens": "write",
    "output_tokens": "output",
}  # fmt: skip
SESSION_NAMES = {
    "inputTokens": "fresh", "cacheReadInputTokens": "read", "cacheCreationInputTokens": "write",
    "outputTokens": "output",
}  # fmt: skip
PROVIDERS = {
    "firstParty": "anthropic", "bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai", "foundry": "azure.ai.foundry",
}  # fmt: skip


def _counted(source: object, names: Mapping[str, str]) -> Counter[str]:
    found: Counter[str] = Counter()
    if isinstance(source, dict):
        for name, kind in names.items():
            if type(source.get(name)) is int:
                found[kind] += source[name]
    return found


def _usage(counted: Counter[str], **known: Any) -> Usage:
    """Return the usage of *counted*: Anthropic's input leaves out what was cached, ours has it."""
    return Usage(
        input_tokens=counted["fresh"] + counted["read"] + counted["write"],
        output_tokens=counted["output"],
        cache_read_tokens=counted["read"],
        cache_write_tokens=counted["write"],
        **known,
    )


class SessionUsage:
    """Takes the results of one connection apart: their `usage` is the turn's own, all else counts up from its start."""

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()
        self._cost = Decimal(0)

    def reset(self) -> None:
        """Start from nothing: the conversation was cleared, and its counts with it."""
        self._counted, self._cost = Counter(), Decimal(0)

    def of(self, result: Any, model: str | None) -> tuple[Usage, Usage | None, Decimal | None]:
        """Return what the turn used itself, what its subagents used since the last result, and what both cost.

        The cost is the turn's own, and in its usage, where no subagent used anything.
        """
        models = result.model_usage if isinstance(result.model_usage, dict) else {}
        total = sum((_counted(each, SESSION_NAMES) for each in models.values()), Counter[str]())
        since, self._counted = total - self._counted, total
        cost = exact_cost(result.total_cost_usd)
        spent = None if cost is None else cost - self._cost
        self._cost = self._cost if cost is None else cost
        known: dict[str, Any] = {"model": model, "provider": _provider(models, model)}
        if not isinstance(result.usage, dict):
            return Usage(cost_usd=spent, **known), None, spent
        own = _counted(result.usage, OWN_NAMES)
        details = result.usage.get("output_tokens_details")
        thought = details.get("thinking_tokens") if isinstance(details, dict) else None
        beside = since - own
        names = [name for name in models if name != model] if len(models) == 2 else list(models)
        others = _usage(beside, model=names[0] if len(names) == 1 else None) if beside else None
        own_cost = spent if others is None else None
        return (
            _usage(own, reasoning_tokens=thought, cost_usd=own_cost, **known),
            others,
            spent,
        )


def _provider(models: dict[str, Any], model: str | None) -> str | None:
    entry = models.get(model) if model is not None else None
    name = entry.get("provider") if isinstance(entry, dict) else None
    return PROVIDERS.get(name, name) if isinstance(name, str) else None
