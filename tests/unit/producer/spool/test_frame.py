"""The frames of a spool file: what was written is found again, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.producer.spool.frame import MARKER, Damage, Frame, frame, scan

RECORDS = [b'{"a":1}', b"", '{"text":"ä"}'.encode(), b"x" * 700]


def file_of(records: list[bytes]) -> bytes:
    """Return the bytes of a file that holds *records*."""
    return b"".join(frame(number, b"key", record) for number, record in enumerate(records))


def records_of(found: list[Frame | Damage]) -> list[bytes]:
    """Return the records of the frames alone."""
    return [each.record for each in found if isinstance(each, Frame)]


@given(st.lists(st.text().map(str.encode)))
def test_frames_are_found_again(records: list[bytes]) -> None:
    """Number, key, record and place of every frame come back, and every byte is accounted for."""
    content = file_of(records)
    found, taken = scan(content, 100)

    assert taken == len(content)
    assert records_of(found) == records
    assert [each.number for each in found if isinstance(each, Frame)] == list(range(len(records)))
    assert not found or found[-1].end == 100 + len(content)


@given(st.data())
def test_a_torn_tail_is_no_frame_and_no_damage(data: st.DataObject) -> None:
    """A file that ends anywhere in its last frame holds the frames before it, and nothing is damaged."""
    content = file_of(RECORDS)
    whole = len(file_of(RECORDS[:-1]))
    end = data.draw(st.integers(whole, len(content) - 1))
    found, taken = scan(content[:end], 0)

    assert records_of(found) == RECORDS[:-1]
    assert not [each for each in found if isinstance(each, Damage)]
    assert taken == whole


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_is_found_and_what_follows_is_read(bit: int) -> None:
    """One flipped bit anywhere costs the one frame it stands in, and that range is named."""
    content = file_of(RECORDS)
    ends = [len(file_of(RECORDS[: count + 1])) for count in range(len(RECORDS))]
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        hit = next(index for index, end in enumerate(ends) if place < end)
        found, taken = scan(bytes(flipped), 0)
        expected = [record for index, record in enumerate(RECORDS) if index != hit]

        assert records_of(found) == expected, f"expected all but frame {hit}, bit {bit} of {place}"
        damaged = [each for each in found if isinstance(each, Damage)]
        assert damaged, f"expected damage at {place}"
        assert len(content) - taken < len(MARKER), "expected every byte accounted for"


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(noise: bytes) -> None:
    """Whatever stands before sound frames, they are found."""
    found, _ = scan(noise + file_of(RECORDS), 0)

    assert records_of(found)[-len(RECORDS) :] == RECORDS
