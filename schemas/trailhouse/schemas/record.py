"""The record: an event's wire form, UTF-8 JSON with sorted keys and no insignificant white space."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from trailhouse.schemas.errors import InvalidEventError

_TEXT = (str, type(None))
_NUMBER = (int, type(None))
ShortId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


# The fields of these three stand in the order of their names, and so in the order of the record's keys: the
# encoder then need not sort them for each event. No cycle can lead through them: what they hold is text, numbers
# and plain copies.


class Actor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The person, agent or service on whose behalf something happened."""

    id: str
    type: str

    def is_well_typed(self) -> bool:
        """Tell whether each field has its type: msgspec checks what is decoded, not what is made."""
        return _are((str,), self.type, self.id)


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who emitted the event; `producer_id` and `seq` together make a gap visible."""

    host: str | None = None
    pid: int | None = None
    producer_id: str | None = None
    seq: int | None = None
    service: str | None = None

    def is_well_typed(self) -> bool:
        """Tell whether each field has its type: msgspec checks what is decoded, not what is made."""
        return _are(_TEXT, self.service, self.host, self.producer_id) and _are(
            _NUMBER, self.pid, self.seq
        )


def _are(kinds: tuple[type, ...], *values: object) -> bool:
    for value in values:  # noqa: SIM110 - every event pays this; a loop costs half of all() over a generator
        if not isinstance(value, kinds):
            return False
    return True


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What every record holds; the shape that a reader accepts and the JSON Schema describes."""

    actor: Actor | None = None
    agent_id: str | None = None
    correlation_id: str | None = None
    # A lambda, not `dict`: omit_defaults leaves out an empty `dict()`, and we always write it.
    data: dict[str, Any] = msgspec.field(default_factory=lambda: {})  # noqa: PIE807
    event_id: str
    metadata: dict[str, Any] = msgspec.field(default_factory=lambda: {})  # noqa: PIE807
    occurred_at: dt.datetime
    parent_run_id: str | None = None
    provider: str | None = None
    run_id: str | None = None
    schema_version: Annotated[int, msgspec.Meta(ge=1)] = msgspec.field(default_factory=lambda: 1)
    session_id: ShortId
    source: Source | None = None
    span_id: str | None = None
    tenant_id: str | None = None
    trace_id: str | None = None
    type: str


ENVELOPE_FIELDS = frozenset(Envelope.__struct_fields__)
encode_sorted = msgspec.json.Encoder(order="sorted").encode
"""Encodes anything with sorted keys; of a time of whole seconds it leaves out the six zeros."""
_encoder_of_envelopes = msgspec.json.Encoder(order="deterministic")  # sorts the keys of dicts alone
encode_fields = _encoder_of_envelopes.encode
"""Encodes an `Envelope` in canonical form, but for what `with_six_digits` adds."""
encode_lines = _encoder_of_envelopes.encode_lines
"""Encodes several like that, a line feed behind each."""
_decoder = msgspec.json.Decoder(dict[str, Any])
_SEQ = b'"seq":'
_TIME = b'"occurred_at":"'
_TO_SECONDS = len(_TIME) + len("2026-01-01T00:00:00")


def with_six_digits(record: bytes, occurred_at: dt.datetime) -> bytes:
    """Return *record* as encoded, with the six zeros that msgspec leaves out of a time of whole seconds."""
    if occurred_at.microsecond:
        return record
    # The last is the envelope's: after it stand texts and numbers, and a quote in a text is escaped.
    seconds_end = record.rindex(_TIME) + _TO_SECONDS
    return b"".join((record[:seconds_end], b".000000", record[seconds_end:]))


def renumbered(record: bytes, seq: int, new_seq: int) -> bytes:
    """Return *record*, whose source has the number *seq*, with *new_seq* in its place: as if encoded with that."""
    # As in `with_six_digits`: the last is the source's.
    begin = record.rindex(_SEQ) + len(_SEQ)
    return b"".join((record[:begin], b"%d" % new_seq, record[begin + len(b"%d" % seq) :]))


def without_six_zeros(lines: bytes) -> bytes:
    """Return *lines* for comparing: two of them differ as before, but for the zeros of a time of whole seconds."""
    return lines.replace(b'.000000Z"', b'Z"')


def encode_envelope(envelope: Envelope, unknown_fields: Mapping[str, Any]) -> bytes:
    """Encode once: the bytes that Kafka carries and ClickHouse keeps.

    Raises:
        InvalidEventError: Text that UTF-8 cannot carry (a lone surrogate), an integer of more digits than
            Python converts (4,300), or an actor or source of text of a class of its own. Permanent.
    """
    try:
        record = with_six_digits(encode_sorted(envelope), envelope.occurred_at)
        if unknown_fields:
            return encode_sorted(_decoder.decode(record) | dict(unknown_fields))
        return record
    except UnicodeEncodeError:
        raise InvalidEventError(
            _refused_field(envelope, unknown_fields, UnicodeEncodeError),
            "must be valid Unicode, got a lone surrogate",
        ) from None
    except TypeError as error:  # it names the class
        field = _refused_field(envelope, unknown_fields, TypeError)
        raise InvalidEventError(field, f"cannot be written as JSON: {error}") from None
    except ValueError as error:
        raise InvalidEventError("data", f"cannot be written as JSON: {error}") from None


def _refused_field(
    envelope: Envelope, unknown_fields: Mapping[str, Any], kind: type[Exception]
) -> str:
    fields = msgspec.structs.asdict(envelope) | dict(unknown_fields)
    for name, value in fields.items():
        try:
            encode_sorted({name: value})
        except kind:
            return name if name in ENVELOPE_FIELDS else "unknown_fields"
    return "data"
