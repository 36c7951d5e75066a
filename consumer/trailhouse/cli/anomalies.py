"""`trailhouse anomalies`: what does not fit in the log."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.asking import FilterArgument, LimitOption, TenantOption, filter_of
from trailhouse.cli.output.cells import seconds, time_cell
from trailhouse.cli.output.console import tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.pages import show_rows
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.output.whole import tell_whole
from trailhouse.cli.output.written import written
from trailhouse.cli.times_and_offsets import SinceOption, UntilOption

if TYPE_CHECKING:
    from trailhouse.query.steps.anomalies import Anomaly, AnomalyReport

EXAMPLES = (
    "trailhouse anomalies --since 7d",
    "trailhouse anomalies agent:planner --idle-seconds 600",
    "trailhouse anomalies --tenant acme --format csv > anomalies.csv",
)
COLUMNS = ("last", "kind", "session", "run", "count", "took", "what")


def anomalies(
    filter: FilterArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    idle_seconds: Annotated[
        float | None,
        typer.Option(
            help="A run or a call without an end, of which nothing came for so long: 3600."
        ),
    ] = None,
    late_seconds: Annotated[
        float | None, typer.Option(help="An event that Kafka took so long after it happened: 300.")
    ] = None,
    tenant: TenantOption = None,
    limit: LimitOption = 20,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """Name what does not fit: no end, missing numbers, clocks that lie apart, late arrivals, conflicts.

    All are counted; of each kind the latest are shown. The exit code is 1 when there is any.
    """
    from trailhouse.query import AuditReader
    from trailhouse.query.steps.anomalies import AnomalyThresholds

    given = {"idle_seconds": idle_seconds, "late_seconds": late_seconds}
    thresholds = AnomalyThresholds(
        **{name: value for name, value in given.items() if value is not None}
    )
    with AuditReader(tenant) as reader:
        answer = reader.anomalies(
            filter_of(filter, since, until), thresholds=thresholds, limit=limit
        )
    report = answer.value
    if not written(format, answer, items=report.anomalies):
        show_rows(COLUMNS, [anomaly_cells(each, report.looked_at) for each in report.anomalies])
    tell_whole(answer, len(report.anomalies), "example")
    _tell_counts(report)
    if any(report.counts.values()):
        raise typer.Exit(1)


def _tell_counts(report: "AnomalyReport") -> None:
    counts = ", ".join(f"{kind} {count}" for kind, count in report.counts.items())
    tell(f"counted: {counts or 'nothing was looked for'}")


def anomaly_cells(found: "Anomaly", looked_at: dt.datetime) -> tuple[str, ...]:
    """Return one anomaly as a row of the table; *looked_at* is when all of them were looked for."""
    off = found.seconds
    if found.kind == "run_without_end" and found.last_at is not None:
        off = (looked_at - found.last_at).total_seconds()
    numbers = (
        f"numbers {found.first_seq} to {found.last_seq}" if found.first_seq is not None else ""
    )
    named = (
        ("agent", found.agent_id),
        ("tool", found.tool_name),
        ("call", found.tool_call_id),
        ("event", found.event_id),
        ("producer", found.producer_id),
    )
    return (
        time_cell(found.last_at),
        found.kind,
        found.session_id or "",
        found.run_id or "",
        str(found.count),
        seconds(off),
        " ".join([*(f"{name} {value}" for name, value in named if value), numbers]).strip(),
    )
