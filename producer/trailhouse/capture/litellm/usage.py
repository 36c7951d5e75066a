"""What a call of LiteLLM's used, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trailhouse.producer.object_fields import read
from trailhouse.producer.recording.usage import Usage

USAGE_ON_REQUEST = ("openai", "azure", "custom_openai", "litellm_proxy", "hosted_vllm")
"""Providers whose streams say what was used only with `stream_options`; else LiteLLM makes up a number."""


def usage_of(details: Mapping[str, Any], response: Any) -> Usage:
    """Return what the call of *details* used, as its *response* says; LiteLLM's tokens hold what was cached."""
    provider = details.get("custom_llm_provider")
    model = read(response, "model") or details.get("model")
    named = Usage(
        model=model if isinstance(model, str) else None,
        provider=provider if isinstance(provider, str) else None,
    )
    if _is_made_up(details):
        return named
    said = read(response, "usage")
    into = read(said, "prompt_tokens_details", "input_tokens_details")
    out = read(said, "completion_tokens_details", "output_tokens_details")
    return Usage(
        input_tokens=_whole(read(said, "prompt_tokens", "input_tokens")),
        output_tokens=_whole(read(said, "completion_tokens", "output_tokens")),
        total_tokens=_whole(read(said, "total_tokens")),
        cache_read_tokens=_whole(_first(said, into, "cache_read_input_tokens", "cached_tokens")),
        cache_write_tokens=_whole(
            _first(said, into, "cache_creation_input_tokens", "cache_creation_tokens")
        ),
        reasoning_tokens=_reasoning(details, read(out, "reasoning_tokens")),
        cost_usd=details.get("response_cost"),
        model=named.model,
        provider=named.provider,
    )


def response_id_of(response: Any) -> str | None:
    """Return the provider's id of the response; None where it gave none."""
    given = read(response, "id")
    return given if isinstance(given, str) and given else None


def _is_made_up(details: Mapping[str, Any]) -> bool:
    if not details.get("stream") or details.get("custom_llm_provider") not in USAGE_ON_REQUEST:
        return False
    options = details.get("stream_options") or read(
        details.get("optional_params"), "stream_options"
    )
    return not read(options, "include_usage")


def _reasoning(details: Mapping[str, Any], said: Any) -> int | None:
    # Of a stream that does not say it LiteLLM says 0.
    return _whole(said) or (None if details.get("stream") else _whole(said))


def _first(said: Any, into: Any, name: str, name_in_details: str) -> Any:
    found = read(said, name)
    return read(into, name_in_details) if found is None else found


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
