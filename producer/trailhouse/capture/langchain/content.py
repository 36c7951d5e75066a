"""LangChain's messages, states and results as plain JSON, and what of them was asked and answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from trailhouse.producer.object_fields import read

ROLES = {"human": "user", "ai": "assistant"}
STREAM_PLACEHOLDER = {"input": ""}
"""What a streamed chain says its input is at its start; the real one comes with its end."""

MAX_DEPTH = 50


def plain(value: Any, depth: int = 0) -> Any:
    """Return *value* as plain JSON as far as it has such a form; what has none stays as it is, to be marked so."""
    if value is None or isinstance(value, (str, int, float, bool)) or depth > MAX_DEPTH:
        return value
    if is_message(value):
        return _plain_message(value, depth)
    if isinstance(value, Mapping):
        return {key: plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each, depth + 1) for each in value]
    if not isinstance(value, type) and callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json", warnings=False)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value))
        return {name: plain(each, depth + 1) for name, each in fields if each not in (None, ())}
    if callable(to_messages := getattr(value, "to_messages", None)):
        return plain(to_messages(), depth + 1)
    return value


def is_message(value: Any) -> bool:
    """Tell whether *value* is one of LangChain's messages."""
    return isinstance(getattr(value, "type", None), str) and hasattr(value, "additional_kwargs")


def _plain_message(message: Any, depth: int) -> dict[str, Any]:
    more = {
        name: plain(given, depth + 1)
        for name in ("name", "tool_calls", "tool_call_id")
        if (given := getattr(message, name, None))
    }
    role = ROLES.get(message.type, message.type)
    return {"role": role, "content": plain(message.content, depth + 1)} | more


def question_of(inputs: Any) -> Any:
    """Return what a run is asked: the last message of a person, else its whole input; None where it has none."""
    messages = messages_of(inputs)
    if messages is None:
        return None if inputs == STREAM_PLACEHOLDER else plain(inputs)
    for message in reversed(messages):
        role, content = _role_and_content(message)
        if role == "user":
            return plain(content)
    return None


def answer_of(outputs: Any) -> Any:
    """Return what a run answers: the text of its last message, else its whole output; None where it has none."""
    messages = messages_of(outputs)
    if messages is None:
        return plain(outputs) or None
    role, content = _role_and_content(messages[-1]) if messages else (None, None)
    return plain(content) if role == "assistant" else None


def messages_of(state: Any) -> Sequence[Any] | None:
    """Return the messages of a chat's *state*, in whatever form it has them; None where it is no chat's."""
    if is_message(state):
        return [state]
    found = state if isinstance(state, list) else read(state, "messages")
    if callable(found):  # a method of that name
        return None
    if isinstance(found, str):
        return [("user", found)]
    is_chat = isinstance(found, list) and all(_role_and_content(each)[0] for each in found)
    return found if is_chat else None


def _role_and_content(message: Any) -> tuple[str | None, Any]:
    if is_message(message):
        return ROLES.get(message.type, message.type), message.content
    if isinstance(message, Mapping):
        role = message.get("role") or message.get("type")
        return (ROLES.get(role, role), message.get("content")) if isinstance(role, str) else _NONE
    if isinstance(message, tuple) and len(message) == 2 and isinstance(message[0], str):
        return ROLES.get(message[0], message[0]), message[1]
    return _NONE


_NONE: tuple[None, None] = (None, None)


def tool_calls_of(state: Any) -> list[Mapping[str, Any]]:
    """Return the tool calls that the last message of *state* that has any asks for."""
    for message in reversed(messages_of(state) or ()):
        calls = getattr(message, "tool_calls", None)
        if calls:
            return list(calls)
    return []
