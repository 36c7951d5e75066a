"""What a model call of LangChain's used, and which response it was."""

from __future__ import annotations

from typing import Any

from trailhouse.producer.object_fields import read
from trailhouse.producer.recording.usage import Usage

OWN_IDS = ("lc_run-", "run-")
"""How the ids begin that LangChain makes up for messages whose provider gave none."""


def usage_of(response: Any, *, model: str | None, provider: str | None) -> Usage:
    """Return what the call that *response* (an `LLMResult`) ends used; what is not said is None.

    LangChain's `input_tokens` hold what was cached already, and its `output_tokens` what was thought.
    """
    message = message_of(response)
    said, about = read(message, "usage_metadata"), read(message, "response_metadata")
    totals = read(read(response, "llm_output"), "token_usage", "usage")
    read_in, out = read(said, "input_token_details"), read(said, "output_token_details")
    named = read(about, "model_name", "model") or read(read(response, "llm_output"), "model_name")
    return Usage(
        input_tokens=_count(said, "input_tokens", totals, "prompt_tokens"),
        output_tokens=_count(said, "output_tokens", totals, "completion_tokens"),
        total_tokens=_count(said, "total_tokens", totals, "total_tokens"),
        cache_read_tokens=_whole(read(read_in, "cache_read")),
        cache_write_tokens=_cache_writes(read_in),
        reasoning_tokens=_whole(read(out, "reasoning")),
        model=named if isinstance(named, str) else model,
        provider=provider,
    )


def is_from_cache(response: Any) -> bool:
    """Tell whether LangChain answered from its own cache: no model was called, and nothing used."""
    return read(read(message_of(response), "usage_metadata"), "total_cost") == 0


def response_id_of(response: Any) -> str | None:
    """Return the provider's id of the response; None where it gave none."""
    message = message_of(response)
    for given in (
        read(read(message, "response_metadata"), "id", "response_id"),
        read(read(response, "llm_output"), "id"),
        read(message, "id"),
    ):
        if isinstance(given, str) and given and not given.startswith(OWN_IDS):
            return given
    return None


def message_of(response: Any) -> Any:
    """Return the message of the first answer; with several answers each has the usage of all."""
    for answers in read(response, "generations") or ():
        for answer in answers:
            message = read(answer, "message")
            if message is not None:
                return message
    return None


def _count(said: Any, name: str, totals: Any, old_name: str) -> int | None:
    found = _whole(read(said, name))
    return _whole(read(totals, old_name)) if found is None else found


def _cache_writes(details: Any) -> int | None:
    # With the lifetimes of Anthropic's caches given one by one, `cache_creation` is 0 beside them.
    names = ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    counts = [count for name in names if (count := _whole(read(details, name))) is not None]
    return sum(counts) if counts else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
