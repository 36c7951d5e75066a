"""The one text form of a filter: ``type:(run_failed OR run_timeout) -agent:x cost:>0.5 "words"``. Pure.

``field:value`` is that field; in parentheses any of several, with OR between them. Numbers take ``>``, ``>=``, ``<``
and ``<=``. ``has:field`` is an event that has it. A word alone stands in `data` by itself, ``"quoted text"`` anywhere
in it. ``since:`` and ``until:`` take a time as everywhere: ``2h``, ``yesterday``, a day of UTC or RFC 3339. ``-``
before any of these but a time is "not". All must hold. Within quotes ``\\"`` and ``\\\\`` stand for ``"`` and ``\\``;
everything else there is itself, and no character is a wildcard.
"""

import contextlib
import datetime as dt
import re
from decimal import Decimal
from typing import NamedTuple, NoReturn, cast

from trailhouse.query.cursor import asked_at
from trailhouse.query.filtering.search_filter import (
    COMPARISONS,
    FIELDS,
    TEXTS,
    Condition,
    Operator,
    SearchFilter,
    Words,
    no_field,
)
from trailhouse.schemas.errors import QueryError
from trailhouse.schemas.time_text import first_moment, is_told_from_now, last_moment

MAX_TEXT_CHARACTERS = 20_000
_SHOWN_CHARACTERS = 60
_OTHER_FIELDS = ("has", "word", "since", "until")
_SPACE = " \t\r\n"
_bare = re.compile(r'[^ \t\r\n()"]+').match
_name = re.compile(r"[A-Za-z_]+(?=:)").match
_is_safe_value = re.compile(r"[\w.@/+-][\w.@/:+-]*", re.ASCII).fullmatch
_is_safe_word = re.compile(r"\w[\w./@+-]*", re.ASCII).fullmatch
_compared = re.compile(r"([a-z_]+)(>=|<=|=|>|<)(.*)", re.DOTALL).fullmatch
_KEYWORDS = ("OR", "AND", "NOT")
_QUOTE_IT = "to look for it in the text, write it in quotes"


class _Scalar(NamedTuple):
    """A value as written, where it stands, and whether it was quoted."""

    text: str
    place: int
    is_quoted: bool


def parse(text: str, now: dt.datetime | None = None) -> SearchFilter:
    """Return the filter that *text* says; empty text is every event.

    Args:
        text: The filter.
        now: What a time such as ``2h`` is told from; the clock if None.

    Raises:
        QueryError: It is not understood; the message shows the place, with a caret below it. Permanent.
    """
    return _Parser(_checked(text), now or dt.datetime.now(dt.UTC)).filter()


def render(wanted: SearchFilter) -> str:
    """Return *wanted* as text that `parse` understands: the same filter comes back."""
    parts = [_rendered(each) for each in wanted.conditions]
    parts += [_rendered_words(each) for each in wanted.words]
    for name, moment in (("since", wanted.since), ("until", wanted.until)):
        if moment is not None:
            parts.append(f"{name}:{_rendered_time(moment)}")
    return " ".join(parts)


def as_filter(wanted: "SearchFilter | str | None", cursor: str | None = None) -> SearchFilter:
    """Return *wanted*, a filter or its text; None is every event.

    Args:
        wanted: What is asked.
        cursor: Where it goes on: a time such as ``2h`` then means what it meant on the first page.

    Raises:
        QueryError: As for `parse`. Permanent.
    """
    if wanted is None:
        return SearchFilter()
    return wanted if isinstance(wanted, SearchFilter) else parse(wanted, asked_at(cursor))


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise QueryError(f"filter: must be text, got {type(text).__name__}")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise QueryError(f"filter: must be at most {MAX_TEXT_CHARACTERS} characters")
    return str.__str__(text)


class _Parser:
    """Reads one text from left to right; `_at` is the place of the next character."""

    def __init__(self, text: str, now: dt.datetime) -> None:
        self._text = text
        self._now = now
        self._asked_at: dt.datetime | None = None
        self._at = 0
        self._conditions: list[Condition] = []
        self._words: list[Words] = []
        self._times: dict[str, dt.datetime] = {}

    def filter(self) -> SearchFilter:
        """Return what the whole text says."""
        while self._skip_space():
            self._term()
        try:
            return SearchFilter(
                conditions=tuple(self._conditions),
                words=tuple(self._words),
                asked_at=self._asked_at,
                **self._times,
            )
        except QueryError as error:
            self._fail(str(error), 0)

    def _term(self) -> None:
        start = self._at
        negated = self._take("-")
        if found := _name(self._text, self._at):
            self._at = found.end() + 1
            self._field(found[0], start, negated)
            return
        if self._peek() in ("", *_SPACE):
            self._fail("expected a field or a word after -", self._at)
        if self._peek() in "()":
            self._fail("parentheses hold the values of one field, as in type:(a OR b)", self._at)
        scalar = self._scalar()
        if not scalar.is_quoted and scalar.text in _KEYWORDS:
            self._fail(
                f"{scalar.text} stands between the values of one field alone, as in type:(a OR b);"
                " to look for the word, write it in quotes",
                scalar.place,
            )
        if not scalar.is_quoted and (compared := _compared(scalar.text)):
            name, operator, value = compared.groups()
            if name in FIELDS:
                sign = "" if operator == "=" else operator
                self._fail(f"write {name}:{sign}{value}; {_QUOTE_IT}", scalar.place)
        self._add_words(scalar, negated, whole=not scalar.is_quoted)

    def _field(self, name: str, start: int, negated: bool) -> None:
        if name in ("since", "until"):
            self._time(name, start, negated)
        elif name == "has":
            self._has(negated)
        elif name == "word":
            self._add_words(self._scalar(), negated, whole=True)
        elif name in FIELDS:
            self._condition(name, negated)
        else:
            self._fail(f"{no_field(name, _OTHER_FIELDS)}; {_QUOTE_IT}", start + negated)

    def _condition(self, name: str, negated: bool) -> None:
        place = self._at
        operator: Operator = "="
        if FIELDS[name].kind not in TEXTS:
            operator = cast(Operator, next(filter(self._take, COMPARISONS), "="))
        scalars = self._several() if operator == "=" and self._peek() == "(" else [self._scalar()]
        # Each by itself first, so that the caret stands under the one that is wrong.
        for scalar in scalars:
            self._made(name, operator, (scalar.text,), negated, scalar.place)
        values = tuple(scalar.text for scalar in scalars)
        self._conditions.append(self._made(name, operator, values, negated, place))

    def _has(self, negated: bool) -> None:
        scalar = self._scalar()
        if scalar.text not in FIELDS:
            self._fail(no_field(scalar.text), scalar.place)
        self._conditions.append(self._made(scalar.text, "has", (), negated, scalar.place))

    def _made(
        self, name: str, operator: Operator, values: tuple[str, ...], negated: bool, place: int
    ) -> Condition:
        try:
            return Condition(field=name, operator=operator, values=values, negated=negated)
        except QueryError as error:
            self._fail(str(error), place)

    def _add_words(self, scalar: _Scalar, negated: bool, *, whole: bool) -> None:
        try:
            self._words.append(Words(text=scalar.text, whole=whole, negated=negated))
        except QueryError as error:
            self._fail(str(error), scalar.place)

    def _time(self, name: str, start: int, negated: bool) -> None:
        if negated:
            self._fail(f"{name} cannot be negated; use the other of since and until", start)
        if name in self._times:
            self._fail(f"{name} is given twice", start)
        scalar = self._scalar()
        told = first_moment if name == "since" else last_moment
        try:
            self._times[name] = told(scalar.text, self._now)
        except QueryError as error:
            self._fail(f"{name}: {error}", scalar.place)
        if is_told_from_now(scalar.text):
            self._asked_at = self._now

    def _several(self) -> list[_Scalar]:
        opened = self._at
        self._at += 1
        found: list[_Scalar] = []
        while True:
            self._skip_space()
            if self._peek() == "":
                self._fail("this parenthesis is not closed", opened)
            scalar = self._scalar()
            if not scalar.is_quoted and scalar.text in _KEYWORDS:
                self._fail(
                    "expected a value; to mean the word itself, write it in quotes", scalar.place
                )
            found.append(scalar)
            self._skip_space()
            if self._take(")"):
                return found
            joint = self._at
            if self._peek() == "":
                self._fail("this parenthesis is not closed", opened)
            if (between := _bare(self._text, joint)) is None or between[0] != "OR":
                self._fail("expected OR or ) here", joint)
            self._at = between.end()

    def _scalar(self) -> _Scalar:
        place = self._at
        if self._take('"'):
            return _Scalar(self._quoted(place), place, is_quoted=True)
        found = _bare(self._text, place)
        if found is None:
            self._fail(
                "expected a value here; write an empty one, or one with spaces, in quotes", place
            )
        self._at = found.end()
        return _Scalar(found[0], place, is_quoted=False)

    def _quoted(self, opened: int) -> str:
        parts: list[str] = []
        while True:
            character = self._peek()
            if character == "":
                self._fail("this quote is not closed", opened)
            self._at += 1
            if character == '"':
                break
            if character == "\\":
                character = self._peek()
                if character not in ('"', "\\"):
                    self._fail('within quotes \\ stands before " or \\ alone', self._at - 1)
                self._at += 1
            parts.append(character)
        if self._peek() not in ("", ")", *_SPACE):
            self._fail("expected a space after the quote", self._at)
        return "".join(parts)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, expected: str) -> bool:
        if not self._text.startswith(expected, self._at):
            return False
        self._at += len(expected)
        return True

    def _skip_space(self) -> bool:
        """Go to the next character that is not white space; tell whether there is one."""
        while self._peek() and self._peek() in _SPACE:
            self._at += 1
        return self._at < len(self._text)

    def _fail(self, rule: str, place: int) -> NoReturn:
        raise QueryError(
            f"filter, character {place + 1}: {rule}\n{caret(self._text, place)}"
        ) from None


def caret(text: str, place: int) -> str:
    """Return two lines: *text* around *place* in printable ASCII, and a caret below the character there."""
    first = max(0, place - _SHOWN_CHARACTERS // 2)
    shown = text[first : first + _SHOWN_CHARACTERS]
    # One sign each, so that the caret stands right, and nothing of it can steer a terminal.
    line = "".join(each if " " <= each <= "~" else "?" for each in shown)
    lead = "…" if first else ""
    tail = "…" if first + _SHOWN_CHARACTERS < len(text) else ""
    return f"  {lead}{line}{tail}\n  {' ' * (len(lead) + place - first)}^"


def _rendered(each: Condition) -> str:
    lead = "-" if each.negated else ""
    if each.operator == "has":
        return f"{lead}has:{each.field}"
    values = [_rendered_value(value) for value in each.values]
    operator = "" if each.operator == "=" else each.operator
    joined = f"({' OR '.join(values)})" if len(values) > 1 else values[0]
    return f"{lead}{each.field}:{operator}{joined}"


def _rendered_value(value: str | Decimal) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value if _is_safe_value(value) and value not in _KEYWORDS else _quote(value)


def _rendered_time(moment: dt.datetime) -> str:
    # At either end of what Python counts there is no UTC for it.
    with contextlib.suppress(OverflowError):
        moment = moment.astimezone(dt.UTC)
    return moment.isoformat()


def _rendered_words(each: Words) -> str:
    lead = "-" if each.negated else ""
    if not each.whole:
        return f"{lead}{_quote(each.text)}"
    is_safe = _is_safe_word(each.text) and each.text not in _KEYWORDS
    return f"{lead}{each.text}" if is_safe else f"{lead}word:{_quote(each.text)}"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
