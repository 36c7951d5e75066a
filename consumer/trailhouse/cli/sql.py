"""`trailhouse sql`: one SELECT on the views, checked before it is sent."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trailhouse.cli.asking import LimitOption, TenantOption
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.output.whole import tell_whole
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.query import SqlAnswer

EXAMPLES = (
    "trailhouse sql \"SELECT agent_id, count() FROM runs WHERE status = 'failed' GROUP BY agent_id\"",
    "trailhouse sql 'SELECT * FROM approvals WHERE ran_ungranted ORDER BY requested_at DESC' --format csv",
    "trailhouse sql - --tenant acme < question.sql",
)
MAX_INPUT_CHARACTERS = 100_000
LONGEST_FAREWELL_SECONDS = 1.0
"""For the broker to take what was written down; later it goes from the spool."""


def sql(
    statement: Annotated[
        str,
        typer.Argument(
            metavar="SELECT", help="The statement; - for standard input.", show_default=False
        ),
    ],
    limit: LimitOption = 1_000,
    tenant: TenantOption = None,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """Run one SELECT on the views: events, runs, sessions, token_usage, tool_calls, approvals.

    It is checked before it is sent: other tables, functions that are not listed, settings and formats are refused,
    with the place. `SELECT * FROM runs LIMIT 1` shows the columns of a view. With --tenant it sees the rows of
    that tenant alone. That it was asked is itself an event, `audit_read`. The exit code is 1 when nothing is found.
    """
    text = sys.stdin.read(MAX_INPUT_CHARACTERS) if statement == "-" else statement
    found = _audited(text, limit, tenant)
    if not written(format, found, items=_objects(found)):
        _print(found)
    tell_whole(found, len(found.rows), "row")
    if not found.rows:
        raise typer.Exit(1)


def _audited(statement: str, limit: int, tenant: str | None) -> "SqlAnswer":
    """Return what the statement finds, once it is written down who asked it."""
    from trailhouse.access.principal import this_user
    from trailhouse.access.read_audit import open_read_audit
    from trailhouse.access.reading import Reading
    from trailhouse.query import AuditReader

    audit = open_read_audit("sql")
    try:
        asked = {"statement": statement, "limit": limit}
        reading = Reading(audit, this_user(tenant), "sql", asked)
        with reading.noted_if_it_fails(), AuditReader(tenant) as reader:
            found = reader.sql(statement, limit=limit)
            reading.note(len(found.rows), complete=found.complete)
        return found
    finally:
        audit.close(LONGEST_FAREWELL_SECONDS)


def _objects(found: "SqlAnswer") -> list[dict[str, Any]]:
    """Return each row by column; of two columns of one name the second gets its place behind it."""
    names: list[str] = []
    for place, name in enumerate(found.columns, 1):
        names.append(f"{name}_{place}" if name in names else name)
    return [dict(zip(names, row, strict=True)) for row in found.rows]


def _print(found: "SqlAnswer") -> None:
    from trailhouse.cli.output.cells import cell
    from trailhouse.cli.output.console import results
    from trailhouse.cli.output.table import print_table

    if found.rows:
        # A name may come twice, and a table's columns are told apart by theirs.
        columns = list(_objects(found)[0])
        print_table(results(), columns, [tuple(map(cell, row)) for row in found.rows])
