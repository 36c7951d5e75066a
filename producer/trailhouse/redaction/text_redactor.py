"""One text: what is secret in it, and the text without it."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from trailhouse.redaction import matching
from trailhouse.redaction.encoded import ENCODED, runs
from trailhouse.redaction.marker import Mark, markers_in
from trailhouse.redaction.matching import openers_of
from trailhouse.redaction.rule import DENSE, Span
from trailhouse.redaction.tally import MAX_SECRETS
from trailhouse.redaction.wrapped import Unwrapped, end_of_wrapped

if TYPE_CHECKING:
    from trailhouse.redaction.rule import Rule
    from trailhouse.redaction.tally import Tally

MAX_PASSES = 4
MOST_DEPTH = 2
"""So often base64 within base64 is looked into: a password in the credentials of a registry in a secret of Kubernetes."""
MOST_KNOWN = 3
"""Up to so many rules are asked at once; of more, one look tells which may find something."""
LONGEST_BYTES_WITHOUT_RE2 = 4_096
LONGEST_SECONDS_WITHOUT_RE2 = 1.0
UNSEARCHED = "unsearched"
"""The category of a long text that goes as a whole, where RE2 is missing and it may hold a secret."""
_WORDS_OF_SECRETS = tuple(
    word.encode()
    for word in (
        "pass", "pwd", "secret", "token", "key", "cred", "auth", "cookie", "bearer", "basic", "jwt", "otp", "cvv", "cvc",
        "pin", "dsn", "mnemonic", "phrase", "code", "conn", "senha", "motdepasse", "@", "-----", "ey", "sig", "hmac", "-u",
        "mysql", "identified", "value", "пароль", "密", "パスワード", "비밀번호", "contrase",
    )
)  # fmt: skip


class TextRedactor:
    """Finds and takes out what *rules* find; of two that find the same, the earlier gives the category.

    Args:
        rules: In the order of their precedence.
        mark: What stands in the place of a secret.
        is_allowed: Tells whether something that was found may stay.
    """

    def __init__(
        self, rules: Sequence[Rule], mark: Mark, is_allowed: Callable[[bytes], bool] | None = None
    ) -> None:
        self._rules = tuple(rules)
        self._mark = mark
        self._is_allowed = is_allowed
        self._openers = openers_of(
            tuple(rule.opener for rule in rules), tuple(rule.words for rule in rules)
        )
        self._local = threading.local()
        self.may_hold = self._openers.in_
        """Called with a text, or a whole record: returns what is to be looked for in it, or None where there is nothing."""

    def for_large(self) -> TextRedactor:
        """Return another that finds the same in texts of large records, whatever they are made for."""
        other = copy.copy(self)
        other.may_hold = self._openers.in_large
        return other

    def marking(self, mark: Mark) -> TextRedactor:
        """Return another that finds the same, and marks it by *mark*."""
        other = copy.copy(self)
        other._mark = mark
        return other

    def spans(self, text: bytes, known: Sequence[int] | None = None) -> list[Span]:
        """Return what is secret in *text*: from left to right, none overlapping another.

        Args:
            text: Any, in UTF-8.
            known: The places of all rules that may find something in it, if somebody has looked.
        """
        if not matching.HAS_RE2 and (unsearched := self._unsearched(text)) is not None:
            return unsearched
        markers = markers_in(text)
        if markers:  # a category is a name like any other: what stands behind it would seem to be named by it
            text = _hidden(text, markers)
        return self._found(text, markers, known)[0]

    def _found(
        self,
        text: bytes,
        markers: list[tuple[int, int]],
        known: Sequence[int] | None,
        depth: int = 0,
    ) -> tuple[list[Span], Sequence[int] | None]:
        """Return what is secret in *text*, and the places of the rules that may find more once that is taken out."""
        places = known
        if places is None or len(places) > MOST_KNOWN:
            places = self.may_hold(text)
            if not places:
                return [], ()
        if len(places) > 1:
            places = sorted(places)
        ranked: list[tuple[int, int, int, str]] = []
        is_allowed, rules = self._is_allowed, self._rules
        unwrapped = Unwrapped(text) if b"\n" in text or b"\\n" in text else None
        for place in places:
            rule = rules[place]
            found: Iterable[Span]
            if rule is ENCODED:
                found = self._in_base64(text, depth + 1) if depth < MOST_DEPTH else ()
            elif rule.is_token and unwrapped is not None:
                found = (*rule.spans(text), *unwrapped.spans(rule))
            else:
                found = rule.spans(text)
            for begin, found_end, category in found:
                end = end_of_wrapped(text, begin, found_end) if rule.is_token else found_end
                if category == DENSE or len(ranked) > MAX_SECRETS:
                    return [Span(0, len(text), DENSE)], ()
                if is_allowed is None or not is_allowed(text[begin:end]):
                    ranked.append((begin, end, place, category))
        if not ranked:
            return [], ()
        again = known
        first = ranked[0][2]
        if rules[first].is_settled and ranked[-1][2] == first:  # they stand in order of places
            again = [place for place in places if place != first and not rules[place].is_token]
        spans = _merged(ranked)
        return _without(spans, markers) if markers else spans, again

    def _in_base64(self, text: bytes, depth: int) -> Iterator[Span]:
        """Yield the runs of base64 whose text has something secret in it, under its category."""
        for begin, end, decoded in runs(text):
            secrets = self._found(decoded, [], None, depth)[0]
            if secrets:
                yield Span(begin, end, secrets[0].category)

    def begin_record(self) -> None:
        """Give this thread a while for the next record, where Python's `re` could take without end."""
        self._local.deadline_seconds = time.monotonic() + LONGEST_SECONDS_WITHOUT_RE2

    def _unsearched(self, text: bytes) -> list[Span] | None:
        """Return what is to go of *text* unsearched, since Python's `re` may take too long; None if it may be searched.

        Raises:
            TimeoutError: The record has had its time.
        """
        if time.monotonic() > getattr(self._local, "deadline_seconds", float("inf")):
            raise TimeoutError
        if len(text) <= LONGEST_BYTES_WITHOUT_RE2:
            return None
        lowered = text.lower()
        if any(word in lowered for word in _WORDS_OF_SECRETS):
            return [Span(0, len(text), UNSEARCHED)]
        return (
            []
            if not any(word in lowered for rule in self._rules for word in rule.words)
            else [Span(0, len(text), UNSEARCHED)]
        )

    def redacted(self, text: bytes, tally: Tally) -> bytes | None:
        """Return *text* without what is secret in it; None where nothing is. *tally* counts it."""
        if not matching.HAS_RE2 and (unsearched := self._unsearched(text)) is not None:
            return self._replaced(text, unsearched, tally)[0] if unsearched else None
        earlier = markers_in(text)
        read = _hidden(text, earlier) if earlier else text
        spans, again = self._found(read, earlier, tally.places)
        if not spans:
            return None
        # What is left may be read in another way, and an event that is redacted again must stay as it is.
        for _ in range(MAX_PASSES):
            if again is not None and not again:
                return self._replaced(text, spans, tally)[0]
            text, markers = self._replaced(text, spans, tally)
            if earlier:
                markers = markers_in(text)
            spans, again = self._found(_hidden(text, markers), markers, again)
            if not spans:
                return text
            earlier = markers
        return self._replaced(text, spans, tally)[0]

    def _replaced(
        self, text: bytes, spans: list[Span], tally: Tally
    ) -> tuple[bytes, list[tuple[int, int]]]:
        """Return *text* with a marker in the place of each of *spans*, and where these stand now."""
        if len(spans) == 1:
            begin, end, category = spans[0]
            tally.add(category)
            marker = self._mark(category, text[begin:end])
            return text[:begin] + marker + text[end:], [(begin, begin + len(marker))]
        parts: list[bytes] = []
        markers: list[tuple[int, int]] = []
        at, grown = 0, 0
        for begin, end, category in spans:
            marker = self._mark(category, text[begin:end])
            parts += (text[at:begin], marker)
            markers.append((begin + grown, begin + grown + len(marker)))
            grown += len(marker) - (end - begin)
            tally.add(category)
            at = end
        parts.append(text[at:])
        return b"".join(parts), markers


def _hidden(text: bytes, markers: Iterable[tuple[int, int]]) -> bytes:
    """Return *text* with zeros in the place of *markers*."""
    hidden = bytearray(text)
    for begin, end in markers:
        hidden[begin:end] = bytes(end - begin)
    return bytes(hidden)


def _merged(found: list[tuple[int, int, int, str]]) -> list[Span]:
    """Return what overlaps as one, under the category of the rule that comes first."""
    if len(found) == 1:
        begin, end, _, category = found[0]
        return [Span(begin, end, category)]
    found.sort()
    begin, end, place, category = found[0]
    spans: list[Span] = []
    for next_begin, next_end, next_place, next_category in found[1:]:
        if next_begin >= end:
            spans.append(Span(begin, end, category))
            begin, end, place, category = next_begin, next_end, next_place, next_category
            continue
        end = max(end, next_end)
        if next_place < place:
            place, category = next_place, next_category
    spans.append(Span(begin, end, category))
    return spans


def _without(spans: list[Span], markers: list[tuple[int, int]]) -> list[Span]:
    """Return what is left of *spans* outside of *markers*; both are in order, and neither is gone through twice."""
    left: list[Span] = []
    first = 0
    for begin, end, category in spans:
        while first < len(markers) and markers[first][1] <= begin:
            first += 1
        at = first
        while at < len(markers) and markers[at][0] < end:
            if begin < markers[at][0]:
                left.append(Span(begin, markers[at][0], category))
            begin = max(begin, markers[at][1])
            at += 1
        if begin < end:
            left.append(Span(begin, end, category))
    return left
