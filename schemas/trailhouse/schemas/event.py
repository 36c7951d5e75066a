"""The audit event: one thing that happened in an agent's run, valid and encoded once it exists."""

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import msgspec
from msgspec.structs import astuple, force_setattr

from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.event_type import TYPE_PATTERN, is_type_name
from trailhouse.schemas.json_form import is_text, json_object, kind_of, unreadable, utc
from trailhouse.schemas.record import (
    ENVELOPE_FIELDS,
    Actor,
    Envelope,
    ShortId,
    Source,
    encode_envelope,
    encode_sorted,
    with_six_digits,
)
from trailhouse.schemas.uuid7 import is_canonical_uuid, is_uuid, uuid7

MAX_ID_CHARACTERS = 256
SCHEMA_VERSION = 1
MAX_SCHEMA_VERSION = 65_535
Part = TypeVar("Part", Actor, Source)
_IDS = (
    "session_id",
    "tenant_id",
    "run_id",
    "parent_run_id",
    "agent_id",
    "provider",
    "correlation_id",
    "trace_id",
    "span_id",
)
_ids = attrgetter(*_IDS)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class _RefusesByName(msgspec.StructMeta):
    """Makes a missing or unknown field of an event an `InvalidEventError`, like any other mistake."""

    if not TYPE_CHECKING:  # type checkers read the fields instead

        def __call__(cls, **fields: Any) -> Any:  # noqa: N805 - a metaclass's `self` is a class
            try:
                return super().__call__(**fields)
            except TypeError:
                check_fields(fields)
                raise


class AuditEvent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    dict=True,
    omit_defaults=True,
    metaclass=_RefusesByName,
):
    """One lifecycle event. One that exists is valid, immutable, and has its `record` already.

    Made by a caller, it is checked and brought into plain form (see `trailhouse.schemas.json_form`),
    and `record` holds its canonical bytes. Decoded from a record, it keeps exactly those bytes and
    every field it does not know. Two events are equal when all their fields are.

    Raises:
        InvalidEventError: A field breaks a rule; names field and rule. Permanent.
    """

    # In the order of the record's keys, as in `Envelope`.
    actor: Actor | None = None
    agent_id: str | None = None
    correlation_id: str | None = None
    # Factories, since omit_defaults would leave out a plain default: these are always written.
    data: dict[str, Any] = msgspec.field(default_factory=lambda: {})  # noqa: PIE807
    event_id: str = msgspec.field(default_factory=uuid7)
    metadata: dict[str, Any] = msgspec.field(default_factory=lambda: {})  # noqa: PIE807
    occurred_at: dt.datetime = msgspec.field(default_factory=_now)
    parent_run_id: str | None = None
    provider: str | None = None
    run_id: str | None = None
    schema_version: int = msgspec.field(default_factory=lambda: SCHEMA_VERSION)
    session_id: str
    source: Source | None = None
    span_id: str | None = None
    tenant_id: str | None = None
    trace_id: str | None = None
    type: str
    unknown_fields: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _check_type(self)
        _check_ids(self)
        _check_event_id(self)
        _check_parts(self)
        force_setattr(self, "data", json_object(self.data, "data"))
        force_setattr(self, "metadata", json_object(self.metadata, "metadata"))
        if self.unknown_fields:
            force_setattr(self, "unknown_fields", _checked_unknown_fields(self.unknown_fields))
        force_setattr(self, "_record", _encoded(self))

    @property
    def record(self) -> bytes:
        """The event's bytes: what Kafka carries, what ClickHouse keeps, what proofs are about."""
        return cast(bytes, self.__dict__["_record"])

    def __hash__(self) -> int:
        return hash(self.event_id)

    def __copy__(self) -> "AuditEvent":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "AuditEvent":
        return self


def check_fields(fields: Mapping[str, Any]) -> None:
    """Check that *fields* are those of an event, and that none is missing.

    Raises:
        InvalidEventError: Names the first that is unknown or missing. Permanent.
    """
    if unknown := fields.keys() - set(AuditEvent.__struct_fields__):
        raise unknown_field(str(name) for name in unknown)
    for name in ("type", "session_id"):
        if name not in fields:
            raise InvalidEventError(name, "is missing")


def unknown_field(names: Iterable[str]) -> InvalidEventError:
    """Return the error about the first of *names*, none of which is a field of an event."""
    fields = ", ".join(sorted(ENVELOPE_FIELDS))
    return InvalidEventError(min(names), f"is not a field of an event; the fields are {fields}")


def restored(envelope: Envelope, unknown_fields: dict[str, Any], record: bytes) -> AuditEvent:
    """Return the event that *record* holds, as it is: without the checks meant for callers."""
    # msgspec's own copy is the one way to a new struct that does not run __post_init__.
    event: AuditEvent = _copy_unchecked(_BLANK)
    for name, value in zip(Envelope.__struct_fields__, astuple(envelope), strict=True):
        force_setattr(event, name, value)
    force_setattr(event, "unknown_fields", unknown_fields)
    force_setattr(event, "_record", record)
    return event


class RecordedEvent(AuditEvent, frozen=True, kw_only=True, dict=True, omit_defaults=True):
    """What a record is decoded into on its way to an event: an event's fields under an `Envelope`'s rules.

    A test holds it against both. `adopt` makes it an event where it stands: nothing is copied.
    """

    schema_version: Annotated[int, msgspec.Meta(ge=1)] = msgspec.field(
        default_factory=lambda: SCHEMA_VERSION
    )
    session_id: ShortId

    def __post_init__(self) -> None:
        """Check nothing: the decoder has, and whoever adopts it."""


def adopt(recorded: RecordedEvent, record: bytes) -> AuditEvent:
    """Make *recorded*, which is what *record* holds and is known to follow every rule, an event."""
    force_setattr(recorded, "__class__", AuditEvent)  # the same fields in the same places
    force_setattr(recorded, "_record", record)
    return recorded


def _encoded(event: AuditEvent) -> bytes:
    """Encode *event* as its envelope: the same fields with the same defaults, which a test compares."""
    if not event.unknown_fields:
        try:
            return with_six_digits(encode_sorted(event), event.occurred_at)
        except (TypeError, ValueError):  # a UnicodeEncodeError too: the slow way names the field
            pass
    names = Envelope.__struct_fields__
    return encode_envelope(
        Envelope(**{name: getattr(event, name) for name in names}), event.unknown_fields
    )


def _check_type(event: AuditEvent) -> None:
    name = cast(object, event.type)
    if type(name) is not str and is_text(name):
        name = str.__str__(name)  # not what code of its own says of it
        force_setattr(event, "type", name)
    if type(name) is not str or not is_type_name(name):
        raise InvalidEventError("type", f"must be a known type or match {TYPE_PATTERN}")


def _check_ids(event: AuditEvent) -> None:
    if cast(object, event.session_id) is None:
        raise InvalidEventError("session_id", "is missing: name it, or bind a session")
    for name, value in zip(_IDS, _ids(event), strict=True):
        if value is not None:
            check_id(value, name)
            if type(value) is not str:
                force_setattr(event, name, str.__str__(value))


def check_id(value: object, field: str) -> None:
    """Check that *value* can be an id.

    Raises:
        InvalidEventError: It cannot; names *field* and the rule. Permanent.
    """
    if not is_text(value):
        raise InvalidEventError(
            field,
            f"must be a string of 1 to {MAX_ID_CHARACTERS} characters, got {kind_of(value)}",
        )
    if not 0 < (characters := str.__len__(value)) <= MAX_ID_CHARACTERS:
        raise InvalidEventError(
            field, f"must have 1 to {MAX_ID_CHARACTERS} characters, got {characters}"
        )


def _check_event_id(event: AuditEvent) -> None:
    given = cast(object, event.event_id)
    if type(given) is str and is_canonical_uuid(given):
        return
    text = _uuid_text(given)
    if not is_uuid(text):
        raise InvalidEventError(
            "event_id", "must be a UUID such as 019a8c5e-7d2b-7c3f-9a41-0f6f8f0c2b11"
        )
    force_setattr(event, "event_id", text.lower())


def _uuid_text(given: object) -> str:
    if is_text(given):
        return str.__str__(given)
    return uuid.UUID.__str__(cast("uuid.UUID", given)) if issubclass(type(given), uuid.UUID) else ""


def _check_parts(event: AuditEvent) -> None:
    if (occurred_at := utc(event.occurred_at, "occurred_at")) is not event.occurred_at:
        force_setattr(event, "occurred_at", occurred_at)
    version: object = event.schema_version
    if type(version) is not int or not 1 <= version <= MAX_SCHEMA_VERSION:
        raise InvalidEventError(
            "schema_version", f"must be a whole number from 1 to {MAX_SCHEMA_VERSION}"
        )
    if event.actor is not None:
        force_setattr(event, "actor", checked_actor(event.actor))
    if event.source is not None:
        force_setattr(event, "source", _part(event.source, Source, "source"))


def checked_actor(value: object) -> Actor:
    """Return *value*, an actor or a mapping with the same names, as an actor.

    Raises:
        InvalidEventError: It is neither. Permanent.
    """
    return _part(value, Actor, "actor")


def _part(value: object, kind: type[Part], field: str) -> Part:
    """Return *value* as *kind*; a mapping with the same names is as good."""
    names = kind.__struct_fields__
    try:
        if isinstance(value, kind) and value.is_well_typed():
            return value
        if isinstance(value, Mapping) and set(value) <= set(names):
            return msgspec.convert(dict(value), kind)
    except msgspec.ValidationError:
        pass
    except Exception:  # noqa: BLE001 - foreign code may raise anything
        raise unreadable(value, field) from None
    raise InvalidEventError(field, f"must be an object of {', '.join(names)}, each of its type")


def _checked_unknown_fields(value: object) -> dict[str, Any]:
    fields = json_object(value, "unknown_fields")
    if known := sorted(set(fields) & ENVELOPE_FIELDS):
        raise InvalidEventError(
            "unknown_fields", f"must not hold a field of the schema, got {', '.join(known)}"
        )
    return fields


_BLANK = AuditEvent(type="blank", session_id="blank")
_copy_unchecked: Callable[[AuditEvent], AuditEvent] = getattr(msgspec.Struct, "__copy__")  # noqa: B009 - untyped
