"""Base64: which texts hold some that says text, told without decoding, and the runs of it decoded."""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from trailhouse.redaction.matching import Pattern
from trailhouse.redaction.rule import Rule, Span

_RUN = re.compile(
    rb"(?:[A-Za-z0-9+/]{60,76}(?:\r?\n|\\{1,8}n))+[A-Za-z0-9+/]{1,76}={0,2}|[A-Za-z0-9+/_\-]{20,}={0,2}"
)
_ESCAPED = re.compile(rb"\\[nrt]")
_BREAK = re.compile(rb"\r?\n|\\{1,8}n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NOT_PRINTED = re.compile(rb"[^\t\n\r -~]")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_LOOKED_AT_BYTES = 48
_OF_TEXT = "[I-Za-f][C-HS-Xi-nyz0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
"""Four signs that say three characters of a line of plain text: one of fourteen fours that say anything."""
_OPENING_FOURS = 4
_LEAST_FOURS = 8
_TEXT_WITHIN = re.compile(rf"(?:{_OF_TEXT}){{{_LEAST_FOURS},}}".encode())
"""24 characters of a line somewhere in a run: so many by chance are in one of a thousand million places."""
_MOST_WITHIN = 16
"""So many places of a run that is no text by itself are looked at."""


def _by_its_reader(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    raise TypeError("what base64 holds is read by all rules: TextRedactor does it")


class Run(NamedTuple):
    """A run of base64, and the text that it holds."""

    begin: int
    end: int
    text: bytes


def runs(text: bytes) -> Iterator[Run]:
    """Yield the runs of base64 in *text* that hold text: what else they may be, a picture or a hash, is none.

    A run may begin in the middle, where a tool has cut it or a name stands before it: what is yielded then is the text
    that is in it.
    """
    for found in _RUN.finditer(text):
        begin, end = found.span()
        if begin and _ESCAPED.match(text, begin - 1):
            begin += 1
        run = text[begin:end]
        decoded = _decoded(run)
        if decoded is not None:
            yield Run(begin, end, decoded)
            continue
        if b"\n" in run or b"\\" in run:
            run = _BREAK.sub(b"", run)
        for within in islice(_TEXT_WITHIN.finditer(run), _MOST_WITHIN):
            yield Run(begin, end, _text_at(run, within.start()))


def _text_at(run: bytes, at: int) -> bytes:
    """Return the text in *run* from the sign *at* on up to where it ends, and what of it the four signs before hold."""
    before = _bytes_of(run[max(0, at - 4) : at])
    first = _NOT_PRINTED.sub(b"\n", before)
    decoded = first + _bytes_of(run[at:])
    end = _NOT_PRINTED.search(decoded)
    return decoded if end is None else decoded[: end.start()]


def _decoded(run: bytes) -> bytes | None:
    """Return the text in *run*; None where it holds none, or more than text."""
    if not _is_text(_bytes_of(run[:_LOOKED_AT_BYTES])):
        return None
    decoded = _bytes_of(_BREAK.sub(b"", run))
    if not decoded or not _is_text(decoded):
        return None
    try:
        decoded.decode()
    except UnicodeDecodeError:
        return None
    return decoded


def _is_text(decoded: bytes) -> bool:
    return bool(decoded) and _CONTROL.search(decoded) is None


def _bytes_of(run: bytes) -> bytes:
    signs = run.rstrip(b"=").translate(_TO_STANDARD)
    try:
        return b64decode(signs[: len(signs) - (len(signs) % 4 == 1)] + b"=" * (-len(signs) % 4))
    except Error:
        return b""


ENCODED = Rule("encoded", "", (f"(?:{_OF_TEXT}){{{_OPENING_FOURS}}}",), _by_its_reader)
"""Stands among the rules for its opener, text in base64: what it finds is for all of them to say."""
