"""Answers as JSON: an event is its record, to the last byte; everything else is as its struct says. Pure."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec
from msgspec.structs import fields

from trailhouse.query.session_log.records import AlteredEvent
from trailhouse.schemas import AuditEvent


def encoded(answer: object) -> bytes:
    """Return *answer* as JSON of one line, but for line breaks that records of others hold between their values."""
    return msgspec.json.encode(_plain(answer))


def encoded_line(answer: object) -> bytes:
    """Return *answer* as one line, its end included."""
    # JSON allows line breaks between values alone, and a blank there means the same.
    return encoded(answer).replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def _plain(value: object) -> object:
    match value:
        case AuditEvent():
            return msgspec.Raw(value.record)
        case AlteredEvent():
            # Beside events, it must not pass for one.
            return {"altered": {name: getattr(value, name) for name in value.__struct_fields__}}
        case msgspec.Struct():
            return {each.encode_name: _plain(getattr(value, each.name)) for each in fields(value)}
        case str() | bytes() | bytearray() | Decimal():
            return value
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(each) for each in value]
        case _:
            return value
