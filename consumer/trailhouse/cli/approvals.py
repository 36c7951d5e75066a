"""`trailhouse approvals`: what was asked before tools ran, who answered, and whether the call ran anyway."""

from typing import TYPE_CHECKING

import typer

from trailhouse.cli.asking import FilterArgument, LimitOption, TenantOption, filter_of
from trailhouse.cli.output.cells import seconds, time_cell
from trailhouse.cli.output.console import tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.pages import show_rows
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.standing_column import with_standing
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.output.whole import tell_whole
from trailhouse.cli.output.written import written
from trailhouse.cli.times_and_offsets import SinceOption, UntilOption

if TYPE_CHECKING:
    from trailhouse.query.steps.approvals import Approval, UnaskedCall

EXAMPLES = (
    "trailhouse approvals tool_call:call-17",
    "trailhouse approvals 'session:airline-07' --since 7d",
    "trailhouse approvals 'tool:refund outcome:denied' --format csv",
)
COLUMNS = ("time", "session", "run", "tool", "call", "status", "by", "after", "ran", "reason")


def approvals(
    filter: FilterArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    tenant: TenantOption = None,
    limit: LimitOption = 50,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """List approvals, the latest first: which call, who granted or denied it, how quickly, and whether it ran.

    Calls that ran although they were not granted are marked, and so are calls that nobody was asked about while
    others of that tool were. The exit code is 1 when there is none.
    """
    from trailhouse.query import AuditReader

    with AuditReader(tenant) as reader:
        answer = reader.approvals(filter_of(filter, since, until), limit=limit)
    report = answer.value
    if not written(format, answer, items=report.approvals):
        rows = [*map(approval_cells, report.approvals), *map(unasked_cells, report.unasked)]
        columns, rows = with_standing(
            COLUMNS, rows, [each.standing for each in report.approvals], "reason"
        )
        show_rows(columns, rows)
    tell_whole(answer, len(report.approvals), "approval")
    if report.unasked:
        tell(
            f"{counted(len(report.unasked), 'call')} of such tools ran without anybody being asked"
        )
    if ungranted := sum(each.ran_ungranted for each in report.approvals):
        tell(
            f"{counted(ungranted, 'call')} ran without being granted by then: denied, not answered,"
            " or answered too late"
        )
    if doubtful := sum(each.standing not in (None, "attested") for each in report.approvals):
        tell(
            f"{counted(doubtful, 'approval')} not attested; 'standing:attested' leaves strangers out"
        )
    if not (report.approvals or report.unasked):
        raise typer.Exit(1)


def approval_cells(found: "Approval") -> tuple[str, ...]:
    """Return one approval as a row of the table."""
    ran = "no" if found.called_at is None else "UNGRANTED" if found.ran_ungranted else "yes"
    by = ":".join(part for part in (found.answered_by_type, found.answered_by) if part)
    return (
        time_cell(found.requested_at or found.answered_at),
        found.session_id,
        found.run_id or "",
        found.tool_name or "",
        found.tool_call_id or "",
        found.status,
        by,
        seconds(found.answer_seconds),
        ran,
        found.reason or "",
    )


def unasked_cells(found: "UnaskedCall") -> tuple[str, ...]:
    """Return a call that nobody was asked about as a row of the same table."""
    return (
        time_cell(found.called_at),
        found.session_id,
        found.run_id or "",
        found.tool_name,
        found.tool_call_id or "",
        "not asked",
        "",
        "",
        "UNASKED",
        "",
    )
