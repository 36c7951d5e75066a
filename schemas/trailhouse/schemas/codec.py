"""From bytes back to an event: strict about what it means, lossless about what it does not know."""

import copyreg
import datetime as dt
import json
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import force_setattr

from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.event import AuditEvent, RecordedEvent, adopt, restored, unknown_field
from trailhouse.schemas.event_type import TYPE_PATTERN, is_type_name
from trailhouse.schemas.json_form import utc
from trailhouse.schemas.record import (
    ENVELOPE_FIELDS,
    Envelope,
    encode_fields,
    encode_lines,
    with_six_digits,
    without_six_zeros,
)
from trailhouse.schemas.uuid7 import are_canonical_uuids, is_uuid

_decode_envelope = msgspec.json.Decoder(Envelope).decode
_envelopes_in = msgspec.json.Decoder(Envelope).decode_lines
_events_in = msgspec.json.Decoder(RecordedEvent).decode_lines
_Fields = TypeVar("_Fields", Envelope, RecordedEvent)
_type, _event_id = attrgetter("type"), attrgetter("event_id")
_unknown_fields_of = attrgetter("unknown_fields")
_time_zone = attrgetter("occurred_at.tzinfo")
_NOTHING: dict[str, Any] = {}
MAX_LEVELS = 256
"""How deep a record may be nested: far from Python's own limit, so that what one program decodes
every other can too, however deep in its own calls it stands."""
DEEP_FROM_BYTES = 2 * MAX_LEVELS + len(
    '"event_id":"00000000-0000-0000-0000-000000000000","occurred_at":"2026-01-01T00:00:00Z",'
    '"session_id":"s","type":"t",'
)
"""A level takes two bytes, and what a record must hold besides some more: most are too short to be deep."""
RECORDS_AT_ONCE, BYTES_AT_ONCE = 250, 262_144
"""Decoded in one go: few enough to stay in the processor's cache, and one that is not as our encoder
writes it makes no more of its neighbours slow."""
_strings = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_FLAT = frozenset({str, int, float, bool, type(None)}).issuperset
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Decoded(NamedTuple):
    """An envelope that follows every rule of a record, and the fields it does not know."""

    envelope: Envelope
    unknown_fields: Mapping[str, Any]


def decode_envelope(record: bytes) -> Decoded:
    """Check *record* and return what it holds; the worker's and the reader's one way in.

    A record as our encoder writes it is recognised by encoding it again. Any other spelling (white
    space, other key order, fields of a newer schema) takes a slower path, and is as good unless a
    key stands twice.

    Raises:
        InvalidEventError: It is not an event; names the field and the rule, never the value. Permanent.
    """
    try:
        envelope = _decode_envelope(record)
        _check_rules(envelope)
        _check_depth(record)
        encoded = encode_fields(envelope)
        # Our encoder's own bytes hold no key twice and no unknown field, so nothing else is to be looked for.
        if encoded == record or with_six_digits(encoded, envelope.occurred_at) == record:
            return Decoded(envelope, _NOTHING)
        return Decoded(envelope, _unknown_fields(record))
    except msgspec.ValidationError as error:
        raise _shape_error(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEventError("record", f"must be JSON in UTF-8: {_syntax(error)}") from None
    except RecursionError:
        raise _too_deep() from None


def decode_all(records: Sequence[bytes]) -> list[Envelope] | None:
    """Return what *records* hold if each is just as our encoder writes it; else None: look at each.

    It says what `decode_envelope` would, at a third less cost. Our encoder writes no line feed, so
    lines that come out again as they went in were one record each.
    """
    return _decode_all(records, _envelopes_in)


def _decode_all(
    records: Sequence[bytes], decode_lines: Callable[[bytes], list[_Fields]]
) -> list[_Fields] | None:
    lines = b"\n".join((*records, b""))
    try:
        envelopes = decode_lines(lines)
        # A foreign record may hold line feeds, and so be several lines, or several events.
        if len(envelopes) != len(records):
            return None
        encoded = encode_lines(envelopes)
        if encoded != lines and without_six_zeros(encoded) != without_six_zeros(lines):
            return None
    except (ValueError, RecursionError):  # msgspec's errors and Unicode's are ValueErrors
        return None
    is_sound = (
        are_canonical_uuids(list(map(_event_id, envelopes)))
        and all(map(is_type_name, set(map(_type, envelopes))))
        and all(zone is dt.UTC for zone in set(map(_time_zone, envelopes)))
        and not any(
            _is_deep(envelope.data) or _is_deep(envelope.metadata)
            for envelope, record in zip(envelopes, records, strict=True)
            if len(record) >= DEEP_FROM_BYTES
            and not (
                _FLAT(map(type, envelope.data.values()))
                and _FLAT(map(type, envelope.metadata.values()))
            )
        )
    )
    return envelopes if is_sound else None


def parts_of(records: Sequence[bytes]) -> Iterator[slice]:
    """Yield *records* in parts, each of what is decoded in one go: decoded, a record may be 40 times its size."""
    ends = list(accumulate(map(len, records)))
    begin = before_bytes = 0
    while begin < len(records):
        end = bisect_right(ends, before_bytes + BYTES_AT_ONCE, begin)
        # At least one, however large it is: else it would never come to an end.
        end = min(max(end, begin + 1), begin + RECORDS_AT_ONCE)
        yield slice(begin, end)
        begin, before_bytes = end, ends[end - 1]


def decode(record: bytes) -> AuditEvent:
    """Return the event that *record* holds, with `record` kept to the last byte.

    Raises:
        InvalidEventError: It is not an event; names the field and the rule. Permanent.
    """
    envelope, unknown_fields = decode_envelope(record)
    return restored(envelope, dict(unknown_fields), record)


def _pickled(event: AuditEvent) -> tuple[Callable[[bytes], AuditEvent], tuple[bytes]]:
    """Have an event pickled as its record: what comes back is checked like any other."""
    return decode, (event.record,)


copyreg.pickle(AuditEvent, _pickled)


def decode_events(records: Sequence[bytes]) -> list[AuditEvent]:
    """Return what `decode` would of each of *records*, for half of its cost.

    For a quarter more where one of a few hundred is not just as our encoder writes it.

    Raises:
        InvalidEventError: One of them is not an event; names field and rule. Permanent.
    """
    events: list[AuditEvent] = []
    for part in parts_of(records):
        some = records[part]
        recorded = _decode_all(some, _events_in)
        # Events have a field for what is unknown; a record with one of that name is looked at by itself.
        if recorded is None or any(map(_unknown_fields_of, recorded)):
            events += map(decode, some)
        else:
            events += map(adopt, recorded, some)
    return events


def event_of(fields: Mapping[str, Any]) -> AuditEvent:
    """Return the event that a caller's JSON object describes; what is missing is stamped.

    Raises:
        InvalidEventError: A field is unknown or breaks a rule. Permanent.
    """
    if unknown := [str(name) for name in fields.keys() - ENVELOPE_FIELDS]:
        raise unknown_field(unknown)
    for name in ("type", "session_id"):
        if name not in fields:
            raise InvalidEventError(name, "is missing")
    given = dict(fields)
    # A caller of Python gives a datetime; JSON has text alone.
    if isinstance(given.get("occurred_at"), str):
        given["occurred_at"] = _moment(given["occurred_at"])
    return AuditEvent(**given)


def _moment(text: str) -> object:
    try:
        return msgspec.convert(text, dt.datetime)
    except msgspec.ValidationError:
        raise InvalidEventError(
            "occurred_at", "must be an RFC 3339 time with a time zone"
        ) from None


def _check_rules(envelope: Envelope) -> None:
    if not is_type_name(envelope.type):
        raise InvalidEventError("type", f"must match {TYPE_PATTERN}")
    if not is_uuid(envelope.event_id):
        raise InvalidEventError("event_id", "must be a UUID")
    if envelope.occurred_at.tzinfo is not dt.UTC:
        force_setattr(envelope, "occurred_at", utc(envelope.occurred_at, "occurred_at"))


def _check_depth(record: bytes) -> None:
    """Refuse deep nesting; *record* is known to be JSON."""
    if len(record) < DEEP_FROM_BYTES or record.count(b"{") + record.count(b"[") <= MAX_LEVELS:
        return
    level = 0
    # Brackets in texts open nothing, so texts are taken out first.
    for bracket in _strings.sub(b"", record).translate(None, _NO_BRACKETS):
        level += 1 if bracket in b"[{" else -1
        if level > MAX_LEVELS:
            raise _too_deep()


def _is_deep(data: Mapping[str, Any]) -> bool:
    """Tell whether *data*, which is one level deep in its record, makes that deeper than may be."""
    containers: list[Any] = [data]
    # Level by level and not by recursion, which would need the depth that is to be refused.
    for _ in range(1, MAX_LEVELS):
        containers = [
            item
            for each in containers
            for item in (each.values() if type(each) is dict else each)
            if type(item) is dict or type(item) is list
        ]
        if not containers:
            return False
    return True


def _too_deep() -> InvalidEventError:
    return InvalidEventError("record", f"must not be nested deeper than {MAX_LEVELS} levels")


def _unknown_fields(record: bytes) -> dict[str, Any]:
    # msgspec skips what it does not know, so these rules are kept here: UTF-8 (given bytes, json
    # would take surrogates), and numbers that Python can hold.
    fields = json.loads(
        record.decode(),
        object_pairs_hook=_object_without_twins,
        parse_float=_finite,
        parse_int=_whole,
    )
    return {name: value for name, value in fields.items() if name not in ENVELOPE_FIELDS}


def _object_without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    # Readers differ on which of two equal keys counts: one of them would be shown another event.
    if len(result) != len(pairs):
        raise InvalidEventError("record", "holds a key twice in one object")
    return result


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise InvalidEventError("record", "holds a number out of range")
    return number


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise InvalidEventError(
            "record", "holds an integer of more digits than Python converts (4,300)"
        ) from None


def _shape_error(error: msgspec.ValidationError) -> InvalidEventError:
    """Turn msgspec's "Expected `str`, got `int` - at `$.run_id`" into field and rule."""
    rule, _, path = str(error).partition(" - at ")
    # Its text names the path and the types, never the value.
    field = path.strip("`").removeprefix("$").lstrip(".") or "record"
    return InvalidEventError(field, rule[:1].lower() + rule[1:])


def _syntax(error: Exception) -> str:
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
