"""`trailhouse usage`: tokens and cost, by whom, what and when."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from trailhouse.cli.asking import FilterArgument, TenantOption, filter_of
from trailhouse.cli.output.cells import cell, dollars
from trailhouse.cli.output.console import tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.pages import show_rows
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.output.whole import tell_whole
from trailhouse.cli.output.written import written
from trailhouse.cli.times_and_offsets import SinceOption, UntilOption

if TYPE_CHECKING:
    from trailhouse.query.books import Books
    from trailhouse.query.runs.usage import UsageReport

EXAMPLES = (
    "trailhouse usage agent:planner --since 7d",
    "trailhouse usage --by agent --by day --since 2026-11-01 --until 2026-11-30 --zone Europe/Berlin",
    "trailhouse usage 'tenant:acme provider:openai' --by model --format csv",
)
_BOOKS = ("input", "output", "increments", "totals", "unpriced", "differ")
_FIELDS = {
    "actor": ("actor_type", "actor"), "hour": ("period_start",), "day": ("period_start",), "month": ("period_start",),
}  # fmt: skip


def usage(
    filter: FilterArgument = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Group by agent, provider, model, tenant, actor, hour, day or month; may be repeated."
        ),
    ] = None,
    zone: Annotated[
        str, typer.Option(help="The time zone of hours, days and months, such as Europe/Berlin.")
    ] = "UTC",
    since: SinceOption = None,
    until: UntilOption = None,
    tenant: TenantOption = None,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """Sum tokens and cost by both books, which are never added: increments, step by step, and totals of runs.

    Where the books differ, that is said; events that name no price are counted as unpriced. Costs are exact US
    dollars. The exit code is 1 when no event carries tokens or a cost.
    """
    from trailhouse.query import AuditReader

    keys = tuple(by or ())
    with AuditReader(tenant) as reader:
        answer = reader.usage(filter_of(filter, since, until), by=keys, zone=zone)  # type: ignore[arg-type]  # as of `by`
    report = answer.value
    if not written(format, answer, items=report.groups):
        _print(report, keys)
    tell_whole(answer, len(report.groups), "group")
    if report.total.differ:
        tell("the books differ: runs say something else at their end than their steps add up to")
    if not (report.total.increments.events or report.total.totals.events):
        tell("no event carries tokens or a cost")
        raise typer.Exit(1)


def _print(report: "UsageReport", keys: tuple[str, ...]) -> None:
    fields = [field for key in keys for field in _FIELDS.get(key, (key,))]
    columns = [*(key for key in keys for _ in _FIELDS.get(key, (key,))), *_BOOKS]
    columns = [
        "actor type" if fields[i : i + 1] == ["actor_type"] else c for i, c in enumerate(columns)
    ]
    rows = [
        (*(_group_cell(each.group, field, keys) for field in fields), *_book_cells(each.books))
        for each in report.groups
    ]
    if keys:
        rows.append(("total", *[""] * (len(fields) - 1), *_book_cells(report.total)))
    show_rows(columns, rows)


def _group_cell(group: Any, field: str, keys: tuple[str, ...]) -> str:
    value = getattr(group, field)
    if field != "period_start" or value is None:
        return cell(value)
    # In the zone that was asked for; an hour names it, since one comes twice when clocks go back.
    form = "%Y-%m" if "month" in keys else "%Y-%m-%d" if "day" in keys else "%Y-%m-%d %H:%M%z"
    return str(value.strftime(form))


def _book_cells(books: "Books") -> tuple[str, ...]:
    steps = books.increments
    return (
        cell(steps.input_tokens),
        cell(steps.output_tokens),
        dollars(steps.cost_usd),
        dollars(books.totals.cost_usd),
        str(steps.unpriced_events + books.totals.unpriced_events),
        "yes" if books.differ else "",
    )
