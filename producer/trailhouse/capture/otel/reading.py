"""What the attributes of a span say, whatever type they have: what is unusable is warned of once, and left out."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel import names
from trailhouse.producer.recording.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

log = logging.getLogger(__name__)

MAX_TOKENS = 2**53
MAX_DIGITS = 16
_warned: set[str] = set()


def attributes_of(span: Any) -> Mapping[str, Any]:
    """Return the attributes that *span* has now."""
    attributes = getattr(span, "_attributes", None)
    # The SDK's own mapping takes a lock and raises for each name that is missing: 0.8 µs instead of 0.03.
    inner = getattr(attributes, "_dict", None)
    if type(inner) is dict:
        return inner
    public: Mapping[str, Any] | None = getattr(span, "attributes", None)
    return public or {}


def events_of(span: Any) -> Sequence[Any]:
    """Return the events of *span*; hardly one has any, and the SDK would copy none for each that asks."""
    events = getattr(span, "_events", None)
    if events is not None and not len(events):
        return ()
    public: Sequence[Any] = getattr(span, "events", ())
    return public


def text_of(attributes: Mapping[str, Any], among: names.Names) -> str | None:
    """Return the first of the attributes *among* that has a text; a whole number is taken as its text."""
    for name in among:
        value = attributes.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, str):
            return str.__str__(value)
        if type(value) is int:
            return str(value)
        _warn(name, "a text")
    return None


def content_of(attributes: Mapping[str, Any], among: names.Names) -> Any:
    """Return the first of the attributes *among* that is there, read where it is a JSON object or array."""
    for name in among:
        value = attributes.get(name)
        if value is not None:
            return parsed(value)
    return None


def parsed(value: Any) -> Any:
    """Return *value* read as JSON, if it is the text of an object or array; else as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return list(value) if isinstance(value, tuple) else value


def usage_of(attributes: Mapping[str, Any], *, is_aggregated: bool = False) -> Usage:
    """Return what a model call used; with *is_aggregated* what a run's calls used together, as its span says it.

    `input_tokens` holds what was cached, by the conventions. Where it is less than that, whoever made the span has
    counted it apart, and it is added.
    """

    found = _counts(attributes, is_aggregated=is_aggregated)
    count = found.get
    read, written = count("cache_read"), count("cache_write")
    sent, cached = count("input"), (read or 0) + (written or 0)
    return Usage(
        input_tokens=sent + cached if sent is not None and cached > sent else sent,
        output_tokens=count("output"),
        total_tokens=count("total"),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count("reasoning"),
        cost_usd=_cost(attributes),
        model=text_of(attributes, names.MODEL),
        provider=text_of(attributes, names.PROVIDER),
    )


def _counts(attributes: Mapping[str, Any], *, is_aggregated: bool) -> dict[str, int]:
    """Return the numbers of tokens by what they count; of several names of one, the first of its names counts."""
    found: dict[str, tuple[int, int]] = {}
    for attribute, value in attributes.items():
        name = attribute.replace(names.AGGREGATED, names.SINGLE) if is_aggregated else attribute
        what = names.COUNTED.get(name)
        if what is None:
            continue
        number = _number(value)
        if number is None:
            _warn(attribute, "a number of tokens")
        elif what[0] not in found or what[1] < found[what[0]][0]:
            found[what[0]] = what[1], number
    return {what: number for what, (_, number) in found.items()}


def _number(value: Any) -> int | None:
    if (
        isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < MAX_DIGITS
    ) or (type(value) is float and value.is_integer()):
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


def _cost(attributes: Mapping[str, Any]) -> float | str | None:
    for name in names.COST:
        value = attributes.get(name)
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return value
    return None


def _warn(name: str, wanted: str) -> None:
    if name not in _warned:
        _warned.add(name)
        log.warning("the attribute %s of a span is not %s: it is left out", name, wanted)
