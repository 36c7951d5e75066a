"""What one rule of redaction says, and the words by which it is told in one pass that none applies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from trailhouse.redaction.located import LocatedPattern
from trailhouse.redaction.matching import Pattern, compiled

DENSE = "dense"
"""The category of a text that is taken out as a whole: it has more secrets, or names of some, than can be told apart."""
MAX_MATCHES = 40_000


class Span(NamedTuple):
    """Where something secret stands in a text, in bytes."""

    begin: int
    end: int
    category: str


class Finder(Protocol):
    """Finds what a rule takes out of a text, by its compiled pattern."""

    def __call__(self, pattern: Pattern, text: bytes, category: str, /) -> Iterable[Span]:
        """Yield what is secret in *text*."""
        ...


class Rule:
    """One kind of secret: how it is found, and what must be in a text in which it is.

    Args:
        category: What its marker says.
        pattern: RE2 syntax; group 1, or the whole where there is no group, is the secret.
        openers: Patterns, one of which is in each text, and in each JSON string of such a text, that *pattern* is in.
        words: Literals, one of which is in each such text, in whatever case; none where there is none.
        find: Finds by the compiled pattern; else every match is a secret.
        parts: In Python's syntax, what reads the groups where *pattern* was found; *pattern* itself by default.
        is_token: Whether it finds tokens, which may have been broken into lines.
        is_settled: Whether it finds no more in a text once what it found alone is taken out.
        is_ours: False: the user's, who may write what Python's `re` reads in another way than RE2.
    """

    def __init__(
        self,
        category: str,
        pattern: str,
        openers: Iterable[str],
        find: Finder | None = None,
        words: tuple[str, ...] = (),
        *,
        parts: str | None = None,
        is_ours: bool = True,
        is_token: bool = False,
        is_settled: bool = False,
    ) -> None:
        self.category = category
        self.pattern = pattern
        self.words = tuple(word.lower().encode() for word in words)
        self.opener = "|".join(f"(?:{opener})" for opener in openers)
        self._find = find or every_match
        self._parts = parts
        self._is_ours = is_ours
        self.is_token = is_token
        self.is_settled = is_settled
        self._compiled: Pattern | None = None

    @property
    def compiled(self) -> Pattern:
        """The pattern, compiled when it is needed first: a process sees few of the kinds that there are."""
        if self._compiled is None:
            self._compiled = (
                LocatedPattern(self.pattern, self._parts)
                if self._is_ours
                else compiled(self.pattern)
            )
        return self._compiled

    def spans(self, text: bytes) -> Iterable[Span]:
        """Return what this rule finds in *text*."""
        return self._find(self._compiled or self.compiled, text, self.category)


def every_match(pattern: Pattern, text: bytes, category: str) -> list[Span]:
    """Return group 1 of each match, or the whole match."""
    if isinstance(pattern, LocatedPattern):
        places: Iterable[tuple[int, int]] = pattern.spans(text, MAX_MATCHES + 1)
    else:
        group = 1 if pattern.groups else 0
        places = (found.span(group) for found in pattern.finditer(text))
    spans: list[Span] = []
    for begin, end in places:
        if len(spans) == MAX_MATCHES:
            return [Span(0, len(text), DENSE)]
        if begin < end:
            spans.append(Span(begin, end, category))
    return spans


def where(test: Callable[[bytes], bool]) -> Finder:
    """Return a finder of matches that pass *test*."""

    def find(pattern: Pattern, text: bytes, category: str) -> Iterable[Span]:
        return [
            span
            for span in every_match(pattern, text, category)
            if span.category == DENSE or test(text[span.begin : span.end])
        ]

    return find


_REPEATED = re.compile(r"(?<!\\)\{(\d+)(?:,\d*)?\}\??")
_LEAST = 8
_CLASS = r"(?:\[(?:\\.|[^\]\\])+\]|\\[dw])"
_BEGINS_WITH_RUN = re.compile(rf"((?:\((?:\?:)?)*)(?:{_CLASS})*?({_CLASS})\{{\d+,\}}(?=[^)])")
_ONE_SIGN_AND_RUN = re.compile(rf"(?:-|\\\.){_CLASS}\{{\d+,\}}\)*")


def loosened(pattern: str) -> str:
    """Return *pattern* with its repetitions cut short: it matches wherever that does, and its automaton is small.

    A run with which it begins is cut to its last character: such runs begin at each character of an id that nobody has
    seen before, each pattern counts its own, and the automaton of all would learn a new state for nearly every one.
    """
    short = _REPEATED.sub(lambda found: f"{{{min(_LEAST, int(found[1]))},}}", pattern)
    begins = _BEGINS_WITH_RUN.match(short)
    # Not where so little is left that ordinary names and addresses would have it.
    if begins is None or _ONE_SIGN_AND_RUN.fullmatch(short, begins.end()):
        return short
    return begins[1] + begins[2] + short[begins.end() :]
