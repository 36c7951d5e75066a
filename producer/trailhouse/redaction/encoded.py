"""Base64: which texts hold some with a secret in it, told without decoding, and the runs of it decoded."""

import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trailhouse.redaction.matching import Pattern
from trailhouse.redaction.rule import Rule, Span

LEAST_SIGNS = 4
_RUN = re.compile(
    rb"(?:[A-Za-z0-9+/]{60,76}(?:\r?\n|\\{1,8}n))+[A-Za-z0-9+/]{1,76}={0,2}|[A-Za-z0-9+/_\-]{20,}={0,2}"
)
_ESCAPED = re.compile(rb"\\[nrt]")
_BREAK = re.compile(rb"\r?\n|\\{1,8}n")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_LOOKED_AT_BYTES = 48
_NAMES = ("password", "passwd", "secret", "token", "apikey", "api_key")
_TOLD_BY = (
    *_NAMES, *map(str.upper, _NAMES), *map(str.capitalize, _NAMES), "apiKey", "_KEY", "_key", "Key=", "Bearer ", "-----BEGIN", "postgres", "mysql://", "mongodb", "redis://", "amqp", "https://",
    "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "xapp-", "sk-ant-", "sk-proj-", "sk_live_", "rk_live_",
    "AIza", "ya29.", "GOCSPX", "SG.", "hf_", "npm_", "pypi-", "shpat_", "hvs.", "gsk_", "nvapi-", "whsec_", "dckr_pat_", "ATATT3",
)  # fmt: skip
"""What names secrets, and the beginnings of those that agents meet most."""


def _by_its_reader(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
    raise TypeError("what base64 holds is read by all rules: TextRedactor does it")


class Run(NamedTuple):
    """A run of base64, and the text that it holds."""

    begin: int
    end: int
    text: bytes


def openers() -> tuple[str, ...]:
    """Return what is in base64 of each text that has a word of a secret in it, of which at most two signs are cut off."""
    encoded = (_encoded(word.encode(), before) for word in _TOLD_BY for before in range(3))
    return tuple(
        dict.fromkeys(
            re.escape(signs)
            if "+" not in signs and "/" not in signs
            else _in_either_alphabet(signs)
            for signs in encoded
            if len(signs) >= LEAST_SIGNS
        )
    )


def _in_either_alphabet(signs: str) -> str:
    return re.escape(signs).replace(r"\+", "[+-]").replace("/", "[/_]")


def _encoded(word: bytes, before: int) -> str:
    """Return the signs that *word* alone says in base64, where *before* bytes of three precede it.

    Signs that its neighbours have bits in are left out: with them a pass learns far more of ids that are never the same.
    """
    signs = b64encode(bytes(before) + word).decode().rstrip("=")
    first = -(-before * 8 // 6)
    return signs[first : (before + len(word)) * 8 // 6]


def runs(text: bytes) -> Iterator[Run]:
    """Yield the runs of base64 in *text* that hold text: what else they may be, a picture or a hash, is none."""
    for found in _RUN.finditer(text):
        begin, end = found.span()
        if begin and _ESCAPED.match(text, begin - 1):
            begin += 1
        decoded = _decoded(text[begin:end])
        if decoded is not None:
            yield Run(begin, end, decoded)


def _decoded(run: bytes) -> bytes | None:
    """Return the text in *run*; None where it holds none."""
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


ENCODED = Rule("encoded", "", openers(), _by_its_reader)
"""Stands among the rules for its openers: what it finds is for all of them to say."""
