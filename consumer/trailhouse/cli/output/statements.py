"""The option `--show-sql`: each statement on standard error as it is sent, its values apart."""

import textwrap
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from trailhouse.cli.output.console import tell

SHOWN_CHARACTERS = 2_000
"""Of one value: a list of keys can be long, and says little."""


def _begin(value: bool) -> bool:
    if value:
        from trailhouse.store.watched_statements import watch_statements

        watch_statements(tell_statement)
    return value


ShowSqlOption = Annotated[
    bool,
    typer.Option(
        "--show-sql",
        callback=_begin,
        help="Show what is asked of ClickHouse on standard error, the values apart.",
    ),
]


def tell_statement(sql: str, parameters: Mapping[str, Any]) -> None:
    """Print a statement as ClickHouse gets it, ``{name:Type}`` for each value, and the values as remarks."""
    # Whether the database is one that we know is asked before the first question, and is no part of it.
    if "schema_migrations" in sql:
        return
    for line in textwrap.dedent(sql).strip().splitlines():
        tell(line.rstrip())
    for name, value in parameters.items():
        shown = ascii(value) if isinstance(value, (bytes, bytearray)) else repr(value)
        cut = "…" if len(shown) > SHOWN_CHARACTERS else ""
        tell(f"-- {name} = {shown[:SHOWN_CHARACTERS]}{cut}")
    tell("")
