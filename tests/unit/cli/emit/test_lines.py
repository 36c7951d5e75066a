"""From a line to an event."""

import itertools
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.cli.emit.lines import Line, Stamp, event_from, read_blocks, this_process
from trailhouse.schemas.codec import decode
from trailhouse.schemas.errors import EventTooLargeError, InvalidEventError

LIMIT_BYTES = 1_000
MINIMAL = {"type": "run_started", "session_id": "s"}
COMPLETE = MINIMAL | {
    "event_id": "01a20f56-1bce-7d86-9462-1eafff10d2a5",
    "occurred_at": "2026-01-31T08:00:00.000000Z",
    "source": {"service": "elsewhere"},
    "schema_version": 1,
}


def line_of(fields: object) -> Line:
    """Return *fields* as the first line of a file."""
    return Line(1, json.dumps(fields).encode(), is_too_long=False)


def stamp(tenant_id: str = "") -> Stamp:
    """Return a fresh stamp."""
    return Stamp(this_process("tests"), limit_bytes=900_000, tenant_id=tenant_id)


class Dripping:
    """Gives its bytes in parts of these sizes, one after the other and over again."""

    def __init__(self, content: bytes, sizes: Sequence[int]) -> None:
        self._content = content
        self._sizes = itertools.cycle(sizes)

    def read1(self, size: int = -1, /) -> bytes:
        """Return the next part."""
        size = min(size, next(self._sizes))
        part, self._content = self._content[:size], self._content[size:]
        return part


def lines_of(content: bytes, sizes: Sequence[int] = (1 << 20,)) -> list[Line]:
    """Return the lines of *content*, which comes in parts of these sizes."""
    return [line for block in read_blocks(Dripping(content, sizes), LIMIT_BYTES) for line in block]


@pytest.mark.parametrize(
    "content",
    [b"a\nb\n", b"a\r\nb\r\n", b"a\n\n \t\nb", b"\xef\xbb\xbfa\nb"],
    ids=["line feeds", "carriage returns", "blank lines, none at the end", "byte order mark"],
)
def test_lines_are_read_without_ends_blanks_and_mark(content: bytes) -> None:
    """Line ends, blank lines and a byte order mark are no part of what is read."""
    found = [line.content for line in lines_of(content)]
    assert found == [b"a", b"b"]


def test_blank_lines_count() -> None:
    """A line's number is the one an editor shows."""
    assert [line.number for line in lines_of(b"\n\na\n\nb")] == [3, 5]


def test_an_over_long_line_is_one_line() -> None:
    """A line over the limit is reported once, and the next one is read whole."""
    content = b"x" * (LIMIT_BYTES * 5) + b"\n" + b"y" * LIMIT_BYTES + b"\n"
    long, whole = lines_of(content)
    assert (long.number, long.is_too_long) == (1, True)
    assert (whole.number, whole.content, whole.is_too_long) == (2, b"y" * LIMIT_BYTES, False)
    with pytest.raises(InvalidEventError, match="far longer"):
        event_from(long, stamp())


def test_what_is_missing_is_stamped() -> None:
    """A line without id, time and source gets all three; the sequence counts events."""
    ours = stamp()
    first, second = (event_from(line_of(MINIMAL), ours) for _ in range(2))
    assert first.event_id != second.event_id
    assert first.source is not None
    assert second.source is not None
    assert first.source.service == "tests"
    assert (first.source.seq, second.source.seq) == (0, 1)
    assert first.source.producer_id == second.source.producer_id


def test_what_is_there_is_kept() -> None:
    """An id, a time and a source that the line names are not stamped again."""
    fields = {name: value for name, value in COMPLETE.items() if name != "schema_version"}
    event = event_from(line_of(fields), stamp())
    assert json.loads(event.record) | fields == json.loads(event.record)


def test_a_refused_line_does_not_move_the_sequence() -> None:
    """A gap in the sequence means a lost event, so a bad line must not make one."""
    ours = stamp()
    with pytest.raises(InvalidEventError):
        event_from(line_of({"type": "run_started"}), ours)
    source = event_from(line_of(MINIMAL), ours).source
    assert source is not None
    assert source.seq == 0


def test_the_configured_tenant_is_for_lines_that_name_none() -> None:
    """A line's own tenant stands above the configured one."""
    assert event_from(line_of(MINIMAL), stamp("ours")).tenant_id == "ours"
    named = MINIMAL | {"tenant_id": "theirs"}
    assert event_from(line_of(named), stamp("ours")).tenant_id == "theirs"


@pytest.mark.parametrize("separators", [(",", ":"), (" , ", " : ")], ids=["compact", "spaced"])
def test_an_exported_record_is_kept_to_the_byte(separators: tuple[str, str]) -> None:
    """A record with id, time, source and version keeps bytes and unknown fields; no tenant is added."""
    record = json.dumps(COMPLETE | {"from_the_future": [1]}, separators=separators).encode()
    event = event_from(Line(1, record, is_too_long=False), stamp("ours"))
    assert event.record == record
    assert event == decode(record)


def test_an_unknown_field_of_a_newer_schema_is_kept() -> None:
    """A line that says it is newer than we are may hold what we do not know; ours may not."""
    newer = MINIMAL | {"schema_version": 2, "from_the_future": {"a": 1}}
    assert event_from(line_of(newer), stamp()).unknown_fields == {"from_the_future": {"a": 1}}
    with pytest.raises(InvalidEventError, match=r"^from_the_future: is not a field"):
        event_from(line_of(newer | {"schema_version": 1}), stamp())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not json", "must be JSON"),
        (b'{"type":', "must be JSON"),
        (b"[]", "one JSON object, got list"),
        (b"1", "one JSON object, got int"),
        (b'"\xff"', "UTF-8"),
        (b'{"type":"x","session_id":"s","data":{"a":NaN}}', "no NaN"),
        (b'{"type":"x","session_id":"s","data":{"a":-Infinity}}', "no infinity"),
        (b'{"type":"x","session_id":"s","data":{"a":1e999}}', "finite"),
        (b'{"type":"x","session_id":"s","data":{"a":1,"a":2}}', "twice"),
        (b'{"type":"x","session_id":"s","type":"y"}', "twice"),
        (b'{"type":"x","session_id":"s","data":{"a":"\\ud800"}}', "surrogate"),
        (b'{"type":"x","session_id":"s","data":{"a":' + b"9" * 5_000 + b"}}", "digits"),
        (b'{"type":"x","session_id":"s","data":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "deep"),
        (b'{"session_id":"s"}', "type: is missing"),
        (b'{"type":"x"}', "session_id: is missing"),
        (b'{"type":"x","session_id":""}', "session_id: must have 1 to 256"),
        (b'{"type":"X!","session_id":"s"}', "type: must be"),
        (b'{"type":"x","session_id":"s","occurred_at":"2026-01-31T08:00:00"}', "time zone"),
        (b'{"type":"x","session_id":"s","event_id":"7"}', "event_id: must be a UUID"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    """Whatever a line holds, it becomes an event or an InvalidEventError that names the rule."""
    with pytest.raises(InvalidEventError) as caught:
        event_from(Line(1, content, is_too_long=False), stamp())
    assert reason in str(caught.value)


@given(
    st.lists(st.sampled_from([b"a", b"bc" * 700, b"d" * 3_000, b"", b" ", b"e\r"]), max_size=8),
    st.lists(st.integers(1, 1_500), min_size=1, max_size=5),
    st.sampled_from([b"", b"\n"]),
)
def test_it_does_not_matter_in_which_parts_lines_come(
    contents: list[bytes], sizes: list[int], end: bytes
) -> None:
    """A pipe gives any part at a time: the lines, their numbers and which are too long stay the same."""
    content = b"\n".join(contents) + end
    expected = [
        (number, len(line) > LIMIT_BYTES + 1)
        for number, line in enumerate(content.split(b"\n"), 1)
        if line.strip()
    ]
    found = lines_of(content, sizes)
    assert [(line.number, line.is_too_long) for line in found] == expected
    assert [line.content for line in found if not line.is_too_long] == [
        line.removesuffix(b"\r")
        for line in content.split(b"\n")
        if line.strip() and len(line) <= LIMIT_BYTES + 1
    ]


def test_an_earlier_stamp_gives_the_same_bytes() -> None:
    """What an earlier run stamped is stamped again, so that the event is the same to the byte."""
    first = event_from(line_of(MINIMAL), stamp("ours"))
    assert event_from(line_of(MINIMAL), stamp("ours"), first).record == first.record
    named = MINIMAL | {"event_id": COMPLETE["event_id"], "occurred_at": "2026-01-31T09:00:00+01:00"}
    kept = event_from(line_of(named), stamp(), first)
    assert (kept.event_id, kept.occurred_at.hour) == (COMPLETE["event_id"], 8)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(content: bytes) -> None:
    """Any bytes are lines, and any line is an event or refused by InvalidEventError alone."""
    for line in lines_of(content):
        with pytest.raises(InvalidEventError):
            event_from(line, stamp())


def test_integers_of_any_size_are_kept() -> None:
    """A number that no float can hold arrives with every digit."""
    number = 123_456_789_012_345_678_901_234_567_890
    event = event_from(line_of(MINIMAL | {"data": {"n": number}}), stamp())
    assert decode(event.record).data["n"] == number


def test_a_line_that_is_too_large_takes_no_number() -> None:
    """A refused event must not look like one that was lost on its way."""
    stamp = Stamp(this_process("tests"), limit_bytes=1_000)
    with pytest.raises(EventTooLargeError):
        stamp.complete({"type": "a", "session_id": "s", "data": {"text": "x" * 1_000}})
    event = stamp.complete({"type": "a", "session_id": "s"})
    assert event.source is not None
    assert event.source.seq == 0
