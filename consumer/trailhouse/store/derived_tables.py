"""The tables that follow from the log, row by row: their names, and the very statements that make and fill them. Pure.

Each is filled by a materialized view with every insert into `event_log`, and can be made from it anew.
"""

import re
from functools import cache
from typing import NamedTuple

from trailhouse.schemas.ddl import TableDefinition, table_definitions
from trailhouse.schemas.migrations import migrations

_VIEW = re.compile(
    r"CREATE MATERIALIZED VIEW IF NOT EXISTS \{database\}\.(?P<view>\w+) TO \{database\}\.(?P<table>\w+)\s.*?\bAS\s+"
    r"SELECT\s+(?P<values>.*?)\s+FROM \{database\}\.event_log(?:\s+WHERE (?P<condition>.*))?",
    re.DOTALL,
)


class DerivedTable(NamedTuple):
    """A table that holds for each row of `event_log` that it wants one row of its own."""

    name: str
    view: str
    """The materialized view that fills it."""
    values: tuple[str, ...]
    """Its columns as expressions over a row of the log, each under its own name."""
    condition: str
    """Which rows of the log it wants."""
    key: str
    """The columns that tell its rows apart."""
    nullable: frozenset[str]
    """Its columns of numbers that may be NULL."""
    definition: TableDefinition
    create_view: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns, in order."""
        return tuple(value.rpartition(" AS ")[2] for value in self.values)

    def beside(self, name: str, view: str) -> tuple[str, str]:
        """Return the statements that make the same table, and what fills it, under other names."""
        filled = self.create_view.replace(f"{{database}}.{self.view} TO", f"{{database}}.{view} TO")
        filled = filled.replace(f"TO {{database}}.{self.name}", f"TO {{database}}.{name}")
        # Whoever finds it there already is not the one who makes it.
        return self.definition.statement(name), filled.replace(" IF NOT EXISTS", "")


@cache
def derived_tables() -> tuple[DerivedTable, ...]:
    """Return all of them, as the migrations make them."""
    statements = [text for migration in migrations() for text in migration.statements]
    return tuple(_derived(view) for text in statements if (view := _VIEW.fullmatch(text)))


def _derived(view: re.Match[str]) -> DerivedTable:
    definition = table_definitions()[view["table"]]
    return DerivedTable(
        name=definition.name,
        view=view["view"],
        values=tuple(re.split(r",\s+", view["values"])),
        condition=view["condition"] or "true",
        key=definition.key,
        nullable=frozenset(
            column.name for column in definition.columns if column.type.startswith("Nullable(")
        ),
        definition=definition,
        create_view=view[0],
    )
