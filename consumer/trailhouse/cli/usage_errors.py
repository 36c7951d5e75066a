"""What was wrong in a command's arguments, in words of ours: Typer passes on those of its parsers."""

import re
from collections.abc import Callable

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
