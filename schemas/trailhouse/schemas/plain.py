"""The plain form of application data: what JSON can carry exactly, and nothing bent on the way.

==================  ==========================================================================
in `data`           in the record
==================  ==========================================================================
str, bool, None     the same
int                 the same, of any size
float               the same, shortest digits; NaN and the infinities are refused
Enum                the plain form of its value
Decimal             a string with all its digits, such as ``"0.000150"``; NaN, infinity refused
datetime            RFC 3339 in UTC with six digits; a naive one is refused
date, UUID          ISO 8601 date; canonical text
dict, Mapping       an object; keys must be strings, and are sorted when encoded
list, tuple         an array
anything else       refused: bytes, sets, objects …
==================  ==========================================================================
"""

import datetime as dt
import enum
import math
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from trailhouse.schemas.errors import InvalidEventError

MAX_DEPTH = 100
_AS_IT_IS = frozenset({str, int, bool, type(None)})


def plain_object(value: object, field: str) -> dict[str, Any]:
    """Return a copy of the mapping *value* in plain form; later changes to *value* do not reach it.

    Raises:
        InvalidEventError: Something in it has no plain form; names its path. Permanent.
    """
    if not isinstance(value, Mapping):
        raise InvalidEventError(field, f"must be an object (a mapping), got {_kind(value)}")
    return _plain_mapping(value, field, 1)


def utc(moment: object, field: str) -> dt.datetime:
    """Return *moment* in UTC.

    Raises:
        InvalidEventError: It is no datetime, has no time zone, or lies outside the years 1 to 9999
            in UTC. Permanent.
    """
    if not isinstance(moment, dt.datetime):
        raise InvalidEventError(field, f"must be a datetime with a time zone, got {_kind(moment)}")
    if moment.tzinfo is dt.UTC and type(moment) is dt.datetime:
        return moment
    if moment.utcoffset() is None:
        raise InvalidEventError(field, "must have a time zone, got a naive datetime")
    try:
        return dt.datetime.fromisoformat(moment.astimezone(dt.UTC).isoformat())
    except OverflowError:
        raise InvalidEventError(field, "must lie within the years 1 to 9999 in UTC") from None


def rfc3339(moment: dt.datetime) -> str:
    """Return *moment*, which is in UTC, as RFC 3339 with six digits."""
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def _plain_mapping(value: Mapping[Any, object], field: str, depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise InvalidEventError(field, _depth_rule(value))
    result: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is not str:
            key = _plain_key(key, field)
        if type(item) in _AS_IT_IS:
            result[key] = item
        else:
            result[key] = _plain(item, f"{field}.{key}", depth)
    if len(result) != len(value):  # an enum member and its own value, say
        raise InvalidEventError(field, "keys must differ in their plain form")
    return result


def _plain_key(key: object, field: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if not isinstance(key, str):
        raise InvalidEventError(field, f"keys must be strings, got {_kind(key)}")
    return str.__str__(key)


def _plain(value: object, field: str, depth: int) -> Any:
    if type(value) in _AS_IT_IS:
        return value
    if isinstance(value, (list, tuple)):
        if depth >= MAX_DEPTH:
            raise InvalidEventError(field, _depth_rule(value))
        return [_plain(item, f"{field}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _plain_mapping(value, field, depth + 1)
    return _plain_leaf(value, field)


def _plain_leaf(value: object, field: str) -> Any:
    match value:
        case enum.Enum():
            return _plain(value.value, field, MAX_DEPTH)
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float():
            if not math.isfinite(value):
                raise InvalidEventError(field, "must be a finite number, got NaN or an infinity")
            return float(value)
        case Decimal():
            if not value.is_finite():
                raise InvalidEventError(field, "must be a finite number, got NaN or an infinity")
            return str(value)
        case dt.datetime():
            return rfc3339(utc(value, field))
        case dt.date():
            return value.isoformat()
        case uuid.UUID():
            return str(value)
        case _:
            raise InvalidEventError(
                field,
                "must be a string, number, boolean, null, object, array, datetime, date, UUID,"
                f" Decimal or enum member, got {_kind(value)}",
            )


def _depth_rule(value: object) -> str:
    return (
        "must not contain itself"
        if _contains_itself(value)
        else f"must not be nested deeper than {MAX_DEPTH} levels"
    )


def _contains_itself(start: object) -> bool:
    """Tell whether following *start* downwards leads back to a container on the way."""
    pending: list[tuple[object, frozenset[int]]] = [(start, frozenset())]
    for _ in range(10_000):
        if not pending:
            return False
        value, above = pending.pop()
        if id(value) in above:
            return True
        items = (
            value.values()
            if isinstance(value, Mapping)
            else value
            if isinstance(value, (list, tuple))
            else ()
        )
        pending.extend(
            (item, above | {id(value)})
            for item in items
            if isinstance(item, (Mapping, list, tuple))
        )
    return False


def _kind(value: object) -> str:
    return type(value).__name__
