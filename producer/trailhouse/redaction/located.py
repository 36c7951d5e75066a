"""A pattern of ours: RE2 tells where it matches, and Python's `re` reads the groups of the few bytes found there.

RE2 finds where a match begins and ends in one pass of an automaton; what its groups hold it works out in another way,
which takes five times as long. Python's `re` reads groups quickly and may take without end on a text that is made for
it: it is asked about short matches alone, and what it says counts where it found the same match.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from trailhouse.redaction import matching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trailhouse.redaction.matching import Found, Pattern, SearchPattern

LONGEST_BYTES_READ_BY_PYTHON = 256
_FIRST_OF_MANY = 0xC0
"""From this byte on one begins a character of several bytes: to RE2 it is one sign, to Python's `re` each byte is."""


class LocatedPattern:
    """A pattern of ours, compiled to look in UTF-8 by RE2.

    Args:
        pattern: In RE2's syntax, which Python's `re` reads alike.
        parts: In Python's syntax, what reads the groups where *pattern* was found; *pattern* itself by default.
    """

    def __init__(self, pattern: str, parts: str | None = None) -> None:
        self._pattern = pattern
        self._locate = matching.locator(pattern)
        self._parts = re.compile(matching.as_python(parts or pattern).encode())
        self._exact: SearchPattern | None = None
        self.groups = self._parts.groups
        """How many groups it captures."""
        self._is_whole = not self.groups or _is_one_group(pattern)

    def finditer(self, text: bytes, /) -> Iterator[Found]:
        """Yield its matches in *text* from left to right; one may say that it begins within its first character."""
        for begin, end in self._located(text):
            yield self._read(text, begin, end)

    def spans(self, text: bytes, /) -> Iterator[tuple[int, int]]:
        """Yield where group 1, or the whole where there is none, of each match begins and ends."""
        if self._is_whole:
            return self._located(text)
        return (self._read(text, begin, end).span(1) for begin, end in self._located(text))

    def _located(self, text: bytes) -> Iterator[tuple[int, int]]:
        locate, size = self._locate, len(text)
        at = 0
        while at <= size:
            found = locate(text, at, size)[0]
            begin, end = found
            if begin < 0:
                return
            yield found
            at = end if end > at else at + 1

    def _read(self, text: bytes, begin: int, end: int) -> Found:
        if end - begin <= LONGEST_BYTES_READ_BY_PYTHON:
            at = begin
            if begin < end and text[begin] >= _FIRST_OF_MANY:
                while at + 1 < end and text[at + 1] & 0xC0 == 0x80:
                    at += 1
            found = self._parts.match(text, at)
            if found is not None and found.end() == end:
                return cast("Found", found)
        if self._exact is None:
            self._exact = matching.compiled(self._pattern)
        exact = self._exact.search(text, begin)
        if exact is None:  # the same engine found it just now
            raise RuntimeError("RE2 does not find again what it has found")
        return exact


def _is_one_group(pattern: str) -> bool:
    """Tell whether a group is all of *pattern*: what is in it is then a pattern too."""
    if not pattern.startswith("(") or pattern.startswith("(?") or not pattern.endswith(")"):
        return False
    try:
        return re.compile(matching.as_python(pattern[1:-1])).groups == 0
    except re.error:  # its first bracket ends somewhere within
        return False


def located(pattern: str, parts: str | None = None) -> Pattern:
    """Return *pattern*, one of ours, compiled to look in UTF-8; *parts* as for a `LocatedPattern`."""
    if matching.HAS_RE2:
        try:
            return LocatedPattern(pattern, parts)
        except AttributeError:  # another release of google-re2, of which we know less
            pass
    return matching.compiled(pattern)
