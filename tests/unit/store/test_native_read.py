"""What our writer of ClickHouse's Native format makes is read back, however it is cut into pieces."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store.block import Table
from trailhouse.store.native_format import encode
from trailhouse.store.native_read import NativeReader

COLUMNS = {
    "text": "String",
    "word": "LowCardinality(String)",
    "id": "UUID",
    "key": "FixedString(16)",
    "number": "Nullable(UInt64)",
    "cost": "Nullable(Decimal(38, 18))",
    "share": "Nullable(Float64)",
    "small": "UInt16",
    "us": "Int64",
}
ROWS = st.lists(
    st.tuples(
        st.binary(max_size=300),
        st.sampled_from([b"", b"a", b"bb"]),
        st.uuids().map(str),
        st.binary(min_size=16, max_size=16),
        st.none() | st.integers(0, 2**64 - 1),
        st.none() | st.decimals(-(10**19), 10**19, allow_nan=False, places=18),
        st.none() | st.floats(allow_nan=False),
        st.integers(0, 65_535),
        st.integers(-(2**63), 2**63 - 1),
    ),
    min_size=1,
    max_size=50,
)


def pieces_of(content: bytes, size: int) -> Iterator[bytes]:
    """Yield *content* in pieces."""
    for begin in range(0, len(content), size):
        yield content[begin : begin + size]


@given(ROWS, st.integers(1, 400))
def test_what_is_written_is_read(rows: list[tuple[object, ...]], size: int) -> None:
    """Every type comes back as it went in, block after block."""
    columns = dict(zip(COLUMNS, (list(each) for each in zip(*rows, strict=True)), strict=True))
    content = encode(Table("t", COLUMNS).block(columns))
    reader = NativeReader(pieces_of(content * 2, size))
    for _ in range(2):
        header = reader.block()
        assert header is not None
        found = [list(reader.values(name, header.row_count)) for name in COLUMNS]
        assert found == list(columns.values())
    assert reader.block() is None


@given(st.lists(st.binary(max_size=20_000), min_size=1, max_size=8), st.integers(1, 5_000))
def test_texts_of_known_length_are_cut_at_once(texts: list[bytes], size: int) -> None:
    """A length of any number of bytes is passed over, and what is just as expected is not taken apart."""
    content = encode(Table("t", {"text": "String"}).block({"text": texts}))
    reader = NativeReader(pieces_of(content, size))
    assert reader.block() == (1, len(texts))
    reader.expect("text")
    assert reader.sized_strings([len(text) for text in texts]) == texts
    again = NativeReader(pieces_of(content, size))
    again.block()
    again.expect("text")
    rest = content[content.index(b"\x06String") + 7 :]
    assert not again.starts_with(rest + b"more")
    assert again.starts_with(rest)
    assert again.block() is None


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_an_answer_that_ends_early_is_no_answer(cut: int) -> None:
    """Whatever is missing at its end, it is told as an error and never as fewer rows."""
    block = Table("t", {"cost": "Decimal(38, 18)"}).block({"cost": [Decimal(1)] * 3})
    reader = NativeReader(pieces_of(encode(block)[:-cut], 7))
    assert reader.block() is not None
    with pytest.raises(StorageRejectedError, match="cannot be read"):
        reader.values("cost", 3)
