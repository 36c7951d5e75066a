"""`trailhouse timeline`: what happened in a session or a run, step by step."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.asking import StandingOption, TenantOption
from trailhouse.cli.output.cells import cell, dollars, seconds, time_cell
from trailhouse.cli.output.console import tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.pages import show_rows
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.output.whole import tell_whole
from trailhouse.cli.output.written import written
from trailhouse.cli.times_and_offsets import SinceOption, UntilOption

if TYPE_CHECKING:
    from trailhouse.query.steps.timeline import Step, Timeline, TimelineRun

EXAMPLES = (
    "trailhouse timeline airline-07",
    "trailhouse timeline --run airline-07-trial-0",
    "trailhouse timeline airline-07 --since 2h --format json",
)
COLUMNS = ("time", "turn", "step", "outcome", "took", "tokens", "cost", "error")
_INDENT = "  "


def timeline(
    session: Annotated[
        str | None,
        typer.Argument(
            metavar="[SESSION]",
            help="The session; may be left out with --run where one session alone has the run.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Only this run, and the runs that it started.")
    ] = None,
    standing: StandingOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    tenant: TenantOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many events, from the start.")
    ] = None,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """Show a session or a run step by step: runs with those that they started, turns, calls with their ends.

    A call without an end is open, an end without a start an orphan. The exit code is 1 when there is no such
    session or run. `trailhouse log SESSION` shows every event as it is, `trailhouse compare` two runs side by side.
    """
    from trailhouse.query import AuditReader

    with AuditReader(tenant) as reader:
        ask = partial(reader.timeline, run_id=run, standing=standing or None)
        answer = ask(session, since=since, until=until, limit=limit)
    found = answer.value
    if not written(format, answer, items=found.runs):
        show_rows(COLUMNS, list(timeline_rows(found)))
    tell_whole(answer, found.events, "event")
    if not found.events:
        tell(
            "there is no such session or run; `trailhouse sessions` and `trailhouse runs` list them"
            + ("" if run else "; a run is named by --run")
        )
        raise typer.Exit(1)


def timeline_rows(found: "Timeline") -> Iterator[tuple[str, ...]]:
    """Yield a row for each run and, below it, one for each of its steps."""
    for run in found.runs:
        indent = _INDENT * run.depth
        if run.run_id is not None:
            yield _run_row(run, indent)
            indent += _INDENT
        for step in run.steps:
            yield _step_row(step, indent)


def _run_row(run: "TimelineRun", indent: str) -> tuple[str, ...]:
    agent = f" ({run.agent_id})" if run.agent_id else ""
    return (
        time_cell(run.started_at),
        "",
        f"{indent}run {run.run_id}{agent}",
        run.status or "",
        seconds(run.duration_seconds),
        "",
        dollars(run.books.increments.cost_usd),
        _error(run.error_code, run.error_message),
    )


def _step_row(step: "Step", indent: str) -> tuple[str, ...]:
    state = "" if step.state in ("single", "closed") else step.state
    tokens = (step.input_tokens, step.output_tokens)
    return (
        time_cell(step.occurred_at),
        cell(step.turn),
        indent + step_name(step),
        step.outcome or state,
        seconds(step.duration_seconds),
        "" if tokens == (None, None) else "→".join(cell(each) or "?" for each in tokens),
        dollars(step.cost_usd),
        _error(step.error_code, step.error_message),
    )


def step_name(step: "Step") -> str:
    """Return what a step is, as people say it: ``tool call search`` or the type of a single event."""
    is_call = step.kind in ("tool_call", "model_call", "approval")
    return f"{step.kind.replace('_', ' ')} {step.name}" if is_call else step.name


def _error(code: str | None, message: str | None) -> str:
    return ": ".join(part for part in (code, message) if part)
