"""From a line of text to an event: the input side of `trailhouse emit`."""

import datetime as dt
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from trailhouse.redaction.redactor import Redactor
from trailhouse.schemas.codec import decode, event_of
from trailhouse.schemas.draft import Processor, draft_of, processed
from trailhouse.schemas.errors import EventTooLargeError, InvalidEventError
from trailhouse.schemas.event import SCHEMA_VERSION, AuditEvent
from trailhouse.schemas.record import ENVELOPE_FIELDS, Source
from trailhouse.schemas.uuid7 import uuid7

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COMPLETE = frozenset({"event_id", "occurred_at", "source", "schema_version"})
"""What only a record that was exported has; such a line is kept to the byte."""


BLOCK_BYTES = 262_144


class Reads(Protocol):
    """A stream of bytes that gives what has come, such as a file or standard input."""

    def read1(self, size: int, /) -> bytes:
        """Return at most *size* bytes; none at the end."""
        ...


class Line(NamedTuple):
    """A line that is not blank: its number from 1, its bytes, whether it was cut as too long."""

    number: int
    content: bytes
    is_too_long: bool


class Earlier(Protocol):
    """What an earlier run has stamped on a line that names none."""

    @property
    def event_id(self) -> str:
        """The event's id."""
        ...

    @property
    def occurred_at(self) -> dt.datetime:
        """When it occurred."""
        ...

    @property
    def source(self) -> Source | None:
        """Who sent it; None for a line that names its source itself."""
        ...


class Stamp:
    """What a line that names none gets: this process as its source, and the configured tenant.

    Args:
        source: This process; the sequence counts from its `seq`.
        limit_bytes: The largest event, encoded.
        tenant_id: The tenant of lines that name none; empty for none.
        redactor: Takes out what is secret in an event; None where nothing is to be.
        withholders: Turn contents into digests, or leave them out, where that is asked for.
    """

    def __init__(
        self,
        source: Source,
        *,
        limit_bytes: int,
        tenant_id: str = "",
        redactor: Redactor | None = None,
        withholders: Sequence[Processor] = (),
    ) -> None:
        self._withholders = withholders
        self._redactor = redactor
        self._source = source
        self._limit_bytes = limit_bytes
        self._tenant_id = tenant_id or None
        self._next_seq = source.seq or 0

    def complete(self, fields: dict[str, Any], earlier: Earlier | None = None) -> AuditEvent:
        """Return the event of *fields*; the sequence moves only when it is valid.

        With *earlier*, it is the event that an earlier run has made of them, to the byte.

        Raises:
            InvalidEventError: A field is unknown or breaks a rule. Permanent.
            EventTooLargeError: Over the limit when encoded. Permanent.
        """
        given = dict(fields)
        if earlier is not None:
            stamped = {
                "event_id": earlier.event_id, "occurred_at": earlier.occurred_at, "source": earlier.source,
            }  # fmt: skip
            given |= {name: value for name, value in stamped.items() if given.get(name) is None}
        if is_stamped := given.get("source") is None:
            given["source"] = msgspec.structs.replace(self._source, seq=self._next_seq)
        if given.get("tenant_id") is None:
            given["tenant_id"] = self._tenant_id
        event = event_of(given)
        if (size_bytes := len(event.record)) > self._limit_bytes:
            raise EventTooLargeError(size_bytes, self._limit_bytes)
        # Only now: a number that no event has would look like a lost event.
        self._next_seq += is_stamped
        return event

    def without_secrets(self, event: AuditEvent) -> AuditEvent:
        """Return *event* without what is secret in it; itself, with its own bytes, where nothing is."""
        event = self._with_less_content(event)
        if self._redactor is None:
            return event
        record = self._redactor.redacted(event.record)
        return event if record is event.record else decode(record)

    def _with_less_content(self, event: AuditEvent) -> AuditEvent:
        if not self._withholders:
            return event
        draft = draft_of(event)
        less = processed(draft, self._withholders)
        if less is None or less is draft:
            return event
        names = AuditEvent.__struct_fields__
        fields = {name: getattr(event, name) for name in names}
        return AuditEvent(**fields | {"data": less.data, "metadata": less.metadata})


def this_process(service: str) -> Source:
    """Return this process as a source that has sent nothing yet."""
    return Source(
        host=socket.gethostname(), pid=os.getpid(), producer_id=uuid7(), seq=0, service=service
    )


def read_blocks(
    stream: Reads, limit_bytes: int, before_read: Callable[[], None] = lambda: None
) -> Iterator[list[Line]]:
    """Yield the lines that are not blank, as many at a time as have come; of an over-long one only its beginning.

    Args:
        stream: What is read, as soon as there is something.
        limit_bytes: A line that is longer is marked as too long.
        before_read: Called before each reading, which may block.
    """
    number, rest, is_cut = 0, b"", False
    while True:
        before_read()
        block = stream.read1(BLOCK_BYTES)
        *whole, rest = (rest + block).split(b"\n")
        if not block and rest:  # the last line has no end
            whole, rest = [rest], b""
        if is_cut and (whole or not block):
            whole, is_cut = whole[1:], False
        lines = [_line(number + at, content, limit_bytes) for at, content in enumerate(whole, 1)]
        number += len(whole)
        if is_cut:
            rest = b""
        # Told at once and cut: a line without an end must not fill the memory.
        elif len(rest) > limit_bytes + 1:
            number += 1
            lines.append(_line(number, rest, limit_bytes))
            rest, is_cut = b"", True
        if found := [line for line in lines if line.content.strip()]:
            yield found
        if not block:
            return


def _line(number: int, content: bytes, limit_bytes: int) -> Line:
    if number == 1:
        # Editors on Windows put it before the first line.
        content = content.removeprefix(_BYTE_ORDER_MARK)
    is_too_long = len(content) > limit_bytes + 1
    return Line(number, content[: limit_bytes + 1].removesuffix(b"\r"), is_too_long)


def event_from(line: Line, stamp: Stamp, earlier: Earlier | None = None) -> AuditEvent:
    """Return the event that *line* describes.

    A line with event_id, occurred_at, source and schema_version is a record that was exported: the
    event keeps its bytes and its unknown fields. In any other line an unknown field is an error,
    unless its schema_version is newer than ours; what is missing is stamped, or as *earlier* has it.
    What is secret in it is taken out, as from any event.

    Raises:
        InvalidEventError: The line holds no event; names field and rule. Permanent.
    """
    if line.is_too_long:
        raise InvalidEventError("record", "is far longer than an event may be")
    return stamp.without_secrets(_event_of(line, stamp, earlier))


def _event_of(line: Line, stamp: Stamp, earlier: Earlier | None) -> AuditEvent:
    fields = _object(line.content)
    if all(fields.get(name) is not None for name in _COMPLETE):
        return decode(line.content)
    version = fields.get("schema_version")
    # Fields that only a newer version knows are kept and not refused.
    if isinstance(version, int) and version > SCHEMA_VERSION:
        known = {name: value for name, value in fields.items() if name in ENVELOPE_FIELDS}
        unknown = {name: value for name, value in fields.items() if name not in ENVELOPE_FIELDS}
        return msgspec.structs.replace(stamp.complete(known, earlier), unknown_fields=unknown)
    return stamp.complete(fields, earlier)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = _parse(content.decode())
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


_parse = json.JSONDecoder(object_pairs_hook=_without_twins, parse_constant=_refuse_constant).decode
