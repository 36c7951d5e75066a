"""What the kit's objects say, as plain values."""

from __future__ import annotations

from typing import Any

from trailhouse.producer.recording.usage import Usage

CONFIRMATION = "adk_request_confirmation"
"""The function whose call asks for a decision, and whose response is the decision."""


def usage_of(response: Any, requested_model: str | None) -> Usage:
    """Return what a model call used. Gemini counts thoughts beside the answer, LiteLLM within it: the total tells."""
    model = response.model_version or requested_model
    provider = provider_of(requested_model)
    used = response.usage_metadata
    if used is None:
        return Usage(model=model, provider=provider)
    prompt, answer, thoughts = (
        used.prompt_token_count,
        used.candidates_token_count,
        used.thoughts_token_count,
    )
    total, by_tools = used.total_token_count, used.tool_use_prompt_token_count or 0
    is_beside = total is None or (prompt or 0) + by_tools + (answer or 0) < total
    written = [count for count in (answer, thoughts if is_beside else None) if count is not None]
    return Usage(
        input_tokens=None if prompt is None else prompt + by_tools,
        output_tokens=sum(written) if written else None,
        total_tokens=total,
        cache_read_tokens=used.cached_content_token_count,
        reasoning_tokens=thoughts,
        model=model,
        provider=provider,
    )


def provider_of(model: str | None) -> str | None:
    """Return who serves *model*, where its name tells: Google's own, or LiteLLM's ``provider/model``."""
    if not model:
        return None
    if model.startswith("gemini"):
        return "gcp.gemini"
    provider, slash, _ = model.partition("/")
    return provider if slash and provider not in ("models", "projects", "publishers") else None


def text_of(content: Any) -> str:
    """Return the text of a message, without the model's thoughts."""
    parts = (content.parts if content else None) or ()
    return "".join(part.text for part in parts if part.text and not part.thought)


def responses_in(content: Any) -> list[Any]:
    """Return the function responses of a message that say which call they answer."""
    parts = (content.parts if content else None) or ()
    responses = [part.function_response for part in parts]
    return [response for response in responses if response is not None and response.id]


def call_asked_about(call: Any) -> dict[str, Any] | None:
    """Return the tool's call that *call* asks a decision about; None where it asks for none."""
    if call.name != CONFIRMATION:
        return None
    asked = (call.args or {}).get("originalFunctionCall")
    return asked if isinstance(asked, dict) else None


def find_call(events: Any, call_id: str) -> Any:
    """Return the function call of this id in a session, the newest first; None where there is none."""
    calls = (call for event in reversed(events) for call in event.get_function_calls())
    return next((call for call in calls if call.id == call_id), None)


def plain(value: Any) -> Any:
    """Return a tool's result as JSON where it is a model of pydantic; the rest is for the encoder."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json", exclude_none=True) if callable(dump) else value
