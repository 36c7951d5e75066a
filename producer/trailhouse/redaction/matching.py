"""The two engines that look for patterns in bytes: RE2, linear on any input, and Python's `re` where it is missing."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import re2
except ImportError:  # there is no wheel for this platform, such as Alpine's musl
    re2 = None  # told at the start, by `Redactor`

HAS_RE2 = re2 is not None
_NOWHERE = (-1, -1)
PATTERNS_AT_ONCE = 60
SET_BYTES = 16_777_216
"""What a set of openers may take at most, of two; it takes a tenth of that on ordinary text."""


class Found(Protocol):
    """A match, as both engines give it."""

    def span(self, group: int = ..., /) -> tuple[int, int]:
        """Where *group* begins and ends; (-1, -1) if it has no part in the match."""
        ...

    def group(self, group: int = ..., /) -> Any:
        """What *group* holds."""
        ...


class Pattern(Protocol):
    """A compiled pattern, as both engines give it."""

    @property
    def groups(self) -> int:
        """How many groups it captures."""
        ...

    def finditer(self, text: bytes, /) -> Iterator[Found]:
        """Yield its matches in *text* from left to right."""
        ...


class SearchPattern(Pattern, Protocol):
    """A compiled pattern that can also be asked about a place, or about the whole of a text."""

    def search(self, text: bytes, pos: int = ..., /) -> Found | None:
        """Return the first match from *pos* on."""
        ...

    def fullmatch(self, text: bytes, /) -> Found | None:
        """Return the match if it is the whole *text*."""
        ...


class BadPatternError(ValueError):
    """A pattern that neither engine can take; says why, without the pattern."""


def compiled(pattern: str) -> SearchPattern:
    """Return *pattern*, in RE2's syntax, compiled to look in UTF-8.

    Raises:
        BadPatternError: It is no pattern.
    """
    if re2 is None:
        try:
            return cast(SearchPattern, re.compile(as_python(pattern).encode()))
        except re.error as error:
            raise BadPatternError(error.msg) from None
    try:
        return cast(SearchPattern, re2.compile(pattern.encode(), _options()))
    except re2.error as error:
        said = error.args[0] if error.args else ""
        reason = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise BadPatternError(reason.partition(":")[0] or "not a pattern") from None


_Search = Callable[[bytes, int, int], Found | None]
Locate = Callable[[bytes, int, int], Sequence[tuple[int, int]]]
"""Told a text and two places, returns first where a match between them begins and ends: (-1, -1) if there is none."""


def locator(pattern: str) -> Locate:
    """Return what tells where *pattern*, one of ours, is found next."""
    if re2 is None:
        return _python_locator(pattern)
    options = _options()
    options.never_capture = True
    found = cast(Any, re2).compile(pattern.encode(), options)
    try:
        # Not by the wrapper's own matches: to make them takes as long as to find them.
        return functools.partial(found._regexp.Match, cast(Any, re2)._re2.RE2.Anchor.UNANCHORED)
    except AttributeError:  # another release of google-re2
        return _searching(found.search)


def _python_locator(pattern: str) -> Locate:
    return _searching(cast(_Search, re.compile(as_python(pattern).encode()).search))


def _searching(search: _Search) -> Locate:
    def locate(text: bytes, begin: int, end: int) -> Sequence[tuple[int, int]]:
        found = search(text, begin, end)
        return (_NOWHERE if found is None else found.span(),)

    return locate


def _options() -> Any:
    options = cast(Any, re2).Options()
    options.log_errors = False  # it would write them, with the pattern, to standard error
    return options


def as_python(pattern: str) -> str:
    """Return *pattern*, one of ours, as Python's `re` writes it."""
    return pattern.replace(r"\z", r"\Z")


class Openers:
    """Many patterns, looked for at once: which of them are somewhere in a text?

    RE2 does it in two passes; Python's `re` looks for each whose words are there.

    Args:
        patterns: What is looked for.
        words: For each pattern, words in lower case of which one is in every text that it is in; none: not known.
    """

    def __init__(self, patterns: Sequence[str], words: Sequence[tuple[bytes, ...]]) -> None:
        self.in_: Callable[[bytes], list[int] | None] = (
            _one_by_one(patterns, words) if re2 is None else _passes(patterns)
        )
        """Called with bytes; returns the places of the patterns that are in them, in any order, or None."""
        self._patterns = patterns
        self._parts: list[tuple[int, Callable[[bytes], list[int] | None]]] = []

    def in_large(self, text: bytes) -> list[int] | None:
        """Do what `in_` does, a few patterns at a time: an automaton of all can be driven through all of its states.

        Text that is made for that costs ten times as much, which is seconds where there is much of it.
        """
        if re2 is None:
            return self.in_(text)
        if not self._parts:  # not before they are needed
            self._parts = [
                (begin, _one_pass(self._patterns[begin : begin + PATTERNS_AT_ONCE]))
                for begin in range(0, len(self._patterns), PATTERNS_AT_ONCE)
            ]
        return [begin + place for begin, in_ in self._parts for place in in_(text) or ()] or None


def openers_of(patterns: tuple[str, ...], words: tuple[tuple[bytes, ...], ...]) -> Openers:
    """Return what looks for *patterns*: one for all loggers of a process, for it takes megabytes and learns by use."""
    return _openers_of(patterns, words, re2 is None)


@functools.lru_cache(maxsize=4)
def _openers_of(
    patterns: tuple[str, ...], words: tuple[tuple[bytes, ...], ...], _is_python: bool
) -> Openers:
    return Openers(patterns, words)


def _passes(patterns: Sequence[str]) -> Callable[[bytes], list[int] | None]:
    """Return what looks for *patterns* in two passes: for those with words in either case, and for the others.

    A pass is an automaton that learns a state for all that its patterns have met together. Of an id that nobody has seen
    before that is a new one at nearly every character; looked for together, these two would have to learn each
    combination of what each has met, and fill `SET_BYTES` before they know them.
    """
    in_either_case = [place for place, pattern in enumerate(patterns) if "(?i:" in pattern]
    as_they_stand = sorted(set(range(len(patterns))).difference(in_either_case))
    look_in_either = _one_pass([patterns[place] for place in in_either_case])
    look_as_they_stand = _one_pass([patterns[place] for place in as_they_stand])

    def in_(text: bytes) -> list[int] | None:
        either, others = look_in_either(text), look_as_they_stand(text)
        if not either and not others:
            return None
        return [
            *map(in_either_case.__getitem__, either or ()),
            *map(as_they_stand.__getitem__, others or ()),
        ]

    return in_


def _one_pass(patterns: Sequence[str]) -> Callable[[bytes], list[int] | None]:
    options = _options()
    options.max_mem = SET_BYTES
    found = cast(Any, re2).Set.SearchSet(options)
    for pattern in patterns:
        found.Add(pattern.encode())
    found.Compile()
    try:
        return cast(
            "Callable[[bytes], list[int]]", found._set.Match
        )  # the wrapper's is two calls more
    except AttributeError:  # another release of google-re2
        return cast("Callable[[bytes], list[int] | None]", found.Match)


def _one_by_one(
    patterns: Sequence[str], words: Sequence[tuple[bytes, ...]]
) -> Callable[[bytes], list[int] | None]:
    each = [
        (some, re.compile(as_python(pattern).encode()).search)
        for pattern, some in zip(patterns, words, strict=True)
    ]

    def in_(text: bytes) -> list[int] | None:
        lowered = text.lower()
        return [
            at
            for at, (some, search) in enumerate(each)
            if (not some or any(word in lowered for word in some)) and search(text)
        ] or None

    return in_
