"""What a batch's header says, and what is believed of it when its checksum is wrong."""

import struct

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from trailhouse.broker.batch_headers import first_batch


def batch(base: int, records: int) -> bytes:
    """Return a batch of *records* records as it lies in a log."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 100_000)
    for number in range(records):
        builder.append(number, 1_790_000_000_000, b"k", b"value", [])
    return struct.pack(">q", base) + bytes(builder.build())[8:]


def damaged(content: bytes) -> bytes:
    """Return *content* with one bit of its last byte flipped."""
    return content[:-1] + bytes([content[-1] ^ 1])


def test_a_sound_header_is_believed() -> None:
    """Offsets, number of records and size; a batch that ends below the offset is not meant."""
    content = batch(5, 3) + batch(8, 2)
    found = first_batch(content, 6, 10)
    assert found is not None
    assert (found.first_offset, found.last_offset, found.records, found.is_sound) == (5, 7, 3, True)
    assert not found.is_broker_time, "expected a batch whose sender has given the times"
    later = first_batch(content, 8, 10)
    assert later is not None
    assert (later.first_offset, later.last_offset) == (8, 9)
    assert first_batch(content, 10, 10) is None


def test_the_end_of_a_damaged_batch_is_proven_by_what_follows() -> None:
    """By the next sound batch, or by the end of the log; else it is not known."""
    for following, end, last in (
        (batch(8, 2), 10, 7),
        (b"", 8, 7),
        (b"", 20, None),
        (damaged(batch(8, 2)), 10, None),
    ):
        found = first_batch(damaged(batch(5, 3)) + following, 5, end)
        assert found is not None
        assert not found.is_sound
        assert (found.first_offset, found.last_offset) == (5, last), (len(following), end)


def test_a_codec_of_tomorrow_has_no_name() -> None:
    """Bits that no codec has are told as such, and the header is read all the same."""
    content = bytearray(batch(0, 1))
    content[22] |= 7
    found = first_batch(bytes(content), 0, 1)
    assert found is not None
    assert found.codec == "unknown"
