"""What the attributes of a span say, whatever type they have: what is unusable is warned of once, and left out."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from trailhouse.producer.recording.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trailhouse.capture.otel.names import Names
    from trailhouse.capture.otel.shapes import Shape

log = logging.getLogger(__name__)

MAX_TOKENS = 2**53
MAX_DIGITS = 16
_warned: set[str] = set()


def attributes_of(span: Any) -> Mapping[str, Any]:
    """Return the attributes that *span* has now."""
    # The SDK's own mapping takes a lock and raises for each name that is missing: 0.8 µs instead of 0.03.
    try:
        inner = span._attributes._dict
    except AttributeError:
        inner = None
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


def text_of(attributes: Mapping[str, Any], among: Names) -> str | None:
    """Return the first of the attributes *among* that has a text; a whole number is taken as its text."""
    for name in among:
        value = attributes.get(name)
        if type(value) is str and value:
            return value
        if value is None or value == "":
            continue
        if isinstance(value, str):
            return str.__str__(value)
        if type(value) is int:
            return str(value)
        _warn(name, "a text")
    return None


def content_of(attributes: Mapping[str, Any], among: Names) -> Any:
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
            return msgspec.json.decode(value)
        except (ValueError, RecursionError):  # `NaN`, say, which the other one takes
            try:
                return json.loads(value)
            except (ValueError, RecursionError):
                return value
    return list(value) if isinstance(value, tuple) else value


def usage_of(attributes: Mapping[str, Any], shape: Shape, *, is_aggregated: bool = False) -> Usage:
    """Return what a model call used; with *is_aggregated* what a run's calls used together, as its span says it.

    `input_tokens` holds what was cached, by the conventions. Where it is less than that, whoever made the span has
    counted it apart, and it is added.
    """
    tokens = _counts(attributes, shape.totals if is_aggregated else shape.counted)
    sent = tokens.get("input_tokens")
    if sent is not None and len(tokens) > 1:
        cached = tokens.get("cache_read_tokens", 0) + tokens.get("cache_write_tokens", 0)
        tokens["input_tokens"] = sent + cached if cached > sent else sent
    return Usage(
        cost_usd=_cost(attributes, shape) if shape.cost else None,
        model=text_of(attributes, shape.model),
        provider=text_of(attributes, shape.provider) if shape.provider else None,
        **tokens,
    )


def _counts(attributes: Mapping[str, Any], counted: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the numbers of tokens by what they count; of several names of one, the first counts."""
    found: dict[str, Any] = {}
    for name, what in counted:
        if what in found:
            continue
        value = attributes[name]
        number = value if type(value) is int and 0 <= value <= MAX_TOKENS else _number(value)
        if number is None:
            _warn(name, "a number of tokens")
        else:
            found[what] = number
    return found


def _cost(attributes: Mapping[str, Any], shape: Shape) -> float | str | None:
    """Return what a call cost."""
    for name in shape.cost:
        value = attributes.get(name)
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return value
    return None


def _number(value: Any) -> int | None:
    if (
        isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < MAX_DIGITS
    ) or (type(value) is float and value.is_integer()):
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


def _warn(name: str, wanted: str) -> None:
    if name not in _warned:
        _warned.add(name)
        log.warning("the attribute %s of a span is not %s: it is left out", name, wanted)
