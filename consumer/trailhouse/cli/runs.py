"""`trailhouse runs`: how runs ended, what they did, and what they cost."""

from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.asking import (
    CursorOption,
    FilterArgument,
    LimitOption,
    TenantOption,
    filter_of,
)
from trailhouse.cli.output.cells import dollars, seconds, time_cell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.pages import show_page
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.times_and_offsets import SinceOption, UntilOption

if TYPE_CHECKING:
    from trailhouse.query.runs.runs import RunSummary

EXAMPLES = (
    "trailhouse runs --status failed --status timeout --since yesterday --until yesterday",
    "trailhouse runs 'agent:planner cost:>0.5' --since 7d",
    "trailhouse runs 'tool:refund -actor:u-17' --format csv > runs.csv",
)
COLUMNS = (
    "started", "session", "run", "agent", "status", "error", "took", "events", "tools", "increments", "totals",
)  # fmt: skip


def runs(
    filter: FilterArgument = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            help="Only runs that are running, completed, failed, cancelled, timeout or abandoned; may be repeated."
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    tenant: TenantOption = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """List runs, the one that started last first: how each ended and why, what it did, what it cost.

    A run is found by any of its events; --since and --until are of its start. Costs stand in two books, which are
    never added: increments, step by step, and totals, what the run itself said at its end.
    `trailhouse timeline --run RUN` shows one step by step. The exit code is 1 when there is none.
    """
    from trailhouse.query import AuditReader

    with AuditReader(tenant) as reader:
        page = reader.runs(
            filter_of(filter, since, until, cursor),
            status=tuple(status or ()),  # type: ignore[arg-type]  # any word: a wrong one is told what is allowed
            cursor=cursor,
            limit=limit,
        )
    show_page(page, format, "run", COLUMNS, run_cells, (since, until))


def run_cells(run: "RunSummary") -> tuple[str, ...]:
    """Return one run as a row of the table."""
    return (
        time_cell(run.started_at),
        run.session_id,
        run.run_id,
        run.agent_id or "",
        run.status,
        run.ending_error_code or ", ".join(code for code in run.errors if code),
        seconds(run.duration_seconds),
        str(run.events),
        str(run.tool_calls),
        dollars(run.books.increments.cost_usd),
        dollars(run.books.totals.cost_usd),
    )
