"""A pattern of ours: RE2 tells where it matches, and Python's `re` reads the groups of the few bytes found there.

RE2 finds where a match begins and ends in one pass of an automaton; what its groups hold it works out in another way,
which takes five times as long. Python's `re` reads groups quickly and may take without end on a text that is made for
it: it is asked about short matches alone, and what it says counts where it found the same match. Where RE2 is missing
Python's `re` does both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from trailhouse.redaction import matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trailhouse.redaction.matching import Found, SearchPattern

LONGEST_BYTES_READ_BY_PYTHON = 256
_FIRST_OF_MANY = 0xC0
"""From this byte on one begins a character of several bytes: to RE2 it is one sign, to Python's `re` each byte is."""


class LocatedPattern:
    """A pattern of ours, compiled to look in UTF-8.

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

    def locations(self, text: bytes, most: int) -> list[tuple[int, int]]:
        """Return where its matches in *text* begin and end, from left to right, the first *most* of them."""
        locate, size = self._locate, len(text)
        found: list[tuple[int, int]] = []
        at = 0
        while at <= size and len(found) < most:
            span = locate(text, at, size)[0]
            begin, end = span
            if begin < 0:
                break
            found.append(span)
            at = end if end > at else at + 1
        return found

    def finditer(self, text: bytes, /) -> Iterator[Found]:
        """Yield its matches in *text* from left to right; one may say that it begins within its first character."""
        locate, size = self._locate, len(text)
        at = 0
        while at <= size:
            begin, end = locate(text, at, size)[0]
            if begin < 0:
                return
            yield self.read(text, begin, end)
            at = end if end > at else at + 1

    def spans(self, text: bytes, most: int) -> Iterable[tuple[int, int]]:
        """Return where group 1, or the whole where there is none, of the first *most* matches begins and ends."""
        found = self.locations(text, most)
        if self._is_whole:
            return found
        return [self.read(text, begin, end).span(1) for begin, end in found]

    def read(self, text: bytes, begin: int, end: int) -> Found:
        """Return the match that was found between *begin* and *end*."""
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
        if exact is None:
            raise RuntimeError("what was found is not found again")
        return exact


def _is_one_group(pattern: str) -> bool:
    """Tell whether a group is all of *pattern*: what is in it is then a pattern too."""
    if not pattern.startswith("(") or pattern.startswith("(?") or not pattern.endswith(")"):
        return False
    try:
        return re.compile(matching.as_python(pattern[1:-1])).groups == 0
    except re.error:  # its first bracket ends somewhere within
        return False
