"""Properties of the codec over everything a caller may put into an event."""

import copy
import datetime as dt
import json
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trailhouse.schemas import Actor, AuditEvent, EventType, Source, decode
from trailhouse.schemas.codec import decode_all, decode_envelope, decode_events
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.event import RecordedEvent
from trailhouse.schemas.fast import new_record
from trailhouse.schemas.record import Envelope, renumbered

# What looks like the time of a record, and like its key.
confusing = st.sampled_from(
    [
        "occurred_at",
        "seq",
        '"seq":1',
        '"seq":',
        '"occurred_at":"',
        ',"occurred_at":"',
        "2026-01-01T00:00:00.000000Z",
        "00Z",
    ]
)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | confusing
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(text, values, max_size=5)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256) | confusing
any_moments = st.datetimes(timezones=st.just(dt.UTC))
moments = any_moments | any_moments.map(lambda moment: moment.replace(microsecond=0))
type_names = st.from_regex(r"[a-z][a-z0-9_.]{0,63}", fullmatch=True)

events = st.builds(
    AuditEvent,
    type=type_names,
    session_id=ids,
    run_id=st.none() | ids,
    tenant_id=st.none() | ids,
    occurred_at=moments,
    data=objects,
    metadata=objects,
)


@given(events)
def test_an_event_reads_back_equal(event: AuditEvent) -> None:
    """Decoding a record gives the event that it was made of, and the same bytes."""
    back = decode(event.record)

    assert back == event
    assert back.record == event.record


@given(events)
def test_encoding_is_canonical(event: AuditEvent) -> None:
    """An event made again from the fields of another has the same bytes."""
    fields = {name: getattr(event, name) for name in AuditEvent.__struct_fields__}

    assert AuditEvent(**fields).record == event.record


@given(events, st.data())
def test_damaged_bytes_never_raise_anything_else(event: AuditEvent, data: Any) -> None:
    """Bytes changed anywhere are an event, kept as they are, or refused: nothing else happens."""
    damaged = bytearray(event.record)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(damaged)).record == bytes(damaged)
    except InvalidEventError as error:
        assert str(error).isprintable(), "a refusal must fit a log line"


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(record: bytes) -> None:
    """Noise never raises anything but a refusal."""
    try:
        decode_envelope(record)
    except InvalidEventError as error:
        assert error.rule


def _spoiled(record: bytes, way: int) -> bytes:
    """Return *record*, or something close to it that another program might write."""
    fields = json.loads(record)
    match way:
        case 1:
            return json.dumps(fields, indent=1).encode()  # line feeds
        case 2:
            return record + b"\n" + record
        case 3:
            return json.dumps(fields | {"event_id": fields["event_id"].upper()}).encode()
        case 4:
            return record.replace(b'Z"', b'+00:30"', 1)
        case 5:
            return record.replace(b'"metadata":', b'"metadata":{},"metadata":')
        case 6:
            return record[:-1]
        case 7:
            return record.replace(b'"data":{', b'"data":{"deep":' + b"[" * 300 + b"]" * 300 + b",")
        case 8:
            return record.replace(b'"type":"', b'"type":"!')
        case 9:
            return record.replace(fields["event_id"].encode(), fields["event_id"][:-1].encode())
        case 10:
            return b""
        case 11:
            return record[:-1] + b',"zz_unknown":1}'
        case 12:  # the one field of an event that no record has
            return record[:-1] + b',"unknown_fields":{"a":1}}'
        case 13:  # a time of whole seconds, written short
            return record.replace(b'.000000Z"', b'Z"')
        case 14:
            return record.replace(b'.000000Z"', b'.000Z"')
        case 15:
            return record.replace(
                b'"occurred_at":"', b'"occurred_at":"2026-01-01T00:00:00Z","occurred_at":"'
            )
        case _:
            return record


@pytest.mark.long
@given(st.lists(st.tuples(events, st.integers(0, 24)), min_size=1, max_size=6))
def test_many_records_at_once_are_what_each_is_alone(some: list[tuple[AuditEvent, int]]) -> None:
    """Decoding all at once either gives what decoding each gives, or leaves them to be looked at."""
    records = [_spoiled(event.record, way) for event, way in some]

    envelopes = decode_all(records)

    if envelopes is None:
        assert any(way in range(1, 16) for _, way in some), (
            "expected records as our encoder writes them to be taken at once"
        )
    else:
        assert [(envelope, {}) for envelope in envelopes] == [
            decode_envelope(record) for record in records
        ]
    assert _outcome(lambda: decode_events(records)) == _outcome(lambda: list(map(decode, records)))


def _outcome(work: Callable[[], list[AuditEvent]]) -> object:
    """Return the events with their bytes, or what the error says."""
    try:
        events = work()
    except InvalidEventError as error:
        return str(error)
    for name in ("data", "metadata", "unknown_fields"):
        assert len({id(getattr(event, name)) for event in events}) == len(events), (
            f"expected events that do not share their {name}"
        )
    return [(event, event.record, event.unknown_fields) for event in events]


def test_ids_of_other_lengths_do_not_hide_each_other() -> None:
    """An id that is one too short is seen, though the one behind it is one too long."""
    event = AuditEvent(type="run_started", session_id="s")
    short = event.record.replace(event.event_id.encode(), event.event_id[:-1].encode())
    long = event.record.replace(
        event.event_id.encode(), (event.event_id[-1] + event.event_id).encode()
    )

    assert decode_all([short, long]) is None


odd_leaves = (
    leaves
    | st.floats()
    | st.binary(max_size=3)
    | st.decimals(allow_nan=True)
    | st.datetimes()
    | moments
    | st.uuids()
    | st.sampled_from(EventType)
    | st.sets(st.integers(), max_size=2)
    | st.just("\ud800")
    | st.just(10**4400)
)
odd_objects = st.dictionaries(
    text | st.integers() | st.sampled_from(EventType),
    odd_leaves
    | st.lists(odd_leaves, max_size=3)
    | st.tuples(odd_leaves)
    | st.dictionaries(text, odd_leaves, max_size=3),
    max_size=3,
)
given_fields = st.fixed_dictionaries(
    {
        "type": type_names | st.sampled_from(EventType) | text | st.integers(),
        "session_id": ids
        | text
        | st.integers()
        | st.none()
        | st.just("x" * 257)
        | st.just("\udfff"),
        "event_id": st.uuids(version=4).map(str) | st.uuids(version=4) | text,
        "occurred_at": moments | st.datetimes() | text,
    },
    optional={
        "run_id": ids | text | st.integers(),
        "tenant_id": ids,
        "data": objects | odd_objects | text,
        "metadata": objects | odd_objects,
        "actor": st.builds(Actor, type=ids, id=ids | st.integers())
        | st.fixed_dictionaries({"type": ids, "id": ids}),
    },
)


@given(given_fields)
@settings(max_examples=300)
def test_a_quick_record_is_that_of_the_event(fields: dict[str, Any]) -> None:
    """The record made without an event is the event's own, and none is made where the event refuses."""
    source = Source(service="s", host="h", pid=1, producer_id="p", seq=1)

    quick = new_record(EventDraft(**fields), source)

    if quick is not None:
        event = AuditEvent(**fields, source=source)
        assert quick == (event.event_id, event.record)


@given(given_fields, st.integers(0, 10**12), st.integers(0, 10**12), st.booleans())
def test_a_record_is_numbered_anew_as_if_encoded_anew(
    fields: dict[str, Any], seq: int, new_seq: int, has_service: bool
) -> None:
    """A record whose number another thread has taken is, with the next number, what encoding would have made."""
    service = 'a "seq":1 service' if has_service else None
    sources = [
        Source(service=service, host="h", pid=1, producer_id="p", seq=each)
        for each in (seq, new_seq)
    ]
    try:
        before, after = (AuditEvent(**fields, source=source) for source in sources)
    except InvalidEventError:
        return

    assert renumbered(before.record, seq, new_seq) == after.record


@given(events)
def test_a_usual_event_takes_the_quick_way(event: AuditEvent) -> None:
    """What JSON can carry as it is needs no event to be built."""
    rest = {"session_id": event.session_id, "data": event.data, "occurred_at": event.occurred_at}
    for type_ in (event.type, EventType.RUN_STARTED):
        fields: dict[str, Any] = {"type": type_, **rest}

        assert new_record(EventDraft(**fields), Source()) is not None


def test_a_draft_has_the_fields_of_the_envelope() -> None:
    """A draft, which is encoded as it is, has the envelope's fields in its order, which is that of the keys."""
    assert EventDraft.__struct_fields__ == Envelope.__struct_fields__
    for kind in (Envelope, Source, Actor):
        assert list(kind.__struct_fields__) == sorted(kind.__struct_fields__)


def test_what_is_decoded_into_an_event_has_the_rules_of_an_envelope() -> None:
    """Its fields stand in an event's places, and each has the type and the default that the envelope gives it."""
    *fields, unknown = msgspec.structs.fields(RecordedEvent)
    envelopes = msgspec.structs.fields(Envelope)

    assert RecordedEvent.__struct_fields__ == AuditEvent.__struct_fields__
    assert unknown.name == "unknown_fields"
    assert [(each.name, each.type) for each in fields] == [
        (each.name, each.type) for each in envelopes
    ]
    assert [
        _default(ours)
        for ours, theirs in zip(fields, envelopes, strict=True)
        if not theirs.required
    ] == [_default(theirs) for theirs in envelopes if not theirs.required]


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def test_decoded_at_once_is_an_event_in_every_way() -> None:
    """Nothing tells an event that was decoded among many from one that was made: class, hash, copies, pickle."""
    made = AuditEvent(type="run_started", session_id="s", data={"n": 1})

    [event] = decode_events([made.record])

    assert type(event) is AuditEvent
    assert (event, hash(event), repr(event)) == (made, hash(made), repr(made))
    assert pickle.loads(pickle.dumps(event)) == copy.deepcopy(event) == made
    assert msgspec.structs.replace(event, run_id="r").record != made.record
    with pytest.raises(AttributeError):
        event.type = "other"  # type: ignore[misc]
