"""From a line of text to an event: the input side of `trailhouse emit`."""

import json
import os
import socket
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import msgspec

from trailhouse.schemas.codec import decode, event_of
from trailhouse.schemas.errors import EventTooLargeError, InvalidEventError
from trailhouse.schemas.event import SCHEMA_VERSION, AuditEvent
from trailhouse.schemas.record import ENVELOPE_FIELDS, Source
from trailhouse.schemas.uuid7 import uuid7

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COMPLETE = frozenset({"event_id", "occurred_at", "source", "schema_version"})
"""What only a record that was exported has; such a line is kept to the byte."""


class Line(NamedTuple):
    """A line that is not blank: its number from 1, its bytes, whether it was cut as too long."""

    number: int
    content: bytes
    is_too_long: bool


class Stamp:
    """What a line that names none gets: this process as its source, and the configured tenant."""

    def __init__(self, *, service: str, limit_bytes: int, tenant_id: str = "") -> None:
        self._service = service
        self._limit_bytes = limit_bytes
        self._tenant_id = tenant_id or None
        self._host = socket.gethostname()
        self._producer_id = uuid7()
        self._next_seq = 0

    def complete(self, fields: dict[str, Any]) -> AuditEvent:
        """Return the event of *fields*; the sequence moves only when it is valid.

        Raises:
            InvalidEventError: A field is unknown or breaks a rule. Permanent.
            EventTooLargeError: Over the limit when encoded. Permanent.
        """
        given = dict(fields)
        if is_stamped := given.get("source") is None:
            given["source"] = Source(
                host=self._host,
                pid=os.getpid(),
                producer_id=self._producer_id,
                seq=self._next_seq,
                service=self._service,
            )
        if given.get("tenant_id") is None:
            given["tenant_id"] = self._tenant_id
        event = event_of(given)
        if (size_bytes := len(event.record)) > self._limit_bytes:
            raise EventTooLargeError(size_bytes, self._limit_bytes)
        self._next_seq += is_stamped
        return event


def read_lines(stream: BinaryIO, limit_bytes: int) -> Iterator[Line]:
    """Yield the lines that are not blank, without line ends; of an over-long one only its begin."""
    number = 0
    while content := stream.readline(limit_bytes + 2):
        number += 1
        if number == 1:
            content = content.removeprefix(_BYTE_ORDER_MARK)
        is_too_long = not content.endswith(b"\n") and len(content) > limit_bytes
        if is_too_long:
            _skip_to_end(stream, limit_bytes)
        content = content.removesuffix(b"\n").removesuffix(b"\r")
        if content.strip():
            yield Line(number, content, is_too_long)


def event_from(line: Line, stamp: Stamp) -> AuditEvent:
    """Return the event that *line* describes.

    A line with event_id, occurred_at, source and schema_version is a record that was exported: the
    event keeps its bytes and its unknown fields. In any other line an unknown field is an error,
    unless its schema_version is newer than ours; what is missing is stamped.

    Raises:
        InvalidEventError: The line holds no event; names field and rule. Permanent.
    """
    if line.is_too_long:
        raise InvalidEventError("record", "is far longer than an event may be")
    fields = _object(line.content)
    if all(fields.get(name) is not None for name in _COMPLETE):
        return decode(line.content)
    version = fields.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        known = {name: value for name, value in fields.items() if name in ENVELOPE_FIELDS}
        unknown = {name: value for name, value in fields.items() if name not in ENVELOPE_FIELDS}
        return msgspec.structs.replace(stamp.complete(known), unknown_fields=unknown)
    return stamp.complete(fields)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(
            content.decode(), object_pairs_hook=_without_twins, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError:
        raise InvalidEventError("record", "must be UTF-8") from None
    except json.JSONDecodeError as error:
        raise InvalidEventError(
            "record", f"must be JSON: {error.msg} at character {error.pos + 1}"
        ) from None
    except RecursionError:
        raise InvalidEventError("record", "is nested too deeply") from None
    except ValueError:
        raise InvalidEventError(
            "record", "holds an integer of more digits than can be read"
        ) from None
    if not isinstance(found, dict):
        raise InvalidEventError(
            "record", f"must be one JSON object, got {type(found).__name__}; an array is not read"
        )
    return found


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidEventError("record", "holds a key twice in one object")
    return found


def _refuse_constant(_name: str) -> None:
    raise InvalidEventError("record", "must be JSON, which has no NaN and no infinity")


def _skip_to_end(stream: BinaryIO, chunk_bytes: int) -> None:
    while (chunk := stream.readline(chunk_bytes)) and not chunk.endswith(b"\n"):
        pass


def one_line(record: bytes) -> bytes:
    """Return *record* without raw line breaks, which JSON allows between values alone.

    Our encoder writes none, so this changes only records of other producers: same size, same
    meaning, other bytes.
    """
    return record.replace(b"\n", b" ").replace(b"\r", b" ")
