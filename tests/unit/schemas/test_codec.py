"""The rules by which a record is read."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.schemas import AuditEvent, decode
from trailhouse.schemas.codec import BYTES_AT_ONCE, RECORDS_AT_ONCE, decode_all, parts_of
from trailhouse.schemas.errors import InvalidEventError

EVENT = AuditEvent(
    type="run_started",
    session_id="s",
    data={"n": 1},
    occurred_at=dt.datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=dt.UTC),
)
RECORD = EVENT.record


@pytest.mark.parametrize(
    ("record", "field", "rule"),
    [
        (b"", "record", "JSON"),
        (b"null", "record", "expected"),
        (b"[]", "record", "expected"),
        (b"7", "record", "expected"),
        (b"\xff\xfe", "record", "UTF-8"),
        (b"{" * 100_000, "record", ""),
        (b"[" * 100_000, "record", ""),
        (b'{"a":' * 100_000, "record", ""),
        (RECORD.replace(b'"n":1', b'"n":' + b"[" * 255 + b"]" * 255), "record", "256 levels"),
        (
            RECORD.replace(b'"type"', b'"later":' + b"[" * 256 + b"]" * 256 + b',"type"'),
            "record",
            "256 levels",
        ),
        (RECORD.replace(b'"type"', b'"later":"\xed\xa0\x80","type"'), "record", "UTF-8"),
        (RECORD.replace(b'"type"', b'"later":1e999,"type"'), "record", "out of range"),
        (RECORD.replace(b'"type"', b'"later":' + b"9" * 5_000 + b',"type"'), "record", "digits"),
        (RECORD[:-1], "record", "JSON"),
        (RECORD + b"x", "record", "JSON"),
        (RECORD.replace(b'"n":1', b'"n":1,"n":1'), "record", "twice"),
        (RECORD.replace(b'"type"', b'"type":"a","type"'), "record", "twice"),
        (RECORD.replace(b'"n":1', b'"n":"\xff"'), "record", "UTF-8"),
        (RECORD.replace(b'"n":1', b'"n":NaN'), "record", "JSON"),
        (RECORD.replace(b'"session_id":"s"', b'"session_id":""'), "session_id", "length >= 1"),
        (RECORD.replace(b'"session_id":"s"', b'"session_id":null'), "session_id", "expected `str`"),
        (RECORD.replace(b'"session_id":"s",', b""), "record", "session_id"),
        (RECORD.replace(b"run_started", b"Run Started"), "type", "match"),
        (
            RECORD.replace(b'"schema_version":1', b'"schema_version":"1"'),
            "schema_version",
            "expected `int`",
        ),
        (RECORD.replace(b'"data":{"n":1}', b'"data":[]'), "data", "expected"),
        (RECORD.replace(EVENT.event_id.encode(), b"not-a-uuid"), "event_id", "UUID"),
        (
            RECORD.replace(b"2026-01-01T00:00:00.000005Z", b"2026-01-01T00:00:00"),
            "occurred_at",
            "time zone",
        ),
        (
            RECORD.replace(b"2026-01-01T00:00:00.000005Z", b"0001-01-01T00:00:00+01:00"),
            "occurred_at",
            "years 1 to 9999",
        ),
    ],
)
def test_what_is_no_event_is_refused(record: bytes, field: str, rule: str) -> None:
    """A record that breaks a rule is refused with the field and the rule, without its values."""
    with pytest.raises(InvalidEventError) as caught:
        decode(record)

    assert caught.value.field == field, str(caught.value)
    assert rule in caught.value.rule


@pytest.mark.parametrize(
    "record",
    [
        b"\n " + RECORD,
        RECORD.replace(b'"type"', b'"future":{"deep":[1.0,1E5]},"type"'),
        RECORD.replace(b'"schema_version":1', b'"schema_version":99'),
        RECORD.replace(b'"n":1', b'"n":123456789012345678901234567890'),
        RECORD.replace(b'"n":1', b'"n":1.50000000000000000000001'),
        RECORD.replace(b"run_started", b"a.custom.type"),
        RECORD.replace(b"2026-01-01T00:00:00.000005Z", b"9999-12-31T23:59:59.999999Z"),
        RECORD.replace(b"2026-01-01T00:00:00.000005Z", b"0001-01-01T00:00:00Z"),
        RECORD.replace(b'"data":{"n":1},', b'"run_id":null,'),
        RECORD.replace(b'"n":1', b'"n":"\\u0041"'),
        RECORD.replace(b'"n":1', b'"n":' + b"[" * 254 + b"]" * 254),
        RECORD.replace(b'"n":1', b'"n":"' + b'[{\\"' * 300 + b'"'),
        RECORD.replace(b'"n":1', b'"n":[' + b",".join([b"[{}]"] * 300) + b"]"),
    ],
)
def test_any_spelling_of_an_event_is_kept(record: bytes) -> None:
    """A record that follows the rules is read, and kept to the last byte, however it is spelled."""
    assert decode(record).record == record


def test_how_deep_the_caller_stands_does_not_matter() -> None:
    """What one program reads, another reads from within hundreds of calls."""
    record = RECORD.replace(b'"n":1', b'"n":' + b"[" * 254 + b"]" * 254)

    def decode_below(calls: int) -> AuditEvent:
        return decode_below(calls - 1) if calls else decode(record)

    assert decode_below(500).record == record


@pytest.mark.parametrize("depth", [252, 253, 254, 255, 256])
@pytest.mark.parametrize(
    ("begin", "end", "levels"),
    [(b"[", b"]", 1), (b'{"a":', b"}", 1), (b'[1,{"a":"[{","b":', b"}]", 2)],
)
def test_many_at_once_are_as_deep_as_each_alone(
    begin: bytes, end: bytes, levels: int, depth: int
) -> None:
    """Decoding many at once keeps to the very level that decoding each keeps to."""
    value = begin * (depth // levels) + b"1" + end * (depth // levels)
    record = RECORD.replace(b'"n":1', b'"n":' + value)
    try:
        decode(record)
    except InvalidEventError:
        assert decode_all([record]) is None
    else:
        assert decode_all([record]) is not None


def test_a_text_full_of_brackets_is_not_deep() -> None:
    """Code and JSON within a text are no levels, and cost no second look."""
    assert decode_all([RECORD.replace(b'"n":1', b'"n":"' + b"[{" * 300 + b'"')]) is not None


def test_unknown_fields_are_kept() -> None:
    """Fields of a newer schema are at hand after reading."""
    event = decode(RECORD.replace(b'"type"', b'"future":{"deep":[1]},"type"'))

    assert event.unknown_fields == {"future": {"deep": [1]}}
    assert event.data == {"n": 1}


@given(st.lists(st.sampled_from((b"", b"x" * 600, b"y" * 70_000, b"z" * 1_000_000)), max_size=600))
def test_no_part_is_more_than_may_be_decoded_at_once(records: list[bytes]) -> None:
    """Parts hold every record once, in order, and no more bytes than their bound, or a single record."""
    parts = [records[part] for part in parts_of(records)]
    assert [record for part in parts for record in part] == records
    assert all(0 < len(part) <= RECORDS_AT_ONCE for part in parts)
    assert all(len(part) == 1 or sum(map(len, part)) <= BYTES_AT_ONCE for part in parts)
