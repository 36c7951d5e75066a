"""What a turn of Claude used: the result's own count, and what its subagents used beside it."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from trailhouse.capture.claude_agent.memory import Counted
from trailhouse.producer.recording.usage import Usage, exact_cost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse.capture.claude_agent.memory import Remembered

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


class Spent(NamedTuple):
    """What a turn used: itself, what was used beside it since the last result, and what both cost."""

    own: Usage
    beside: Usage | None
    cost: Decimal | None


class SessionUsage:
    """Takes the results of one connection apart: their `usage` is the turn's own, all else counts up.

    Args:
        before: What each session had used, by its id; read and kept up.
        session_id: The session that is gone on with; None for a new one.
        is_resumed: Whether one is, known or not.
    """

    def __init__(
        self, before: Remembered[Counted], session_id: str | None, *, is_resumed: bool
    ) -> None:
        self._before = before
        self._last = before.get(session_id or "") if is_resumed else NOTHING

    def reset(self) -> None:
        """Start from nothing: the conversation was cleared, and its counts with it."""
        self._last = NOTHING

    def of(self, result: Any, model: str | None) -> Spent:
        """Return what the turn of *result* used. Its usage has the cost where nothing was used beside it."""
        models = result.model_usage if isinstance(result.model_usage, dict) else {}
        total = sum((_counted(each, SESSION_NAMES) for each in models.values()), Counter[str]())
        last, cost = (
            self._last or self._before.get(result.session_id),
            exact_cost(result.total_cost_usd),
        )
        self._last = self._before[result.session_id] = Counted(total, cost or Decimal(0))
        spent = None if last is None or cost is None else _rounded(cost - last.cost)
        known: dict[str, Any] = {"model": model, "provider": _provider(models, model)}
        if not isinstance(result.usage, dict):
            return Spent(Usage(cost_usd=spent, **known), None, spent)
        own = _counted(result.usage, OWN_NAMES)
        details = result.usage.get("output_tokens_details")
        thought = details.get("thinking_tokens") if isinstance(details, dict) else None
        # Of a session that was begun elsewhere it is not known what was used before.
        beside = Counter[str]() if last is None else total - last.tokens - own
        names = [name for name in models if name != model] if len(models) == 2 else list(models)
        others = _usage(beside, model=names[0] if len(names) == 1 else None) if beside else None
        own_cost = spent if others is None else None
        return Spent(
            _usage(own, reasoning_tokens=thought, cost_usd=own_cost, **known), others, spent
        )


NOTHING = Counted(Counter(), Decimal(0))


def _rounded(cost: Decimal) -> Decimal:
    """Return *cost* without what is left of adding floats up."""
    return Decimal(f"{cost:.10f}".rstrip("0").rstrip("."))


def _provider(models: dict[str, Any], model: str | None) -> str | None:
    entry = models.get(model) if model is not None else None
    name = entry.get("provider") if isinstance(entry, dict) else None
    return PROVIDERS.get(name, name) if isinstance(name, str) else None
