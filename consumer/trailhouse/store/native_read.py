"""Read ClickHouse's Native format as it comes, column by column: whole columns as bytes, or their values.

The other direction is `trailhouse.store.native_format`, whose docstring lists the types. What is compared with what
should be there need not be taken apart: `NativeReader.starts_with` tells whether the next bytes are just those.
"""

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

from trailhouse.schemas.errors import StorageRejectedError

_CODES = {"UInt8": "B", "UInt16": "H", "UInt32": "I", "UInt64": "Q", "Int64": "q", "Float64": "d"}
_WIDTHS = {"UInt8": 1, "UInt16": 2, "UInt32": 4, "UInt64": 8, "Int64": 8, "Float64": 8, "UUID": 16}
_DECIMAL_CONTEXT = Context(prec=60)


class BlockHeader(NamedTuple):
    """How many columns and rows follow."""

    column_count: int
    row_count: int


class NativeReader:
    """Takes blocks out of an answer that comes in pieces of any size; memory holds about one block.

    Each column of a block is read once, in the order of the SELECT.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""
        self._at = 0

    def block(self) -> BlockHeader | None:
        """Return the header of the next block; None after the last."""
        if not self._has(1):
            return None
        return BlockHeader(self._varint(), self._varint())

    def name_and_type(self) -> tuple[str, str]:
        """Return the name and the type of the next column."""
        return self._text(), self._text()

    def column(self, name: str, size_bytes: int) -> memoryview:
        """Return the *size_bytes* of the next column, which is called *name*."""
        self.expect(name)
        return self.take(size_bytes)

    def values(self, name: str, rows: int) -> Sequence[Any]:
        """Return the values of the next column, which is called *name*: text as bytes, dates as numbers."""
        return self.values_of(self.expect(name), rows)

    def expect(self, name: str) -> str:
        """Take the head of the next column, which is called *name*, and return its type."""
        found, type_name = self.name_and_type()
        if found != name:
            raise _broken(f"column {name} is not where it was asked for")
        return type_name

    def starts_with(self, content: bytes) -> bool:
        """Take the next bytes if they are *content*, and tell whether they were."""
        size = len(content)
        if not self._has(size):
            return False
        if self._held[self._at : self._at + size] != content:
            return False
        self._at += size
        return True

    def take(self, size_bytes: int) -> memoryview:
        """Return the next *size_bytes* bytes."""
        if not self._has(size_bytes):
            raise _broken("it ends within a column")
        begin = self._at
        self._at += size_bytes
        return memoryview(self._held)[begin : self._at]

    def strings(self, rows: int) -> list[bytes]:
        """Return the next *rows* texts, each with its length before it."""
        return [bytes(self.take(self._varint())) for _ in range(rows)]

    def sized_strings(self, lengths: Sequence[int]) -> list[bytes]:
        """Return the next texts, whose *lengths* are known already: several times as quick."""
        sizes = [
            each + 1 if each < 128 else each + 2 if each < 16_384 else each + _varint_bytes(each)
            for each in lengths
        ]
        size_bytes = sum(sizes)
        self.take(size_bytes)
        content = self._held  # not a copy of the part: it may be nearly all of a block
        ends = accumulate(sizes, initial=self._at - size_bytes)
        next(ends)
        return [content[end - length : end] for end, length in zip(ends, lengths, strict=True)]

    def values_of(self, type_name: str, rows: int) -> Sequence[Any]:
        """Return the next *rows* values of *type_name*.

        Raises:
            StorageRejectedError: The answer is not in the format, or of a type that is not known here. Permanent.
        """
        outer, _, inner = type_name.removesuffix(")").partition("(")
        match outer:
            case "String":
                return self.strings(rows)
            case "LowCardinality":
                return self._low_cardinality(inner, rows)
            case "Nullable":
                nulls = bytes(self.take(rows))
                values = self.values_of(inner, rows)
                if not any(nulls):
                    return values
                return [None if null else value for null, value in zip(nulls, values, strict=True)]
            case "FixedString":
                return _chunks(self.take(int(inner) * rows), int(inner))
            case "UUID":
                return [_uuid(each) for each in _chunks(self.take(16 * rows), 16)]
            case "Decimal":
                return [_decimal(each) for each in _chunks(self.take(16 * rows), 16)]
            case "DateTime64":
                return _array("q", self.take(8 * rows))
            case _ if outer in _CODES:
                return _array(_CODES[outer], self.take(_WIDTHS[outer] * rows))
            case _:
                raise _broken(f"no reader for the type {type_name}")

    def low_cardinality(self, name: str, rows: int) -> tuple[list[bytes], Sequence[int]]:
        """Return the different texts of the next column, called *name*, and for each row its place among them."""
        if self.expect(name) != "LowCardinality(String)":
            raise _broken(f"column {name} is of another type")
        return self._dictionary("String", rows)

    def _low_cardinality(self, inner: str, rows: int) -> list[Any]:
        keys, places = self._dictionary(inner, rows)
        return list(map(keys.__getitem__, places))

    def _dictionary(self, inner: str, rows: int) -> tuple[list[bytes], Sequence[int]]:
        if inner != "String":
            raise _broken(f"no reader for the type LowCardinality({inner})")
        self.take(8)
        if not rows:
            return [], []
        kind = self._number()
        if kind & (1 << 8):
            raise _broken("a dictionary that is shared between blocks")
        keys = self.strings(self._number())
        if self._number() != rows:
            raise _broken("a column of another length than its block")
        width = kind & 0xFF
        return keys, _array("BHIQ"[width], self.take(rows << width))

    def _number(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def _varint(self) -> int:
        value = shift = 0
        while True:
            [byte] = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise _broken("a length without an end")

    def _text(self) -> str:
        return bytes(self.take(self._varint())).decode(errors="replace")

    def _has(self, size_bytes: int) -> bool:
        """Make the next *size_bytes* bytes ready; tell whether there are so many."""
        missing = self._at + size_bytes - len(self._held)
        if missing <= 0:
            return True
        parts = [self._held[self._at :]]
        while missing > 0:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            missing -= len(piece)
        self._held, self._at = b"".join(parts), 0
        return missing <= 0


def _varint_bytes(value: int) -> int:
    return max(1, -(-value.bit_length() // 7))


def _chunks(content: memoryview, width: int) -> list[bytes]:
    return [chunk for (chunk,) in struct.iter_unpack(f"{width}s", content)]


def _array(code: str, content: memoryview) -> "array[Any]":
    values = array(code, bytes(content))
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _uuid(raw: bytes) -> str:
    return str(UUID(bytes=raw[7::-1] + raw[:7:-1]))


def _decimal(raw: bytes) -> Decimal:
    return _DECIMAL_CONTEXT.scaleb(Decimal(int.from_bytes(raw, "little", signed=True)), -18)


def _broken(why: str) -> StorageRejectedError:
    return StorageRejectedError(f"ClickHouse's answer cannot be read: {why}", code=0, name="NATIVE")
