"""The plain form of application data: what JSON can carry exactly, and nothing bent on the way.

=========================  ===================================================================
in `data`                  in the record
=========================  ===================================================================
str, bool, None            the same
int                        the same, of any size
float                      the same, shortest digits; NaN and the infinities are refused
Enum                       the plain form of its value
Decimal                    a string with all its digits, such as ``"0.000150"``; NaN, infinity refused
datetime                   RFC 3339 in UTC with six digits; a naive one is refused
date, UUID, path           ISO 8601 date; canonical text; its text
bytes and the like         ``{"$bytes": "…"}`` with the bytes in base64 (RFC 4648, section 4)
dict, Mapping              an object; keys must be strings, and are sorted when encoded
list, tuple                an array
set, frozenset             an array, in the order of its items' JSON
dataclass, attrs, Struct   an object of its fields
pydantic model             an object: its `model_dump()`
exception                  ``{"type": "ValueError", "message": "…"}``
numpy scalar               the plain form of its `item()`
anything else              refused: a file, a function, an object …
=========================  ===================================================================

At most 100 levels and 1,000,000 values, each counted as often as it is reached: a list that holds another
twice, which holds a third twice, and so on, is small in memory and without end in JSON.
"""

import base64
import datetime as dt
import enum
import math
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeGuard, TypeVar, cast

import msgspec

from trailhouse.schemas.errors import InvalidEventError, TrailhouseError

MAX_DEPTH = 100
MAX_VALUES = 1_000_000
"""More than fit into an event of the default size; each takes two bytes at least."""
BYTES_MARKER = "$bytes"
Refuse = Callable[[str, str, str], Any]
"""Called with a field, the rule that its value breaks, and what the value is, in a word or two. Raises, or
returns what stands in its place."""
_Shown = TypeVar("_Shown")
_name_of = type.__dict__["__name__"].__get__  # a metaclass may have one of its own, which raises
_AS_IT_IS = frozenset({str, int, bool, type(None)})
_ARE_AS_THEY_ARE = _AS_IT_IS.issuperset
_ARE_TEXT = frozenset({str}).issuperset


def refuse(field: str, rule: str, what: str) -> Any:
    """Refuse a value that has no plain form.

    Raises:
        InvalidEventError: Always; names field and rule. Permanent.
    """
    raise InvalidEventError(field, rule)


def json_object(value: object, field: str, refuse: Refuse = refuse) -> dict[str, Any]:
    """Return a copy of the mapping *value* in plain form; later changes to *value* do not reach it.

    Raises:
        InvalidEventError: Something in it has no plain form; names its path. Permanent. Not raised where
            *refuse* gives something to stand in its place; a *value* that is not a mapping is refused all the same.
    """
    if not is_a(value, Mapping):
        raise InvalidEventError(field, f"must be an object (a mapping), got {kind_of(value)}")
    plain: dict[str, Any] = _JsonForm(refuse).item(value, field, 0)
    return plain


def is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    """Tell what `isinstance` does; no where *value* has a ``__class__`` of its own that raises."""
    try:
        return isinstance(value, kind)
    except Exception:  # noqa: BLE001 - foreign code may raise anything
        return False


def is_text(value: object) -> TypeGuard[str]:
    """Tell whether *value* is a string indeed, and not by what it says of its class."""
    return issubclass(type(value), str)


def kind_of(value: object) -> str:
    """Return the name of the type of *value*, whatever code that has."""
    name: str = _name_of(type(value))
    return name


def unreadable(value: object, field: str) -> InvalidEventError:
    """Return the error about *value*, whose own code raised when it was read; what it said may be secret."""
    return InvalidEventError(field, f"cannot be read: {kind_of(value)} raised")


def utc(moment: object, field: str) -> dt.datetime:
    """Return *moment* in UTC.

    Raises:
        InvalidEventError: It is not a datetime, has no time zone, or lies outside the years 1 to 9999
            in UTC. Permanent.
    """
    if type(moment) is dt.datetime and moment.tzinfo is dt.UTC:
        return moment
    if not is_a(moment, dt.datetime):
        raise InvalidEventError(
            field, f"must be a datetime with a time zone, got {kind_of(moment)}"
        )
    try:
        in_utc = _in_utc(cast(dt.datetime, moment))
    except OverflowError:
        raise InvalidEventError(field, "must lie within the years 1 to 9999 in UTC") from None
    except Exception:  # noqa: BLE001 - a foreign time zone may raise anything
        raise unreadable(moment, field) from None
    if in_utc is None:
        raise InvalidEventError(field, "must have a time zone, got a naive datetime")
    return in_utc


def _in_utc(moment: dt.datetime) -> dt.datetime | None:
    # A time zone may be set and still know no offset: that is as good as none.
    if moment.utcoffset() is None:
        return None
    return dt.datetime.fromisoformat(moment.astimezone(dt.UTC).isoformat())


def rfc3339(moment: dt.datetime) -> str:
    """Return *moment*, which is in UTC, as RFC 3339 with six digits."""
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def exception_text(error: BaseException) -> str:
    """Return what *error* says; valid Unicode, whatever its own code does."""
    try:
        # A lone surrogate, as in the name of a file, must not keep a failure out of the log.
        return str(error).encode(errors="backslashreplace").decode()
    except Exception as broken:  # noqa: BLE001 - a foreign __str__ may raise anything
        return f"<{kind_of(error)} whose text raised {kind_of(broken)}>"


class _TooManyValuesError(Exception):
    """Ends a walk through what is too large."""


class _JsonForm:
    """One walk through a value; what has no plain form goes to *refuse*."""

    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse
        self._above: set[int] = set()  # the ids of what is walked through down to here
        self._values = 0

    def item(self, value: object, field: str, depth: int) -> Any:
        if type(value) in _AS_IT_IS:
            return value
        # Most containers hold nothing but plain values, and are then copied in one call.
        if depth < MAX_DEPTH and (flat := self._flat(value)) is not None:
            return flat
        # Not by depth alone: a tree whose nodes know their parent has 2 ** 100 ways down to level 100.
        if (known := id(value)) in self._above:
            kind = kind_of(value)
            return self._refuse(field, "must not contain itself", f"{kind} that contains itself")
        # By id and not by value: foreign equality may raise, and equal parts are no cycle.
        self._above.add(known)
        try:
            return self._followed(value, field, depth)
        except TrailhouseError:
            raise
        except _TooManyValuesError:
            if depth > 1:
                raise
            refused = self._too_large  # named as a whole: its parts are as good as endless
        except Exception:  # noqa: BLE001 - foreign code, such as a `__class__` or an `__int__`, may raise anything
            refused = self._unreadable
        finally:
            self._above.discard(known)
        return refused(value, field)  # not above, where what foreign code said would be its context

    def _flat(self, value: object) -> Any:
        """Return a copy of an object or an array that holds nothing to be looked at; None for any other value."""
        if type(value) is dict:
            fields = value.copy()
            is_flat = _ARE_TEXT(map(type, fields)) and _ARE_AS_THEY_ARE(map(type, fields.values()))
            found: Any = fields
        elif type(value) is list:
            found = value.copy()
            is_flat = _ARE_AS_THEY_ARE(map(type, found))
        else:
            return None
        if not is_flat or self._values + len(found) > MAX_VALUES:
            return None
        self._values += len(found)
        return found

    def _mapping(self, value: Mapping[Any, object], field: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            return self._too_deep(value, field)
        # A mapping of another class may do anything when it is read.
        items = value.items() if type(value) is dict else _read(value, _items)
        if items is None:
            return self._unreadable(value, field)
        self._count(len(items))
        result: dict[str, Any] = {}
        for key, item in items:
            if type(key) is not str:
                key = self._key(key, field)
            if key in result:  # an enum member and its own value, say
                self._refuse(field, "keys must differ in their plain form", "key")
            result[key] = (
                item if type(item) in _AS_IT_IS else self.item(item, f"{field}.{key}", depth)
            )
        return result

    def _key(self, key: object, field: str) -> str:
        if is_a(key, enum.Enum):
            key = cast(enum.Enum, key).value
        if is_text(key):
            return str.__str__(key)
        refused = self._refuse(field, f"keys must be strings, got {kind_of(key)}", kind_of(key))
        return str(key) if type(key) in (int, bool, float, uuid.UUID) else str(refused)

    def _followed(self, value: object, field: str, depth: int) -> Any:
        if isinstance(value, (list, tuple)):
            return self._array(value, field, depth)
        if isinstance(value, Mapping):
            return self._mapping(value, field, depth + 1)
        if isinstance(value, (set, frozenset)):
            return self._set(value, field, depth)
        if isinstance(value, enum.Enum):
            return self.item(value.value, field, MAX_DEPTH)
        return self._leaf(value, field, depth)

    def _array(self, value: Iterable[object], field: str, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            return self._too_deep(value, field)
        items = _read(value, list)
        if items is None:
            return self._unreadable(value, field)
        self._count(len(items))
        return [
            item if type(item) in _AS_IT_IS else self.item(item, f"{field}[{at}]", depth + 1)
            for at, item in enumerate(items)
        ]

    def _set(self, value: Iterable[object], field: str, depth: int) -> Any:
        import json  # lazily: hardly anybody logs a set; and msgspec refuses a lone surrogate

        items = self._array(value, field, depth)
        if not isinstance(items, list):
            return items
        # A set has no order, and the same event must have the same bytes each time.
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))

    def _leaf(self, value: object, field: str, depth: int) -> Any:
        match value:
            case str():
                # Not `str(value)`: a subclass may print something else than it holds.
                return str.__str__(value)
            case int():
                return int(value)
            case float():
                return float(value) if math.isfinite(value) else self._not_finite(value, field)
            case Decimal():
                # As text: a float would lose digits of an amount.
                return str(value) if value.is_finite() else self._not_finite(value, field)
            case dt.datetime():
                return self._time(value, field)
            case dt.date():
                return value.isoformat()
            case uuid.UUID():
                return str(value)
            case bytes() | bytearray() | memoryview():
                return {BYTES_MARKER: base64.b64encode(value).decode("ascii")}
            case BaseException():
                return {"type": kind_of(value), "message": exception_text(value)}
            case _:
                return self._object(value, field, depth)

    def _not_finite(self, value: float | Decimal, field: str) -> Any:
        rule = "must be a finite number, got NaN or an infinity"
        return self._refuse(field, rule, str(value))

    def _time(self, value: dt.datetime, field: str) -> Any:
        try:
            return rfc3339(utc(value, field))
        except InvalidEventError as error:
            clock = dt.datetime.isoformat(value.replace(tzinfo=None))
            return self._refuse(field, error.rule, f"datetime {clock}")
        except Exception:  # noqa: BLE001 - a foreign time zone may raise anything
            return self._unreadable(value, field)

    def _object(self, value: object, field: str, depth: int) -> Any:
        """Return the plain form of what others' libraries make; none of them is imported for it."""
        if not isinstance(value, type) and (read := _reader_of(value)) is not None:
            shown = _read(value, read)
            if shown is None:
                return self._unreadable(value, field)
            if type(shown) is not type(value):  # numpy gives back a long double as it is
                return self.item(shown, field, depth)
        kinds = (
            "must be a string, number, boolean, null, object, array, set, bytes, datetime, date, UUID, Decimal, path,"
            " enum member, exception, dataclass, attrs class or pydantic model"
        )
        return self._refuse(field, f"{kinds}, got {kind_of(value)}", kind_of(value))

    def _unreadable(self, value: object, field: str) -> Any:
        return self._refuse(
            field, f"cannot be read: {kind_of(value)} raised", f"{kind_of(value)} that raised"
        )

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _TooManyValuesError

    def _too_large(self, value: object, field: str) -> Any:
        rule = f"must not hold more than {MAX_VALUES:,} values"
        return self._refuse(field, rule, f"{kind_of(value)} of too many values")

    def _too_deep(self, value: object, field: str) -> Any:
        rule = f"must not be nested deeper than {MAX_DEPTH} levels"
        return self._refuse(field, rule, f"{kind_of(value)} nested too deep")


def _items(value: Mapping[Any, object]) -> list[tuple[Any, object]]:
    return list(value.items())


def _read(value: Any, read: Callable[[Any], _Shown]) -> _Shown | None:
    """Return what others' code gives; None when it raises."""
    try:
        return read(value)
    except Exception:  # noqa: BLE001 - foreign code may raise anything; the caller refuses by name
        return None


def _reader_of(value: object) -> Callable[[Any], object] | None:
    """Return what makes fields, text or a number of *value*; None where nothing is known to."""
    kind = type(value)
    if callable(getattr(kind, "model_dump", None)):
        return lambda model: model.model_dump()
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict
    if hasattr(kind, "__dataclass_fields__"):
        import dataclasses  # lazily: import time counts in every agent

        return lambda made: {
            each.name: getattr(made, each.name) for each in dataclasses.fields(made)
        }
    if hasattr(kind, "__attrs_attrs__"):
        return lambda made: {each.name: getattr(made, each.name) for each in made.__attrs_attrs__}
    if hasattr(kind, "__fspath__"):
        return os.fspath
    return (lambda number: number.item()) if _is_numpy_scalar(kind) else None


def _is_numpy_scalar(kind: type) -> bool:
    # The item of a datetime64 is a datetime, a date or a bare integer, by its unit: that would bend it.
    return (
        any(
            base.__module__ == "numpy" and base.__name__ in ("number", "bool", "bool_")
            for base in kind.__mro__
        )
        and kind.__name__ != "timedelta64"
    )
