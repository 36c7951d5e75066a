"""What was wrong in a command's arguments, in words of ours, and what was meant; Typer passes on its parsers'."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

_OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("cost", "costs", "tokens"), "usage"),
        **dict.fromkeys(("count", "facets", "histogram", "query", "select"), "sql"),
        **dict.fromkeys(("event", "get", "cat"), "show"),
        **dict.fromkeys(("events", "find", "grep"), "search"),
        **dict.fromkeys(("tail", "watch"), "follow"),
        "diff": "compare",
    }
)
"""Names that a command has elsewhere, as in the API."""

_WORDS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"Input should be a valid integer.*"), "must be a whole number"),
    (re.compile(r"Input should be a (valid|finite) number.*"), "must be a number"),
    (re.compile(r"Input should be greater than or equal to (\S+)"), r"must be at least \1"),
    (re.compile(r"Input should be greater than (\S+)"), r"must be more than \1"),
    (re.compile(r"Input should be less than or equal to (\S+)"), r"must be at most \1"),
    (re.compile(r"Input should be less than (\S+)"), r"must be less than \1"),
    (re.compile(r"Value error, ('.*'|\".*\") is not one of (.*)"), r"must be one of \2"),
    (re.compile(r"Value error, "), ""),
    (re.compile(r"Input should be "), "must be "),
)
_OF_OPTION = re.compile(r"^Invalid value for '?([^']*?)'?: ")
_OF_NOTHING = re.compile(r"^Invalid value: ")


def in_our_words(message: str) -> str:
    """Return what Typer says of a wrong argument, naming the argument and the rule."""
    text = _OF_NOTHING.sub("", _OF_OPTION.sub(r"\1: ", message.strip().rstrip(".")))
    for pattern, ours in _WORDS:
        text = pattern.sub(ours, text)
    return text[:1].lower() + text[1:] if text.startswith(("Missing", "Got", "No such")) else text


def meant_instead(error: Any) -> str | None:
    """Return how to write what *error*, Typer's, says there is no option or command for; None where nobody knows."""
    context = getattr(error, "ctx", None)
    if context is None:
        return None
    if option := getattr(error, "option_name", None):
        return _option_meant(option, context)
    unknown = _no_such_command(error.format_message())
    there = _OTHER_NAMES.get(unknown[1]) if unknown else None
    is_there = there in getattr(context.command, "commands", {})
    return f"that is `{context.command_path} {there}`" if is_there else None


_no_such_command = re.compile(r"^No such command '([^']*)'").match


def _option_meant(option: str, context: Any) -> str | None:
    """Return how a field of the filter, an argument or a format is written, where *option* names one."""
    from trailhouse.query.filtering.search_filter import FIELDS

    name = option.lstrip("-").replace("-", "_")
    arguments = {each.name for each in context.command.params if each.param_type_name == "argument"}
    if name in FIELDS and "filter" in arguments:
        return f"a condition has no dashes: {name}:VALUE"
    if argument := next((each for each in (name, f"{name}_id") if each in arguments), None):
        return f"it has no dashes: `{context.command_path} {argument.upper()}`"
    defaults = (each.default for each in context.command.params if each.name == "format")
    formats = {
        form for default in defaults if isinstance(default, StrEnum) for form in type(default)
    }
    return f"write --format {name}" if name in formats else None
