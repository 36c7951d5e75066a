"""Properties of the codec over everything a caller may put into an event."""

import datetime as dt
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trailhouse.schemas import AuditEvent, decode
from trailhouse.schemas.codec import decode_envelope
from trailhouse.schemas.errors import InvalidEventError

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
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
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
moments = st.datetimes(timezones=st.just(dt.UTC))
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
