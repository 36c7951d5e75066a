"""A batch: what it takes in, when it is due, and what would be committed."""

import datetime as dt
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks import values_of
from kafka_records import Record, empty_batch
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.batch import (
    MAX_REJECTED_ENVELOPES,
    Batch,
    event_keys,
    next_offsets,
    rows_of,
    spans_of,
)
from trailhouse.consumer.batch.blocks import event_block
from trailhouse.consumer.batch.rows import EVENT_COLUMNS, envelope_of
from trailhouse.schemas import Actor, AuditEvent, Source
from trailhouse.schemas.codec import RECORDS_AT_ONCE
from trailhouse.schemas.errors import InvalidEventError

ORIGIN = Origin("cluster", "topic", "topic-id")
EVENT = AuditEvent(
    type="run_started",
    session_id="s",
    tenant_id="t",
    run_id="r",
    parent_run_id="p",
    agent_id="a",
    actor=Actor(type="user", id="u"),
    provider="pr",
    correlation_id="c",
    trace_id="tr",
    source=Source(service="sv", host="h", pid=1, producer_id="pi", seq=9),
    occurred_at=dt.datetime(2026, 1, 2, 3, 4, 5, 6, dt.UTC),
    data={"model": "m"},
)


def stored(batch: Batch, name: str) -> list[object]:
    """Return the values of a column as ClickHouse would get them."""
    return values_of(event_block(ORIGIN, batch.rows), name)


def test_an_event_becomes_its_row() -> None:
    """Every column of a row is a projection of the record, or its place in Kafka."""
    batch, _ = empty_batch()
    batch.add([Record(EVENT.record, 3, 7, 1_790_000_000_001)])
    row = {name: stored(batch, name)[0] for name in EVENT_COLUMNS}
    assert row == {
        "session_id": "s", "tenant_id": "t", "event_id": EVENT.event_id,
        "record_key": sha256(EVENT.record).digest()[:16], "type": "run_started", "run_id": "r",
        "parent_run_id": "p", "agent_id": "a", "occurred_us": 1_767_323_045_000_006, "actor_type": "user",
        "actor_id": "u", "provider": "pr", "correlation_id": "c", "trace_id": "tr", "producer_id": "pi",
        "seq": 9, "model": "m", "tool_name": "", "tool_call_id": "", "error_code": "",
        "input_tokens": None, "output_tokens": None, "total_tokens": None, "cost_usd": None, "duration_ms": None,
        "schema_version": 1, "record": EVENT.record, "kafka_partition": 3, "kafka_offset": 7,
        "appended_at": 1_790_000_000_001,
    }  # fmt: skip


def test_rows_that_came_in_many_parts_are_those_of_the_events() -> None:
    """Encoded part by part as they come, or decoded anew: each column holds the same values."""
    batch, _ = empty_batch(rows=10_000, size_bytes=10_000_000)
    events = [
        AuditEvent(
            type=f"type_{number % 300}",
            session_id=f"s-{number}é" if number % 7 == 0 else f"s-{number}",
            run_id="r" * (number % 130) or None,
            agent_id=None if number % 3 else f"agent-{number}",
            source=Source(service="s", host="h", pid=1, producer_id="p", seq=number)
            if number % 2
            else None,
            data={"cost_usd": 0.1, "total_tokens": number} if number % 5 == 0 else {},
        )
        for number in range(2 * RECORDS_AT_ONCE + 7)
    ]
    batch.add([Record(event.record, 1, offset) for offset, event in enumerate(events)])
    assert len(batch.rows) == len(batch.events) == len(events)
    again = event_block(ORIGIN, rows_of(batch.events))
    for name in EVENT_COLUMNS:
        assert values_of(again, name) == stored(batch, name), name
    assert stored(batch, "record") == [event.record for event in events]
    assert stored(batch, "type") == [event.type for event in events]
    assert stored(batch, "run_id") == [event.run_id or "" for event in events]
    assert stored(batch, "agent_id") == [event.agent_id or "" for event in events]
    assert stored(batch, "seq") == [event.source and event.source.seq for event in events]
    assert stored(batch, "total_tokens") == [event.data.get("total_tokens") for event in events]
    assert event_keys(batch.events) == [(event.session_id, event.event_id) for event in events]


def test_an_event_that_fits_no_column_is_a_bad_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that a column refuses spoils its own row alone, and none of it is left in any column."""
    monkeypatch.setattr("trailhouse.consumer.batch.rows.MAX_SCHEMA_VERSION", 1_000_000)
    too_new = EVENT.record.replace(b'"schema_version":1', b'"schema_version":70000')
    batch, _ = empty_batch()
    batch.add([Record(EVENT.record, 0, 1), Record(too_new, 0, 2), Record(EVENT.record, 0, 3)])
    assert [bad.received.offset() for bad in batch.bad] == [2]
    assert [bad.reason for bad in batch.bad] == ["record: cannot be stored (OverflowError)"]
    assert [event.offset() for event in batch.events] == [1, 3]
    assert stored(batch, "kafka_offset") == [1, 3]
    assert stored(batch, "session_id") == ["s", "s"]


def test_when_no_event_fits_the_columns_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rejected and not one event that fits is a mistake of ours, and nothing of it may be committed."""
    monkeypatch.setattr("trailhouse.consumer.batch.rows.MAX_SCHEMA_VERSION", 1_000_000)
    too_new = EVENT.record.replace(b'"schema_version":1', b'"schema_version":70000')
    batch, _ = empty_batch()
    with pytest.raises(OverflowError):
        batch.add([Record(too_new, 0, offset) for offset in range(MAX_REJECTED_ENVELOPES)])


def test_bad_records_stand_beside_the_events() -> None:
    """A record that is not an event is kept with its reason, and the events around it are rows."""
    batch, _ = empty_batch()
    batch.add(
        [
            Record(EVENT.record, 0, 1),
            Record(None, 0, 2),
            Record(b"{", 0, 3),
            Record(EVENT.record, 0, 4),
        ]
    )
    assert [message.offset() for message in batch.events] == [1, 4]
    assert [bad.received.offset() for bad in batch.bad] == [2, 3]
    assert all(bad.reason.startswith("record: ") for bad in batch.bad)
    assert len(batch) == 4
    assert batch.size_bytes == 2 * len(EVENT.record) + 1


def test_reasons_hold_no_value() -> None:
    """A reason names field and rule, never what stood there."""
    batch, _ = empty_batch()
    batch.add([Record(EVENT.record.replace(b'"session_id":"s"', b'"session_id":["secret"]'))])
    assert "session_id" in batch.bad[0].reason
    assert "secret" not in batch.bad[0].reason


def test_next_offsets_are_one_past_the_last_of_each_partition() -> None:
    """What is committed is the offset after the last record, good or bad, of every partition."""
    batch, _ = empty_batch()
    batch.add([Record(EVENT.record, 0, 5), Record(b"bad", 1, 8), Record(EVENT.record, 0, 9)])
    assert next_offsets(batch.spans) == {0: 10, 1: 9}


def test_records_hash_is_over_all_records_of_a_partition() -> None:
    """The ledger's hash covers good and bad records of one partition in offset order."""
    batch, _ = empty_batch()
    batch.add(
        [
            Record(EVENT.record, 0, 1),
            Record(EVENT.record, 1, 1),
            Record(b"bad", 0, 2),
            Record(None, 0, 3),
        ]
    )
    parts = [sha256(record).digest() for record in (EVENT.record, b"bad", b"")]
    assert batch.spans[0].records_hash == sha256(b"".join(parts)).digest()
    assert (batch.spans[0].first_offset, batch.spans[0].last_offset) == (1, 3)


def test_it_is_full_by_rows() -> None:
    """A batch is full at its limit of records, bad ones counted."""
    batch, _ = empty_batch(rows=2)
    assert [is_full_after(batch, EVENT.record), is_full_after(batch, b"bad")] == [False, True]


def test_it_is_full_by_bytes() -> None:
    """A batch is full at its limit of bytes."""
    batch, _ = empty_batch(size_bytes=len(EVENT.record) + 1)
    assert [is_full_after(batch, EVENT.record), is_full_after(batch, b"x")] == [False, True]


def test_its_age_is_that_of_its_first_record() -> None:
    """However long ago the batch was made, and whatever came after that record."""
    batch, clock = empty_batch()
    clock.now_seconds += 10
    assert batch.age_seconds == 0
    batch.add([Record(EVENT.record)])
    clock.now_seconds += 0.5
    batch.add([Record(EVENT.record)])
    assert batch.age_seconds == 0.5


def test_spans_of_batches_that_follow_each_other_are_one() -> None:
    """From the first offset to the last, with the hash over all records, and the batches keep their own."""
    whole, first, second = (empty_batch()[0] for _ in range(3))
    records = [Record(EVENT.record, 0, 1), Record(b"bad", 0, 4), Record(EVENT.record, 0, 6)]
    whole.add(records)
    first.add(records[:1])
    second.add([*records[1:], Record(EVENT.record, 1, 7)])
    spans = spans_of([first, second])
    assert next_offsets(spans) == {0: 7, 1: 8}
    assert spans[0].records_hash == whole.spans[0].records_hash
    assert (spans[0].first_offset, spans[0].records, first.spans[0].records) == (1, 3, 1)


def is_full_after(batch: Batch, record: bytes) -> bool:
    """Add a record and return whether the batch is full."""
    batch.add([Record(record)])
    return batch.is_full


def test_times_outside_the_column_are_clamped() -> None:
    """A broker's time that ClickHouse cannot hold, or none at all, does not spoil the row."""
    batch, _ = empty_batch()
    batch.add([Record(EVENT.record, appended_ms=-1), Record(EVENT.record, appended_ms=2**62)])
    assert stored(batch, "appended_at") == [0, 10_413_791_999_999]


def test_a_newer_schema_version_is_stored() -> None:
    """A schema version above what the column holds is clamped; the record keeps it."""
    record = EVENT.record.replace(b'"schema_version":1', b'"schema_version":70000')
    batch, _ = empty_batch()
    batch.add([Record(record)])
    row = {name: stored(batch, name)[0] for name in EVENT_COLUMNS}
    assert (row["schema_version"], row["record"]) == (65_535, record)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u019ae', max_size=40).map(str.encode))
def test_no_bytes_break_the_decoder(record: bytes) -> None:
    """Any bytes are an event or an InvalidEventError, nothing else."""
    try:
        envelope_of(record)
    except InvalidEventError as error:
        assert error.field
