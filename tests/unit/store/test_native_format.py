"""A block is written whole, and a value that does not fit its column is refused before it is sent."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks import values_of
from trailhouse.store import BATCH_LEDGER, EVENT_LOG, EVENT_QUARANTINE, Block
from trailhouse.store.native_format import column_of, encode


def one_column(type_name: str, values: list[Any]) -> Block:
    """Return a block of a single column."""
    return Block(
        table="t", names=("c",), types=(type_name,), columns=(values,), row_count=len(values)
    )


def written(type_name: str, *parts: list[Any]) -> bytes:
    """Return the bytes of a column that came in *parts*."""
    column = column_of(type_name)
    for part in parts:
        column.add(column.encoded(part))
    assert len(column) == sum(map(len, parts))
    return b"".join(column.pieces())


def test_a_small_block_has_the_documented_bytes() -> None:
    """Columns, rows, then name, type and values of each column, as ClickHouse documents Native."""
    block = Block(
        table="t",
        names=("n", "s"),
        types=("UInt16", "String"),
        columns=([1, 513], ["a", "bc"]),
        row_count=2,
    )
    assert (
        encode(block)
        == b"\x02\x02" + b"\x01n\x06UInt16\x01\x00\x01\x02" + b"\x01s\x06String\x01a\x02bc"
    )


def test_every_column_of_every_table_has_a_writer() -> None:
    """What the worker may write is what the writer knows."""
    for table in (EVENT_LOG, EVENT_QUARANTINE, BATCH_LEDGER):
        for type_name in table.columns.values():
            assert len(column_of(type_name)) == 0


def test_text_and_its_bytes_are_the_same_value() -> None:
    """A column of str is written as its UTF-8."""
    texts = ["", "a", "é🙂", "x" * 200, "y" * 20_000]
    for type_name in ("String", "LowCardinality(String)"):
        assert written(type_name, texts) == written(type_name, [text.encode() for text in texts])


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 65_536, 65_537])
def test_low_cardinality_grows_its_index(rows: int) -> None:
    """The index has one byte up to 256 different values, two up to 65,536, then four."""
    width = 1 if rows <= 256 else 2 if rows <= 65_536 else 4
    texts = [str(number) for number in range(rows)]
    dictionary_bytes = sum(len(text) + 1 for text in texts)
    assert len(written("LowCardinality(String)", texts)) == 4 * 8 + dictionary_bytes + rows * width


@pytest.mark.parametrize(
    ("value", "ticks"),
    [
        (Decimal(0), 0),
        (Decimal("0.000000000000000001"), 1),
        (Decimal("-1.5"), -1_500_000_000_000_000_000),
        (
            Decimal("12345678901234567890.123456789012345678"),
            12345678901234567890123456789012345678,
        ),
        (Decimal("0.0000000000000000005"), 0),
        (Decimal("0.0000000000000000015"), 2),
        (Decimal("1E-30"), 0),
    ],
)
def test_a_decimal_is_exact_to_eighteen_digits(value: Decimal, ticks: int) -> None:
    """Digits after the eighteenth are rounded half even, and none before are touched."""
    assert written("Decimal(38, 18)", [value]) == ticks.to_bytes(16, "little", signed=True)


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("UInt16", -1),
        ("UInt16", 65_536),
        ("UInt64", 2**64),
        ("Int64", 2**63),
        ("Int64", 1.5),
        ("Float64", "1"),
        ("UUID", "123"),
        ("UUID", "019a8c5e7d2b7c3f9a410f6f8f0c2b1"),
        ("FixedString(16)", b"short"),
        ("Decimal(38, 18)", Decimal(10) ** 20),
        ("Decimal(38, 18)", Decimal("NaN")),
        ("Decimal(38, 18)", Decimal("Infinity")),
        ("String", None),
        ("String", 5),
    ],
)
def test_a_value_that_does_not_fit_is_refused(type_name: str, value: object) -> None:
    """Nothing is bent to fit: the program that made the value is told."""
    with pytest.raises((TypeError, ValueError, OverflowError, ArithmeticError)):
        encode(one_column(type_name, [value]))


def test_str_and_bytes_do_not_mix_in_a_column() -> None:
    """The first value tells the kind of all; another kind is an error and not a guess."""
    for values in (["a", b"b"], [b"a", "b"]):
        with pytest.raises(TypeError):
            encode(one_column("String", values))


def test_a_type_without_a_writer_is_named() -> None:
    """An unknown column type is an error of the program, by its name."""
    with pytest.raises(ValueError, match="no writer for the type Map"):
        column_of("Map(String, String)")


def test_a_block_needs_every_column_of_its_table() -> None:
    """A missing or unknown column is named when the block is made."""
    columns: dict[str, list[Any]] = {name: [] for name in BATCH_LEDGER.columns}
    del columns["stored_rows"]
    columns["stored_row"] = []
    with pytest.raises(
        ValueError, match="batch_ledger: columns missing or unknown: stored_row, stored_rows"
    ):
        BATCH_LEDGER.block(columns)


def test_the_columns_of_a_block_are_of_one_length() -> None:
    """Columns of different lengths are refused when the block is made."""
    columns: dict[str, list[Any]] = {name: [0] for name in BATCH_LEDGER.columns}
    columns["last_offset"] = [0, 1]
    with pytest.raises(ValueError, match=r"batch_ledger: columns of \[1, 2\] rows"):
        BATCH_LEDGER.block(columns)


_TEXTS = st.lists(st.text(max_size=5) | st.sampled_from(("x" * 200, "y" * 20_000)), min_size=1)
_NUMBERS = st.lists(st.integers(0, 2**64 - 1), min_size=1)
_PARTS: dict[str, st.SearchStrategy[list[Any]]] = {
    "String": _TEXTS,
    "LowCardinality(String)": _TEXTS,
    "UInt64": _NUMBERS,
    "UUID": st.lists(st.uuids().map(str), min_size=1),
    "FixedString(2)": st.lists(st.binary(min_size=2, max_size=2), min_size=1),
    "Nullable(UInt64)": st.lists(st.none() | st.integers(0, 9), min_size=1),
    "Nullable(String)": st.lists(st.none() | st.text(max_size=3), min_size=1),
    "Nullable(Decimal(38, 18))": st.lists(st.none() | st.decimals(0, 9), min_size=1),
    "Array(Tuple(name String, value Nullable(String)))": st.lists(
        st.lists(st.tuples(st.text(max_size=2), st.none() | st.binary(max_size=2))), min_size=1
    ),
}


@pytest.mark.parametrize("type_name", _PARTS)
@given(data=st.data())
def test_a_column_in_parts_is_the_column_as_a_whole(type_name: str, data: st.DataObject) -> None:
    """However its values come in, a column has the same bytes."""
    parts = data.draw(st.lists(_PARTS[type_name], min_size=1, max_size=4))
    whole = [value for part in parts for value in part]
    assert written(type_name, *parts) == written(type_name, whole)


@pytest.mark.parametrize(
    ("type_name", "first", "refused", "last"),
    [
        ("Nullable(UInt64)", 1, [None, 2**64], 2),
        ("LowCardinality(String)", "a", ["ghost", "\ud800"], "b"),
        ("LowCardinality(String)", "a", ["ghost", 5], "b"),
        ("String", "a", ["b", "\ud800"], "c"),
        ("String", b"a", [b"x" * 9_000, "y"], b"c"),
        ("Array(String)", ["a"], [["b"], [None]], ["c"]),
    ],
)
def test_what_is_refused_leaves_no_trace(
    type_name: str, first: object, refused: list[object], last: object
) -> None:
    """A part that does not fit is refused at once and adds nothing, as if it had not come."""
    column = column_of(type_name)
    column.add(column.encoded([first]))
    with pytest.raises((TypeError, ValueError, OverflowError)):
        column.encoded(refused)
    column.add(column.encoded([last]))
    assert b"".join(column.pieces()) == written(type_name, [first, last])


def test_what_is_not_added_leaves_no_trace() -> None:
    """To encode values changes nothing: another column of their row may still refuse it."""
    column = column_of("LowCardinality(String)")
    column.encoded(["ghost"])
    column.add(column.encoded(["a"]))
    assert b"".join(column.pieces()) == written("LowCardinality(String)", ["a"])


@pytest.mark.parametrize("type_name", ["String", "LowCardinality(String)"])
def test_another_decoder_reads_what_was_written(type_name: str) -> None:
    """Every length around a bound of the format, and one index more than a byte holds, come back as they were."""
    lengths = (0, 1, 127, 128, 129, 16_383, 16_384, 16_385)
    parts = [
        ["x" * length for length in lengths],
        ["é" * length for length in lengths],
        [str(number) for number in range(255)],
        ["a", "255", "256", "a", "", "257"],
        ["only"] * 3,
    ]
    column = column_of(type_name)
    for part in parts:
        column.add(column.encoded(part))
    block = Block(
        table="t", names=("c",), types=(type_name,), columns=(column,), row_count=len(column)
    )
    assert values_of(block, "c") == [text for part in parts for text in part]
