"""What a reader may ask of all sessions: conditions on fields, words in `data`, a time; checked when made. Pure."""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import force_setattr

from trailhouse.proof.standing import Standing
from trailhouse.query.filtering.filters import microseconds
from trailhouse.schemas.errors import QueryError

Kind = Literal["text", "outcome", "standing", "count", "cost_usd", "duration_ms"]
Operator = Literal["=", ">", ">=", "<", "<=", "has"]
TEXTS: tuple[Kind, ...] = ("text", "outcome", "standing")
"""Kinds of fields that are text, and can only be equal."""
COMPARISONS: tuple[Operator, ...] = (">=", "<=", ">", "<", "=")
OUTCOMES = (
    "completed", "failed", "cancelled", "timeout", "abandoned", "granted", "denied", "passed", "tripped",
)  # fmt: skip
"""An event's outcome is the last word of its type, where that is one of these; else it has none."""
MAX_FILTER_BYTES = 16_384
"""Of all values together: a statement's values travel in its address, which servers and proxies bound."""
MAX_CONDITIONS = 50
MAX_NUMBERS = 100
"""Of one condition: ClickHouse takes longer to read a statement with more than to answer it."""
_MAX_COUNT = 2**64 - 1
_MAX_COST = Decimal(10) ** 20
_COST_DIGITS = 18


class Field(NamedTuple):
    """A field that can be asked for: its column, what it holds, and what that means."""

    column: str
    kind: Kind
    meaning: str


FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        "session": Field("session_id", "text", "the session"),
        "run": Field("run_id", "text", "the run within its session"),
        "parent_run": Field("parent_run_id", "text", "the run that started this one"),
        "tenant": Field("tenant_id", "text", "the tenant"),
        "agent": Field("agent_id", "text", "the agent"),
        "type": Field("type", "text", "the event's type, such as run_failed"),
        "provider": Field("provider", "text", "the provider of the model"),
        "model": Field("model", "text", "the model, as its provider spells it"),
        "tool": Field("tool_name", "text", "the tool"),
        "tool_call": Field("tool_call_id", "text", "the tool call, its approval included"),
        "outcome": Field(
            "type", "outcome", f"the last word of the type, where it is one of {', '.join(OUTCOMES)}"
        ),
        "actor": Field("actor_id", "text", "who did it"),
        "actor_type": Field("actor_type", "text", "what kind of actor: user, agent, service …"),
        "correlation": Field("correlation_id", "text", "the correlation id"),
        "trace": Field("trace_id", "text", "the trace id"),
        "error": Field("error_code", "text", "the error's code"),
        "cost": Field("cost_usd", "cost_usd", "US dollars, exact"),
        "tokens": Field("total_tokens", "count", "tokens in all, where the provider says it"),
        "input_tokens": Field("input_tokens", "count", "tokens read"),
        "output_tokens": Field("output_tokens", "count", "tokens written"),
        "standing": Field(
            "record_key", "standing", f"who stands behind it: {', '.join(Standing)}; docs/reads.md says what these mean"
        ),
        "duration": Field("duration_ms", "duration_ms", "how long it took, in ms; 500ms, 2s, 1.5m, 1h"),
    }
)  # fmt: skip
"""What a filter may name, the same at every door; text is compared to the last byte, nothing in it is a wildcard."""

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One field of an event, and what it must be; an event without the field meets none but a negated one.

    Attributes:
        field: A name of `FIELDS`.
        operator: ``=``: is any of `values`; for numbers also ``>``, ``>=``, ``<``, ``<=`` with one value;
            ``has``: the event has the field at all, without a value.
        values: Text; numbers as exact `Decimal` (US dollars, tokens, milliseconds). Any text is legal.
        negated: Whether the condition must not hold.

    Raises:
        QueryError: Names the field, the rule and what is allowed. Permanent.
    """

    field: str
    operator: Operator = "="
    values: tuple[str | Decimal, ...] = ()
    negated: bool = False

    def __post_init__(self) -> None:
        kind = field_named(self.field).kind
        if self.operator not in (*COMPARISONS, "has"):
            raise QueryError(f"{self.field}: must be compared with one of = > >= < <= or has")
        if self.operator not in ("=", "has") and kind in TEXTS:
            raise QueryError(
                f"{self.field}: is text and can only be equal; {self.operator} is for numbers"
            )
        values = tuple(
            dict.fromkeys(
                _value(self.field, kind, value) for value in _several(self.field, self.values)
            )
        )
        if (self.operator == "has") is not (not values):
            raise QueryError(f"{self.field}: must be given a value, or none with has")
        if self.operator not in ("=", "has") and len(values) > 1:
            raise QueryError(f"{self.field}: {self.operator} takes one value")
        if kind not in TEXTS and len(values) > MAX_NUMBERS:
            raise QueryError(f"{self.field}: must be at most {MAX_NUMBERS} numbers")
        force_setattr(self, "values", values)
        force_setattr(self, "negated", bool(self.negated))


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """Text that stands in an event's `data`: in a key, a string or a number, upper and lower case told apart.

    Attributes:
        text: Any text; as it reads, not as JSON escapes it.
        whole: Whether it must stand by itself, no letter, digit or underscore before or after it.
        negated: Whether it must not stand there.

    Raises:
        QueryError: The text is empty or not a string. Permanent.
    """

    text: str
    whole: bool = False
    negated: bool = False

    def __post_init__(self) -> None:
        force_setattr(self, "text", _words(self.text))


class SearchFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of all events: everything here must hold.

    Attributes:
        conditions: On fields.
        words: On the text of `data`.
        since: Only events that occurred then or later; aware, exact to the microsecond. None: from the first.
        until: Only events that occurred then or earlier, likewise. None: to the last.
        asked_at: The now that its times were told from, where its text says such as ``since:2h``; a cursor keeps it.

    Raises:
        QueryError: A time is naive, since is after until, or it is all too long. Permanent.
    """

    conditions: tuple[Condition, ...] = ()
    words: tuple[Words, ...] = ()
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    asked_at: dt.datetime | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "conditions", tuple(self.conditions))
        force_setattr(self, "words", tuple(self.words))
        for name in ("since", "until"):
            if getattr(self, name) is not None:
                microseconds(getattr(self, name), name)
        if self.since is not None and self.until is not None and self.since > self.until:
            raise QueryError("since: must not be after until")
        if len(self.conditions) + len(self.words) > MAX_CONDITIONS:
            raise QueryError(f"filter: must be at most {MAX_CONDITIONS} conditions and words")
        if self.size_bytes > MAX_FILTER_BYTES:
            raise QueryError(
                f"filter: its values must be at most {MAX_FILTER_BYTES} bytes together, got {self.size_bytes}"
            )

    @property
    def since_us(self) -> int | None:
        """`since` in microseconds from 1970 UTC."""
        return None if self.since is None else microseconds(self.since, "since")

    @property
    def until_us(self) -> int | None:
        """`until` in microseconds from 1970 UTC."""
        return None if self.until is None else microseconds(self.until, "until")

    @property
    def size_bytes(self) -> int:
        """How much its values are in UTF-8."""
        texts = [str(value) for each in self.conditions for value in each.values]
        return sum(
            len(text.encode("utf-8", "surrogatepass"))
            for text in [*texts, *(each.text for each in self.words)]
        )

    def narrowed(
        self,
        *more: Condition | Words,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
    ) -> "SearchFilter":
        """Return this filter with more conditions; of two times the narrower counts.

        Raises:
            QueryError: As for a filter. Permanent.
        """
        for name, moment in (("since", since), ("until", until)):
            if moment is not None:
                microseconds(moment, name)
        return SearchFilter(
            conditions=(*self.conditions, *(each for each in more if isinstance(each, Condition))),
            words=(*self.words, *(each for each in more if isinstance(each, Words))),
            since=max((each for each in (self.since, since) if each is not None), default=None),
            until=min((each for each in (self.until, until) if each is not None), default=None),
            asked_at=self.asked_at,
        )


def field_named(name: object) -> Field:
    """Return the field of that name.

    Raises:
        QueryError: There is none; says which there are. Permanent.
    """
    found = FIELDS.get(name) if isinstance(name, str) else None
    if found is None:
        raise QueryError(f"{_shown(name)}: {no_field(name)}")
    return found


_NAMES = {
    field.column: name
    for name, field in FIELDS.items()
    if field.column.endswith(("_id", "_name", "_code"))
}
"""The columns of answers that are asked by a shorter name."""


def no_field(name: object, further: Sequence[str] = ()) -> str:
    """Return what is said of a name that is no field, nor one of *further*: which was meant, and which there are."""
    known = (*FIELDS, *further)
    meant = ""
    if name == "status":
        meant = " (runs have one: they are asked with a status of their own, as `trailhouse runs --status failed`)"
    elif isinstance(name, str):
        near = get_close_matches(name.lower(), known, 1, 0.7)
        if found := _NAMES.get(name.lower()) or next(iter(near), None):
            meant = f" (did you mean {found}?)"
    return f"is not a field{meant}; the fields are {', '.join(known)}"


def number(field: str, value: object) -> Decimal:
    """Return *value*, a number or its text, as *field* counts: dollars, tokens or milliseconds.

    Raises:
        QueryError: It is not a number that the field can be. Permanent.
    """
    kind = field_named(field).kind
    unit = 1
    if isinstance(value, str) and kind == "duration_ms":
        digits = value.rstrip("msh")
        unit = _UNITS_MS.get(value[len(digits) :] or "ms", 0)
        value = digits
    # True is an int to Python; as an amount it is a mistake. A float counts as its shortest digits.
    if not unit or isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise QueryError(f"{field}: {_RULES[kind]}")
    try:
        # Python also takes underscores, full-width digits and white space around them.
        plain = not isinstance(value, str) or (
            value.isascii() and value == value.strip() and "_" not in value
        )
        amount = Decimal(repr(value) if isinstance(value, float) else value) if plain else None
    except (InvalidOperation, ValueError):
        amount = None
    if amount is None or not amount.is_finite() or not _is_within(kind, amount):
        raise QueryError(f"{field}: {_RULES[kind]}")
    # One spelling of each number, so that equal filters are equal: 0.50 and 5E-1 are 0.5.
    return _plain(amount) if unit == 1 else _plain(amount) * unit


_RULES: dict[Kind, str] = {
    "count": "must be a whole number from 0 to 2**64 - 1",
    "cost_usd": "must be a number of US dollars, below 1e20, with at most 18 decimal places",
    "duration_ms": "must be a duration such as 500ms, 2s, 1.5m or 1h; a number alone is milliseconds",
}


def _is_within(kind: Kind, amount: Decimal) -> bool:
    # The exponent first: a number of a billion digits is short to write.
    if not -40 <= amount.adjusted() <= 40 or len(amount.as_tuple().digits) > 60:
        return amount.is_zero()
    if kind == "count":
        return amount == amount.to_integral_value() and 0 <= amount <= _MAX_COUNT
    if kind == "cost_usd":
        places = -int(_plain(amount).as_tuple().exponent)
        return abs(amount) < _MAX_COST and places <= _COST_DIGITS
    return math.isfinite(float(amount)) and len(_plain(amount).as_tuple().digits) <= 20


def _plain(amount: Decimal) -> Decimal:
    """Return the number in its one spelling: without an exponent, and without zeros at its end."""
    if amount.is_zero():
        return Decimal(0)
    digits = format(amount, "f")
    return Decimal(digits.rstrip("0").rstrip(".") if "." in digits else digits)


def _several(field: str, values: object) -> Iterable[object]:
    if isinstance(values, (str, bytes, bytearray)) or not isinstance(values, Iterable):
        raise QueryError(f"{field}: must be given a tuple of values")
    return values


def _words(text: object) -> str:
    if not isinstance(text, str) or not text:
        raise QueryError("text: must be a string of at least one character")
    # An exact str: a subclass may have a `__str__` of its own.
    return str.__str__(text)


def _value(field: str, kind: Kind, value: object) -> str | Decimal:
    if kind not in TEXTS:
        return number(field, value)
    if not isinstance(value, str):
        raise QueryError(f"{field}: must be a string, got {type(value).__name__}")
    if kind == "outcome" and value not in OUTCOMES:
        raise QueryError(f"outcome: must be one of {', '.join(OUTCOMES)}")
    if kind == "standing" and value not in set(Standing):
        raise QueryError(f"{field}: must be one of {', '.join(Standing)}")
    # An exact str: a subclass may have a `__str__` of its own.
    return str.__str__(value)


def _shown(name: object) -> str:
    """Return a caller's name of a field as it may stand in a message: short, and of one line."""
    text = name if isinstance(name, str) else type(name).__name__
    return ascii(text[:40])[1:-1] or "''"
