"""What one entry of the table of shapes says, and the ways to write its pattern."""

import re
from typing import NamedTuple


class Shape(NamedTuple):
    """One form of secret that a vendor issues.

    `pattern` is RE2 syntax and has exactly one capturing group: what it holds is the secret, the
    rest is what must stand around it. It asks for nothing after the secret and takes the longest.
    One of `anchors` stands in the text wherever the pattern matches: as it is written, or in any
    case where the shape `ignores_case` (then it is written in lower case). A shape without anchors
    has no literal of its own: its pattern itself must be looked for.
    """

    category: str
    vendor: str
    form: str
    pattern: str
    anchors: tuple[str, ...]
    source: str

    @property
    def ignores_case(self) -> bool:
        """True where the anchors may stand in any case."""
        return "(?i" in self.pattern


HEX = "[0-9A-Fa-f]"
ALNUM = "[0-9A-Za-z]"
UUID = f"{HEX}{{8}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{12}}"
# A name in words has no capital next to a digit; a random token of 30 has, nearly always.
MIXED = r"[\w-]{0,20}(?:[A-Z][\w-]{0,12}[0-9]|[0-9][\w-]{0,12}[A-Z])"

# What ends a word before a secret: no letter or digit, or an escape that ends in one: `\n` and
# `\u000a` of JSON in JSON, `%3D` of a URL, the colour of a terminal.
_ESCAPE = r"\\[abefnrtv0]|\\u[0-9A-Fa-f]{4}|(?:\\x|%)[0-9A-Fa-f]{2}|\[[0-9;]{1,8}m"
_BEFORE = rf"(?:^|[^\w-]|(?:^|\n|\\n)-|{_ESCAPE})"
# Base64 holds slashes too: one tells where a word begins in the path of a URL alone.
_BEFORE_OUTSIDE_BASE64 = (
    rf"(?:^|[^\w+/-]|(?:^|\n|\\n)[+-]|{_ESCAPE}|https?://[^\s\"'`<>\\]{{1,200}}/)"
)
_SECRET_WORD = (
    r"(?:key|token|secret|password|passwd|pwd|passphrase|credential|auth|bearer|dsn|pat|apikey|login|(?:access|client)[_ -]?id)s?"
    r"(?:[_ -]?(?:key|id|token|secret|value|string|header|code|prod|production|dev|test|live|\d{1,2})){0,2}"
)
# Between the name of a secret and the secret: signs, quotes, and the words of a sentence or of a type.
_BETWEEN = (
    r"[^0-9A-Za-z]{1,12}?(?:(?i:is|was|be|to|as|value|string|str|text|const|with|of|for|now|set|it|provided|given|used|found"
    r"|received|reads|equals|here|below|configured|again|still|new|old)[^0-9A-Za-z]{1,8}?){0,3}"
)


def boundary_and_token(pattern: str) -> tuple[str, str]:
    """Return what a shape's pattern asks for before the token, "" if nothing, and the rest of it."""
    for boundary in (_BEFORE, _BEFORE_OUTSIDE_BASE64):
        if pattern.startswith(boundary):
            return boundary, pattern.removeprefix(boundary)
    return "", pattern


def anywhere(token: str) -> str:
    """A token whose beginning is nobody else's: what stands before it does not matter."""
    return f"({token})"


def word(token: str) -> str:
    """A token that begins where a word begins."""
    return f"{_BEFORE}({token})"


def apart(token: str) -> str:
    """A token of letters and digits alone: what looks like it in the middle of base64 is none."""
    return f"{_BEFORE_OUTSIDE_BASE64}({token})"


def beside(names: tuple[str, ...], value: str) -> str:
    """A value that only its vendor's name and a word like key, token or secret make a secret."""
    vendor = "|".join(_spelled(name) for name in names)
    named = rf"(?:{vendor})[\w.\- ]{{0,24}}?{_SECRET_WORD}"
    told = rf"{_SECRET_WORD}(?: [a-z]{{1,8}}){{0,2}} (?:{vendor})"
    return rf"(?i:{named}|{told}){_BETWEEN}({value})"


def _spelled(name: str) -> str:
    return re.sub(r"_(?=.)", "[_ -]?", name.replace(".", r"\."))


def _spellings(name: str) -> list[str]:
    return (
        [name.strip("_").replace("_", sign) for sign in ("_", " ", "-", "")]
        if "_" in name[:-1]
        else [name]
    )


def named(
    category: str, vendor: str, form: str, names: tuple[str, ...], value: str, source: str
) -> Shape:
    """Return the shape of a secret without a beginning of its own.

    Args:
        names: how the vendor is called in names and sentences, lower case; `_` is a blank or nothing too.
        value: the secret's own pattern, without groups that capture.
    """
    anchors = tuple(dict.fromkeys(spelling for name in names for spelling in _spellings(name)))
    return Shape(
        category, vendor, f"{form}, beside its name", beside(names, value), anchors, source
    )
