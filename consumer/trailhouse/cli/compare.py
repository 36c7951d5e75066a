"""`trailhouse compare`: two runs side by side."""

from collections.abc import Iterator
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
from trailhouse.cli.timeline import step_name

if TYPE_CHECKING:
    from trailhouse.query import Answer
    from trailhouse.query.steps.compare import AlignedStep, Comparison, RunSide
    from trailhouse.query.steps.timeline import Step

EXAMPLES = (
    "trailhouse compare airline-07-trial-0 airline-07-trial-1",
    "trailhouse compare run-1 run-1 --session-a monday --session-b tuesday",
    "trailhouse compare run-1 run-1 --tenant-a acme --tenant-b ''",
    "trailhouse compare run-1 run-2 --standing attested",
    "trailhouse compare run-1 run-2 --all --format json",
)
COLUMNS = ("#", "step", "differs", "a", "b")
RunArgument = Annotated[str, typer.Argument(metavar="RUN_A", help="A run.", show_default=False)]
OtherRunArgument = Annotated[
    str, typer.Argument(metavar="RUN_B", help="Another run.", show_default=False)
]
SessionOption = Annotated[
    str | None, typer.Option(help="The first run's session, where several have such a run.")
]
OtherSessionOption = Annotated[str | None, typer.Option(help="The second run's session, likewise.")]
RunTenantOption = Annotated[
    str | None,
    typer.Option(
        help="The first run's tenant, where several have such a run in that session; '' for the run without one."
    ),
]
OtherTenantOption = Annotated[str | None, typer.Option(help="The second run's tenant, likewise.")]


def compare(
    run_a: RunArgument,
    run_b: OtherRunArgument,
    session_a: SessionOption = None,
    session_b: OtherSessionOption = None,
    tenant_a: RunTenantOption = None,
    tenant_b: OtherTenantOption = None,
    standing: StandingOption = None,
    all: Annotated[
        bool, typer.Option("--all", help="Show the steps that are the same too.")
    ] = False,
    tenant: TenantOption = None,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """Lay two runs side by side: how each ended, what it cost, their steps aligned, and where they part.

    The exit code is 1 when one of the runs has no events: then there is nothing to lay beside the other.
    """
    from trailhouse.query import AuditReader

    with AuditReader(tenant) as reader:
        answer = reader.compare(
            run_a,
            run_b,
            session_a=session_a,
            session_b=session_b,
            tenant_a=tenant_a,
            tenant_b=tenant_b,
            standing=standing or None,
        )
    found = answer.value
    missing = [each.run_id for each in (found.a, found.b) if not each.events]
    if not missing or format is Format.JSON:
        _show(answer, format, is_all=all)
    for run in missing:
        tell(f"no events of run {run!r}; `trailhouse runs` lists runs")
    if missing:
        raise typer.Exit(1)


def _show(answer: "Answer[Comparison]", format: Format, *, is_all: bool) -> None:
    found = answer.value
    if not written(format, answer, items=found.steps):
        show_rows(("", "a", "b"), list(side_rows(found)))
        show_rows(COLUMNS, list(step_rows(found, is_all=is_all)))
    tell_whole(answer, len(found.steps), "step")
    _tell_difference(found)


def _tell_difference(found: "Comparison") -> None:
    tell(
        f"{found.same_steps} the same, {found.changed_steps} changed, {found.only_a} in a only,"
        f" {found.only_b} in b only"
    )
    if found.first_difference is not None:
        tell(f"first difference: step {found.first_difference + 1}")
    if found.first_other_action is not None:
        tell(f"first other action: step {found.first_other_action + 1}")


def side_rows(found: "Comparison") -> Iterator[tuple[str, str, str]]:
    """Yield what each run is, a fact a row."""
    yield from zip(_FACTS, _facts(found.a), _facts(found.b), strict=True)


_FACTS = (
    "session", "tenant", "run", "agent", "status", "error", "started", "took", "events", "steps", "tool calls",
    "failed steps", "open steps", "cost (increments)", "cost (totals)", "input tokens", "output tokens",
)  # fmt: skip


def _facts(side: "RunSide") -> tuple[str, ...]:
    steps = side.books.increments
    return (
        side.session_id or "",
        side.tenant_id or "",
        side.run_id,
        side.agent_id or "",
        side.status or "",
        side.error_code or "",
        time_cell(side.started_at),
        seconds(side.duration_seconds),
        *(
            str(n)
            for n in (side.events, side.steps, side.tool_calls, side.failed_steps, side.open_steps)
        ),
        dollars(steps.cost_usd),
        dollars(side.books.totals.cost_usd),
        cell(steps.input_tokens),
        cell(steps.output_tokens),
    )


def step_rows(found: "Comparison", *, is_all: bool) -> Iterator[tuple[str, ...]]:
    """Yield a row for each aligned step, numbered from 1; without *is_all* only where the runs differ."""
    for number, step in enumerate(found.steps, 1):
        if is_all or step.relation != "same":
            either = step.a or step.b
            name = step_name(either) if either else ""
            yield str(number), name, _relation(step), _side(step.a), _side(step.b)


def _relation(step: "AlignedStep") -> str:
    return (
        ", ".join(step.differs) if step.relation == "changed" else step.relation.replace("_", " ")
    )


_STATES = {"single": "there", "closed": "done"}


def _side(step: "Step | None") -> str:
    if step is None:
        return "–"
    parts = (
        step.outcome or _STATES.get(step.state, step.state),
        step.error_code,
        seconds(step.duration_seconds),
    )
    return " ".join(part for part in (*parts, dollars(step.cost_usd)) if part)
