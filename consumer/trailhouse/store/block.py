"""What one insert carries: rows of one table, column by column."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec


class Table(NamedTuple):
    """A table as it is written: its name and the ClickHouse type of each column, in order."""

    name: str
    columns: Mapping[str, str]

    def block(self, columns: Mapping[str, Sequence[Any]]) -> "Block":
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
    """Rows for one insert; the values of a column are what `trailhouse.store.native` lists.

    ClickHouse stores a block of at most 1,048,449 rows and 256 MiB whole or not at all in each
    monthly partition that it touches.
    """

    table: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    columns: tuple[Sequence[Any], ...]
    row_count: int

    def rows(self, start: int, stop: int) -> "Block":
        """Return the rows from *start* up to and without *stop*, as `range` counts."""
        columns = tuple(values[start:stop] for values in self.columns)
        return msgspec.structs.replace(self, columns=columns, row_count=len(columns[0]))
