"""Bodies compressed over HTTP, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.devstack.engine_error import EngineError
from trailhouse.devstack.http.compression import choose_coding, compressor, decompressor

CODINGS = ("gzip", "zstd", "lz4")


@pytest.mark.parametrize("coding", CODINGS)
@given(
    pieces=st.lists(st.binary(max_size=200), max_size=5), cut=st.integers(min_value=1, max_value=50)
)
def test_what_is_written_is_read(coding: str, pieces: list[bytes], cut: int) -> None:
    """BoundedConsumer gives what was written, wherever the pieces are cut, for one frame or two in a row."""
    body = b""
    for _ in range(2):
        write = compressor(coding)
        body += b"".join(write.feed(piece) for piece in pieces) + write.finish()
    read = decompressor(coding)
    plain = b"".join(read.feed(body[at : at + cut]) for at in range(0, len(body), cut))
    read.finish()
    assert plain == b"".join(pieces) * 2


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_that_stops_in_the_middle_is_an_error(coding: str) -> None:
    """A cut body is told, never taken for a whole one."""
    write = compressor(coding)
    body = write.feed(b"x" * 1000) + write.finish()
    read = decompressor(coding)
    read.feed(body[:-3])
    with pytest.raises(EngineError, match="middle"):
        read.finish()


@pytest.mark.parametrize("coding", CODINGS)
def test_noise_is_an_error(coding: str) -> None:
    """Bytes that are not of the coding are refused."""
    with pytest.raises(EngineError, match="broken"):
        decompressor(coding).feed(b"this is not compressed at all, whatever it says")


def test_unknown_coding_is_refused() -> None:
    """A coding nobody here knows is refused by its name."""
    with pytest.raises(EngineError, match="snappy"):
        decompressor("snappy")


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate", "gzip"),
        ("lz4,zstd", "zstd"),
        ("gzip;q=0.5, lz4", "lz4"),
        ("identity", None),
        ("", None),
        ("*", None),
    ],
)
def test_the_coding_is_the_one_clickhouse_prefers(accept: str, coding: str | None) -> None:
    """Of several accepted codings the answer takes ClickHouse's favourite."""
    assert choose_coding(accept) == coding
