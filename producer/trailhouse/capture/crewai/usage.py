"""What CrewAI says that a model call used, and what its models count where no event says it."""

from __future__ import annotations

from typing import Any

from trailhouse.producer.recording.usage import Usage

INPUT = ("prompt_tokens", "prompt_token_count", "input_tokens")
OUTPUT = ("completion_tokens", "candidates_token_count", "output_tokens")


def usage_of(source: object, event: Any) -> Usage:
    """Return what the call of *event* used; its provider's names are read as CrewAI itself reads them."""
    from crewai.types.usage_metrics import UsageMetrics

    told = event.usage if isinstance(event.usage, dict) else {}
    metrics = UsageMetrics.from_provider_dict(told)
    known: dict[str, Any] = {"model": event.model, "provider": _provider(source)}
    if metrics is None:
        return Usage(**known)
    output = metrics.completion_tokens
    # Gemini counts what was thought beside what was written.
    if told.get("total_tokens") == metrics.prompt_tokens + output + metrics.reasoning_tokens:
        output += metrics.reasoning_tokens
    return Usage(
        input_tokens=metrics.prompt_tokens if _says(told, INPUT) else None,
        output_tokens=output if _says(told, OUTPUT) else None,
        cache_read_tokens=metrics.cached_prompt_tokens or None,
        cache_write_tokens=metrics.cache_creation_tokens or None,
        reasoning_tokens=metrics.reasoning_tokens or None,
        **known,
    )


def is_model_call(event: Any) -> bool:
    """Tell whether *event* is the end of a model call: CrewAI sends one like it for a tool that a model class ran."""
    kind = getattr(event.call_type, "value", event.call_type)
    return not (kind == "tool_call" and event.usage is None and event.messages is None)


class Meter:
    """What the models of one kickoff count themselves: all there is where they send no events."""

    def __init__(self, agents: list[Any]) -> None:
        models: list[Any] = [getattr(agent, "llm", None) for agent in agents]
        self._models = {id(m): m for m in models if hasattr(m, "get_token_usage_summary")}
        self._before = self._counted()
        self.has_events = False

    def _counted(self) -> dict[int, Any]:
        return {key: model.get_token_usage_summary() for key, model in self._models.items()}

    def used(self) -> list[Usage]:
        """Return what each model used since the start, where no event told; its calls are not told apart."""
        if self.has_events:
            return []
        found = []
        for key, now in self._counted().items():
            since, model = now.delta_since(self._before[key]), self._models[key]
            if since.total_tokens:
                found.append(
                    Usage(
                        input_tokens=since.prompt_tokens,
                        output_tokens=since.completion_tokens,
                        cache_read_tokens=since.cached_prompt_tokens or None,
                        cache_write_tokens=since.cache_creation_tokens or None,
                        reasoning_tokens=since.reasoning_tokens or None,
                        model=getattr(model, "model", None),
                        provider=_provider(model),
                    )
                )
        return found


def _says(told: dict[str, Any], names: tuple[str, ...]) -> bool:
    return any(told.get(name) is not None for name in names)


def _provider(model: object) -> str | None:
    provider = getattr(model, "provider", None)
    return provider if isinstance(provider, str) else None
