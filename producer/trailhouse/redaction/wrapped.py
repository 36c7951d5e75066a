"""A token that a terminal, a mail or a text box has broken into lines: where it ends, and what it is."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from trailhouse.redaction.rule import DENSE, Span

if TYPE_CHECKING:
    from trailhouse.redaction.rule import Rule

LEAST_LINE_BYTES = 32
"""Nobody breaks lines at fewer columns."""
MOST_LINES = 16
_NEXT = re.compile(
    rb"""(?:\r?\n|\\n)([A-Za-z0-9_\-+/.]{3,512}={0,2})(?=[\s"'`<>(),;:!?\]}\\\x80-\xff]|\Z)"""
)
_DIGITS = re.compile(rb"[0-9]")
_MIXED = re.compile(rb"[a-z][A-Z]|[A-Z]{2}[a-z]|[A-Z][a-z]{0,3}[A-Z]")
_SIGNS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/.="
_LEAST_PIECE_BYTES = 8
_LONGEST_PIECE_BYTES = 512
_LINE_ENDS = (
    re.compile(
        rb"\n(?=[A-Za-z0-9_\-+/.]{3})"
    ),  # a sign alone before the rest: Python's `re` looks for it at once
    re.compile(rb"\\n(?=[A-Za-z0-9_\-+/.]{3})"),
)
MOST_ENDS = 10_000
"""So many ends of lines in a text are looked at."""


class Unwrapped:
    """A text without the ends of lines that may stand within a token, and where these were.

    Args:
        text: What is looked through, when a rule asks first.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._joined: bytes | None = None
        """None: not read yet; empty: there is no such end of a line."""
        self._at: list[int] = []
        """Where in the joined text an end of a line was."""
        self._left_out: list[int] = []
        """How many bytes are left out up to there."""

    def _join(self) -> bytes:
        text = self._text
        parts: list[bytes] = []
        begin, length, left_out = 0, 0, 0
        for end_of_line, next_line in _ends_of_lines(text):
            if not _is_within_token(text, end_of_line, next_line):
                continue
            parts.append(text[begin:end_of_line])
            length += end_of_line - begin
            left_out += next_line - end_of_line
            self._at.append(length)
            self._left_out.append(left_out)
            begin = next_line
        parts.append(text[begin:])
        return b"".join(parts) if self._at else b""

    def spans(self, rule: Rule) -> Iterator[Span]:
        """Yield what *rule* finds over an end of a line."""
        if self._joined is None:
            self._joined = self._join()
        for begin, end, category in rule.spans(self._joined) if self._joined else ():
            first, last = bisect_right(self._at, begin), bisect_right(self._at, end - 1)
            if first != last and category != DENSE:
                yield Span(
                    begin + (self._left_out[first - 1] if first else 0),
                    end + self._left_out[last - 1],
                    category,
                )


def _ends_of_lines(text: bytes) -> list[tuple[int, int]]:
    """Return where lines end and the next ones begin, of those that begin with signs of a token, the first ones."""
    return sorted(
        (
            begin
            + len(text[max(0, begin - _LEAST_PIECE_BYTES) : begin].rstrip(b"\r\\"))
            - min(begin, _LEAST_PIECE_BYTES),
            end,
        )
        for ends in _LINE_ENDS
        for begin, end in (found.span() for found in islice(ends.finditer(text), MOST_ENDS))
    )


def _is_within_token(text: bytes, begin: int, end: int) -> bool:
    """Tell whether the end of a line between *begin* and *end* stands between pieces of what may be one token."""
    near = text[max(0, begin - _LEAST_PIECE_BYTES) : begin]
    if near.rstrip(_SIGNS) or len(near) < _LEAST_PIECE_BYTES:
        return False
    before = text[max(0, begin - _LONGEST_PIECE_BYTES) : begin]
    after = text[end : end + _LONGEST_PIECE_BYTES]
    first = before[len(before.rstrip(_SIGNS)) :]
    second = after[: len(after) - len(after.lstrip(_SIGNS))]
    return _is_piece(first) and _is_piece(second)


def end_of_wrapped(text: bytes, begin: int, end: int) -> int:
    """Return where the token ends that was found between *begin* and *end* of *text*: in a later line, if it goes on."""
    if text[end : end + 1] not in (b"\r", b"\n", b"\\"):
        return end
    line_bytes = end - (text.rfind(b"\n", 0, begin) + 1)
    if line_bytes < LEAST_LINE_BYTES:
        return end
    for _ in range(MOST_LINES):
        found = _NEXT.match(text, end)
        if found is None or len(found[1]) > line_bytes or not _is_piece(found[1]):
            break
        end = found.end()
        if len(found[1]) < line_bytes:
            break
    return end


def _is_piece(run: bytes) -> bool:
    """Tell whether *run* is more likely a piece of a token than a word, a name or a number."""
    digits = len(_DIGITS.findall(run))
    return (digits >= 2 and digits < len(run)) or _MIXED.search(run) is not None
