"""Plain JSON of what the SDK hands over, and what its objects say of session, model and usage."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from trailhouse.producer.recording.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

ASKING_ROLES = ("user", "system", "developer")
PLACEHOLDER_ID = "__fake_id__"
"""What the SDK calls a response to which its provider gave no id."""


def plain(value: Any) -> Any:
    """Return *value* as lists, dictionaries, text and numbers, where it says how; else as it is."""
    try:
        if callable(dump := getattr(value, "model_dump", None)):
            return dump(mode="json")
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, (list, tuple)):
            return [plain(each) for each in value]
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
    except Exception:  # noqa: BLE001 - a foreign object may raise anything; the event marks what it cannot hold
        return value
    return value


def arguments_of(text: Any) -> Any:
    """Return a call's arguments, which the model writes as the text of a JSON object."""
    if not isinstance(text, str):
        return plain(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def read(source: Any, name: str) -> Any:
    """Return what *source*, a mapping or an object, has under *name*; None where it has nothing."""
    return source.get(name) if isinstance(source, dict) else getattr(source, name, None)


def text_of(source: Any, name: str) -> str | None:
    """Return the text that *source* has under *name*; None for anything else, and for no text."""
    value = read(source, name)
    return value if isinstance(value, str) and value else None


def session_of(kwargs: Mapping[str, Any], trace: Any) -> str | None:
    """Return the session that a call of the runner names: the group, the SDK's session, the conversation."""
    session = kwargs.get("session")
    return (
        text_of(kwargs.get("run_config"), "group_id")
        or text_of(trace, "group_id")
        or text_of(session, "session_id")
        or text_of(kwargs, "conversation_id")
    )


def question_of(given: Any) -> tuple[str, Any] | None:
    """Return the role and content of what is asked: the text, or what follows the last answer in a history."""
    if isinstance(given, str):
        return "user", given
    asked: list[Any] = []
    for item in reversed(given) if isinstance(given, list) else ():
        if read(item, "role") not in ASKING_ROLES:
            break
        asked.insert(0, item)
    if not asked:
        return None
    content = read(asked[0], "content") if len(asked) == 1 else asked
    return str(read(asked[-1], "role")), plain(content)


def model_of(agent: Any, run_config: Any) -> tuple[str | None, str | None]:
    """Return model and provider of the next call of *agent*; None for what nobody says."""
    given = read(run_config, "model") or getattr(agent, "model", None)
    if given is None:
        from agents.models import get_default_model

        given = get_default_model()
    name = given if isinstance(given, str) else text_of(given, "model")
    if name is None or type(given).__name__.startswith("OpenAI"):
        return name, None if name is None else "openai"
    *prefix, name = name.removeprefix("litellm/").removeprefix("any-llm/").split("/", 1)
    is_sdks = isinstance(given, str) and _is_sdks(run_config)
    return name, prefix[0] if prefix else "openai" if is_sdks else None


def is_litellm(agent: Any, run_config: Any) -> bool:
    """Tell whether the next call of *agent* is made by LiteLLM."""
    given = read(run_config, "model") or getattr(agent, "model", None)
    kinds = type(given).__name__, type(read(run_config, "model_provider")).__name__
    is_named = isinstance(given, str) and given.startswith("litellm/")
    return is_named or kinds[0] == "LitellmModel" or kinds[1] == "LitellmProvider"


def _is_sdks(run_config: Any) -> bool:
    kinds = ("NoneType", "MultiProvider", "OpenAIProvider")
    return type(read(run_config, "model_provider")).__name__ in kinds


def usage_of(response: Any, model: str | None, provider: str | None) -> Usage:
    """Return what *response* used. All zeros is how the SDK writes down a provider that said nothing."""
    used = response.usage
    if not (used.input_tokens or used.output_tokens or used.total_tokens):
        return Usage(model=model, provider=provider)
    read_in, written = used.input_tokens_details, used.output_tokens_details
    return Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        total_tokens=used.total_tokens,
        # Zero stands here also for what the provider did not say.
        cache_read_tokens=getattr(read_in, "cached_tokens", None) or None,
        cache_write_tokens=getattr(read_in, "cache_write_tokens", None) or None,
        reasoning_tokens=getattr(written, "reasoning_tokens", None) or None,
        model=model,
        provider=provider,
    )


def response_id_of(response: Any) -> str | None:
    """Return the provider's id of *response*; None where it gave none."""
    given = response.response_id
    return given if isinstance(given, str) and given and given != PLACEHOLDER_ID else None


def trace_id_of(trace: Any) -> str | None:
    """Return the id of *trace*, in hexadecimal as elsewhere; None for no trace, and where tracing is off."""
    given = text_of(trace, "trace_id")
    return None if given is None or given == "no-op" else given.removeprefix("trace_")
