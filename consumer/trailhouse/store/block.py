"""What one insert carries: rows of one table, column by column."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec


class Column(ABC):
    """The values of one column, encoded already; made by `trailhouse.store.native_format.column_of`."""

    def __init__(self) -> None:
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    @abstractmethod
    def encoded(self, values: Sequence[Any]) -> Any:
        """Return *values*, at least one, as `add` takes them; nothing is added yet.

        Raises:
            TypeError, ValueError, ArithmeticError: A value does not fit the column.
        """

    @abstractmethod
    def add(self, chunk: Any) -> None:
        """Append what `encoded` of this column has returned."""

    @abstractmethod
    def pieces(self) -> Iterable[bytes]:
        """Return the bytes of all values, to be joined."""


class Table(NamedTuple):
    """A table as it is written: its name and the ClickHouse type of each column, in order."""

    name: str
    columns: Mapping[str, str]

    def block(self, columns: Mapping[str, Sequence[Any] | Column]) -> "Block":
        """Return a block of *columns*, one sequence for every column of this table.

        Raises:
            ValueError: A column is missing, unknown, or of another length. A mistake of the program.
        """
        if columns.keys() != self.columns.keys():
            wrong = sorted(columns.keys() ^ self.columns.keys())
            raise ValueError(f"{self.name}: columns missing or unknown: {', '.join(wrong)}")
        rows = {len(values) for values in columns.values()}
        if len(rows) != 1:
            raise ValueError(f"{self.name}: columns of {sorted(rows)} rows in one block")
        return Block(
            table=self.name,
            names=tuple(self.columns),
            types=tuple(self.columns.values()),
            columns=tuple(columns[name] for name in self.columns),
            row_count=rows.pop(),
        )


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Rows for one insert; the values of a column are what `trailhouse.store.native_format` lists.

    ClickHouse stores a block of at most 1,048,449 rows and 256 MiB whole or not at all in each
    partition, a year, that it touches.
    """

    table: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    columns: tuple[Sequence[Any] | Column, ...]
    row_count: int
