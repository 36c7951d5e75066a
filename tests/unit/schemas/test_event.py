"""The rules of an event that a caller makes."""

import copy
import datetime as dt
import enum
import json
import pickle
import uuid
from collections import OrderedDict
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from trailhouse.schemas import Actor, AuditEvent, EventType, Source, decode, event_of
from trailhouse.schemas.errors import InvalidEventError

AT = dt.datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=dt.UTC)
EVENT_ID = "01a20f48-5f11-7884-a5c7-5ee1663b3800"


def an_event(**fields: Any) -> AuditEvent:
    defaults: dict[str, Any] = {
        "type": "run_started",
        "session_id": "s",
        "event_id": EVENT_ID,
        "occurred_at": AT,
    }
    return AuditEvent(**(defaults | fields))


def refusal(**fields: Any) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as caught:
        an_event(**fields)
    return caught.value


class Colour(enum.Enum):
    RED = "red"


class Opaque:
    def __repr__(self) -> str:
        return "secret"


def test_the_record_is_canonical() -> None:
    """A record has sorted keys, no white space, six digits of a second, and no absent field."""
    event = an_event(
        occurred_at=AT.replace(microsecond=0),
        data={"b": 1, "a": {"z": None, "y": 1.50}},
        run_id="r",
    )

    assert event.record == (
        b'{"data":{"a":{"y":1.5,"z":null},"b":1},"event_id":"'
        + EVENT_ID.encode()
        + b'","metadata":{},'
        b'"occurred_at":"2026-01-02T03:04:05.000000Z","run_id":"r","schema_version":1,"session_id":"s","type":"run_started"}'
    )


@pytest.mark.parametrize("microsecond", [0, 1, 10, 100_000, 999_999])
def test_times_always_have_six_digits(microsecond: int) -> None:
    """Every time is written in UTC with six digits, whatever its zone and fraction."""
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    event = an_event(occurred_at=dt.datetime(2026, 1, 1, 5, 30, 0, microsecond, tzinfo=zone))

    assert f'"occurred_at":"2026-01-01T00:00:00.{microsecond:06}Z"'.encode() in event.record


def test_what_looks_like_the_time_is_left_as_it_is() -> None:
    """The zeros of a time of whole seconds are written into the event's own time, and nowhere else."""
    event = an_event(
        occurred_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        data={"occurred_at": "2026-01-01T00:00:00Z"},
        metadata={"occurred_at": "2026-01-01T00:00:00Z"},
        trace_id='","occurred_at":"2026-01-01T00:00:00Z',
    )

    back = json.loads(event.record)

    assert back["occurred_at"] == "2026-01-01T00:00:00.000000Z"
    assert (back["data"], back["metadata"], back["trace_id"]) == (
        event.data,
        event.metadata,
        event.trace_id,
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ((1, "a", (2,)), b'[1,"a",[2]]'),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), b'"2026-01-01T00:00:00.000000Z"'),
        (dt.date(2026, 1, 1), b'"2026-01-01"'),
        (uuid.UUID(EVENT_ID), b'"' + EVENT_ID.encode() + b'"'),
        (Colour.RED, b'"red"'),
        (EventType.RUN_FAILED, b'"run_failed"'),
        (Decimal("0.000150"), b'"0.000150"'),
        (10**40, b"1" + b"0" * 40),
        (-(2**63) - 1, b"-9223372036854775809"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (True, b"true"),
        (OrderedDict(b=1, a=2), b'{"a":2,"b":1}'),
        (MappingProxyType({"a": []}), b'{"a":[]}'),
        ({Colour.RED: 1}, b'{"red":1}'),
        ("\x00\u2028\U0001f600", b'"\\u0000\xe2\x80\xa8\xf0\x9f\x98\x80"'),
    ],
)
def test_data_is_written_in_one_plain_form(value: object, written: bytes) -> None:
    """Each kind of value that data may hold has exactly one form, and reads back equal."""
    event = an_event(data={"value": value})

    assert b'"data":{"value":' + written + b"}" in event.record
    assert decode(event.record) == event, "what was read differs from what was made"


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (float("nan"), "finite"),
        (float("-inf"), "finite"),
        (Decimal("NaN"), "finite"),
        (dt.datetime(2026, 1, 1), "time zone"),  # noqa: DTZ001 - naive on purpose
        (Opaque(), "got Opaque"),
        (dt.timedelta(1), "got timedelta"),
        ({1: "a"}, "keys must be strings, got int"),
        ({Colour.RED: 1, "red": 2}, "keys must differ"),
        pytest.param(10**5000, "cannot be written as JSON", id="more digits than Python converts"),
    ],
)
def test_what_json_would_bend_is_refused(value: object, rule: str) -> None:
    """A value without an exact form is refused by path and rule, and never shown."""
    error = refusal(data={"outer": [{"inner": value}]})

    assert error.field.startswith("data")
    assert rule in error.rule
    assert "secret" not in str(error)


def test_a_refusal_names_the_path() -> None:
    """A value deep in data is named by the way to it."""
    assert refusal(data={"items": [{}, {"price": float("inf")}]}).field == "data.items[1].price"


@pytest.mark.parametrize(
    "fields",
    [
        {"session_id": "\ud800"},
        {"run_id": "a\udfff"},
        {"data": {"k": ["\ud800"]}},
        {"metadata": {"\udc00": 1}},
    ],
)
def test_lone_surrogates_are_refused(fields: dict[str, Any]) -> None:
    """Text that UTF-8 cannot carry is refused, and the field is named."""
    error = refusal(**fields)

    assert error.field == next(iter(fields))
    assert "surrogate" in error.rule


def test_a_missing_session_is_told_with_the_way_out() -> None:
    """The commonest mistake of a first day names what to do, not a type of Python."""
    error = refusal(session_id=None)

    assert str(error) == "session_id: is missing: name it, or bind a session"


def test_cycles_and_depth_are_refused() -> None:
    """A container that holds itself, and one deeper than 100 levels, are told apart."""
    cycle: dict[str, Any] = {}
    cycle["again"] = [cycle]
    deep: dict[str, Any] = {}
    for _ in range(101):
        deep = {"a": deep}

    assert (refusal(data=cycle).field, refusal(data=cycle).rule) == (
        "data.again[0]",
        "must not contain itself",
    )
    assert "100 levels" in refusal(data=deep).rule


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"session_id": ""}, "session_id"),
        ({"session_id": None}, "session_id"),
        ({"session_id": 7}, "session_id"),
        ({"session_id": "x" * 257}, "session_id"),
        ({"run_id": ""}, "run_id"),
        ({"tenant_id": 5}, "tenant_id"),
        ({"type": "Run"}, "type"),
        ({"type": "1a"}, "type"),
        ({"type": "a" * 65}, "type"),
        ({"type": "run_started\n"}, "type"),
        ({"type": None}, "type"),
        ({"event_id": "7"}, "event_id"),
        ({"occurred_at": dt.datetime(2026, 1, 1)}, "occurred_at"),  # noqa: DTZ001 - naive on purpose
        ({"occurred_at": "2026-01-01T00:00:00Z"}, "occurred_at"),
        (
            {"occurred_at": dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))},
            "occurred_at",
        ),
        ({"actor": {"type": "user"}}, "actor"),
        ({"actor": {"type": "user", "id": "u", "mail": "m"}}, "actor"),
        ({"actor": Actor(type=5, id="u")}, "actor"),  # type: ignore[arg-type]  # a wrong type on purpose
        ({"source": {"seq": "1"}}, "source"),
        ({"data": [1]}, "data"),
        ({"metadata": "text"}, "metadata"),
        ({"schema_version": 0}, "schema_version"),
        ({"schema_version": True}, "schema_version"),
        ({"unknown_fields": {"run_id": "r"}}, "unknown_fields"),
    ],
)
def test_a_broken_rule_names_its_field(fields: dict[str, Any], field: str) -> None:
    """Every field that breaks its rule is refused by name."""
    assert refusal(**fields).field == field


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "a"}, "session_id: is missing"),
        ({"session_id": "s"}, "type: is missing"),
        ({"type": "a", "session_id": "s", "novel": 1}, "novel: is not a field of an event"),
    ],
)
def test_missing_and_unknown_fields_are_refused_by_name(
    fields: dict[str, Any], message: str
) -> None:
    """A field that is missing or unknown is refused like one that breaks its rule."""
    with pytest.raises(InvalidEventError, match=message):
        AuditEvent(**fields)


def test_the_longest_ids_and_custom_types_are_taken() -> None:
    """256 characters of an id and any well-formed type name are legal, whatever the characters."""
    event = an_event(session_id="\U0001f600" * 256, type="my.own_type.v2")

    assert decode(event.record) == event


def test_an_event_does_not_change_with_what_it_was_made_of() -> None:
    """Changing the caller's dictionary later changes neither data nor record."""
    data: dict[str, Any] = {"list": [1]}
    event = an_event(data=data)
    before = event.record
    data["list"].append(2)

    assert event.data == {"list": [1]}
    assert event.record == before


def test_copies_and_pickles_keep_the_record() -> None:
    """Copying, deep-copying and pickling keep the bytes, canonical or not."""
    spaced = b" " + an_event().record
    event = decode(spaced)

    for other in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert other == event
        assert other.record == spaced


def test_replacing_a_field_encodes_again() -> None:
    """A replaced event has the bytes of its new fields, and keeps what it does not know."""
    event = decode(an_event().record.replace(b'"type"', b'"novel":[1],"type"'))
    changed = msgspec.structs.replace(event, run_id="r2")

    assert b'"run_id":"r2"' in changed.record
    assert b'"novel":[1]' in changed.record


def test_mappings_stand_for_actor_and_source() -> None:
    """An actor or source may be given as a mapping."""
    event = an_event(actor={"type": "user", "id": "u1"}, source={"service": "svc", "seq": 3})

    assert event.actor == Actor(type="user", id="u1")
    assert event.source == Source(service="svc", seq=3)


def test_a_json_object_of_a_caller_is_an_event() -> None:
    """A caller's JSON object is stamped where it is silent, and refused where it is unknown."""
    event = event_of({"type": "x", "session_id": "s", "occurred_at": "2026-01-01T01:00:00+01:00"})
    with pytest.raises(InvalidEventError, match="sesion_id: is not a field of an event"):
        event_of({"type": "x", "sesion_id": "s"})

    assert event.occurred_at == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert uuid.UUID(event.event_id).version == 7
