"""The check at the end of the demo."""

import itertools

import pytest

from trailhouse.cli.demo.comparison import compare
from trailhouse.schemas import AuditEvent, decode
from trailhouse.schemas.errors import ComparisonError


def session(name: str, events: int = 3) -> list[AuditEvent]:
    """Return *events* different events of one session."""
    return [
        AuditEvent(type="message_sent", session_id=name, data={"n": number})
        for number in range(events)
    ]


def test_equal_logs_pass() -> None:
    """Equal events in equal order are equal, also when the sessions are mixed."""
    first, second = session("first"), session("second")
    mixed = [event for pair in zip(first, second, strict=True) for event in pair]
    compare(mixed, [*first, *second])


def test_a_missing_event_is_named() -> None:
    """An event that was emitted and not read is named, wherever it stood."""
    events = session("s")
    for missing in events:
        with pytest.raises(
            ComparisonError, match=f"session s, event {missing.event_id}: is missing"
        ):
            compare(events, [event for event in events if event is not missing])


def test_a_missing_session_is_named() -> None:
    """A session of which nothing was read is missing by its first event."""
    events = session("s")
    with pytest.raises(ComparisonError, match=f"event {events[0].event_id}: is missing"):
        compare(events, [])


@pytest.mark.parametrize("name", ["s", "another"])
def test_an_extra_event_is_named(name: str) -> None:
    """An event that nobody emitted is named, in a known session or in a new one."""
    events, extra = session("s"), session(name, 1)[0]
    with pytest.raises(ComparisonError, match=f"{name}, event {extra.event_id}: .*never emitted"):
        compare(events, [*events, extra])


def test_a_duplicate_is_named() -> None:
    """An event that stands in the log twice is named."""
    events = session("s")
    with pytest.raises(ComparisonError, match=f"event {events[1].event_id}: is in the log twice"):
        compare(events, [events[0], events[1], events[1], events[2]])


def test_every_other_order_is_refused() -> None:
    """Of all orders of a session only the one in which it was emitted passes."""
    events = session("s")
    for order in itertools.permutations(events):
        if list(order) != events:
            with pytest.raises(
                ComparisonError, match=r"out of order: emitted as number \d, read as"
            ):
                compare(events, order)


def test_an_altered_field_is_named() -> None:
    """An event whose content changed on the way is named, with the field."""
    events = session("s")
    record = events[1].record.replace(b'"n":1', b'"n":7')
    with pytest.raises(ComparisonError, match=f"{events[1].event_id}: was altered: field data"):
        compare(events, [events[0], decode(record), events[2]])


def test_altered_bytes_alone_are_an_alteration() -> None:
    """A record that means the same in other bytes is not the one that was emitted."""
    events = session("s", 1)
    respelled = decode(events[0].record.replace(b'":', b'": '))
    assert respelled == events[0]
    with pytest.raises(ComparisonError, match="was altered: bytes of the record"):
        compare(events, [respelled])
