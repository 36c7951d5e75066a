"""`trailhouse sessions`: how sessions stand, what ran in them, and what they cost."""

from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.asking import (
    CursorOption,
    FilterArgument,
    LimitOption,
    TenantOption,
    filter_of,
)
from trailhouse.cli.output.cells import dollars, time_cell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.pages import show_page
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.times_and_offsets import SinceOption, UntilOption

if TYPE_CHECKING:
    from trailhouse.query.runs.sessions import SessionSummary

EXAMPLES = (
    "trailhouse sessions",
    "trailhouse sessions 'agent:planner outcome:failed' --since 24h --tenant acme",
    "trailhouse sessions --status failed --format json",
)
COLUMNS = (
    "started", "session", "status", "last", "events", "runs", "failed", "agents", "increments", "totals",
)  # fmt: skip


def sessions(
    filter: FilterArgument = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            help="Only sessions whose last session event says so: completed, failed, …; may be repeated."
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    tenant: TenantOption = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """List sessions, the one that started last first: their runs, their agents, and what they cost.

    A session is found by any of its events; --since and --until are of its start. Costs stand in two books, which
    are never added. `trailhouse timeline SESSION` shows one step by step, `trailhouse log SESSION` every event.
    The exit code is 1 when there is none.
    """
    from trailhouse.query import AuditReader

    with AuditReader(tenant) as reader:
        page = reader.sessions(
            filter_of(filter, since, until, cursor),
            status=tuple(status or ()),  # type: ignore[arg-type]  # any word: a wrong one is told what is allowed
            cursor=cursor,
            limit=limit,
        )
    show_page(page, format, "session", COLUMNS, session_cells, (since, until))


def session_cells(session: "SessionSummary") -> tuple[str, ...]:
    """Return one session as a row of the table."""
    return (
        time_cell(session.started_at),
        session.session_id,
        session.status or "",
        time_cell(session.last_event_at),
        str(session.events),
        str(session.runs),
        str(session.runs_by_status.get("failed", 0)),
        ", ".join(session.agents),
        dollars(session.books.increments.cost_usd),
        dollars(session.books.totals.cost_usd),
    )
