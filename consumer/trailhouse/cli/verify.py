"""`trailhouse verify`: hold what is stored against what was signed, and say so duty by duty."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import say, tell, tell_step
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.written import written
from trailhouse.cli.times_and_offsets import EXAMPLES as TIMES
from trailhouse.cli.times_and_offsets import since as since_of
from trailhouse.cli.times_and_offsets import until as until_of

if TYPE_CHECKING:
    from trailhouse.operate.verify.report import DutyReport, Report
    from trailhouse.operate.verify.scope import Scope

EXAMPLES = (
    "trailhouse verify",
    "trailhouse verify --session airline-07",
    "trailhouse verify --from yesterday --quick",
    "trailhouse verify --incremental --metrics /var/lib/node_exporter/trailhouse.prom",
    "trailhouse verify --jobs 16",
    "trailhouse verify --anchors folder:/mnt/auditor --format json",
)
SHOWN = 50
FOUND, COULD_NOT_CHECK = 1, 2
_MARKS = {"intact": "ok", "found": "FOUND", "could_not_check": "?", "left_out": "-"}


def verify(
    session: Annotated[str | None, typer.Option(help="Only the rows of this session.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only the rows of this tenant.")] = None,
    since: Annotated[
        dt.datetime | None,
        typer.Option(
            "--from",
            parser=since_of,
            metavar="TIME",
            help=f"Only what Kafka took then or later: {TIMES}.",
        ),
    ] = None,
    until: Annotated[
        dt.datetime | None,
        typer.Option(
            "--to", parser=until_of, metavar="TIME", help="Only what it took until then, likewise."
        ),
    ] = None,
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental", help="Only what is new since the last run that found nothing."
        ),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where such runs keep what they have seen: the auditor's own file, not on ClickHouse's machine.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Let ClickHouse hash the records, and trust it to do so."),
    ] = False,
    anchors: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="Where anchors are kept outside: `folder:`, `git:`, `kafka:` or `s3:` and a place (docs/anchors.md).",
        ),
    ] = "",
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="NUMBER",
            help="In how many processes records are hashed and held against their columns, 150 MB each;"
            " one fewer than there are processors, and 4 at most, if not given; 1 is this one alone.",
        ),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the verdict for Prometheus' node_exporter, to alert on it."
        ),
    ] = None,
    event: Annotated[
        bool, typer.Option("--event/--no-event", help="Log the run as an event `audit_verified`.")
    ] = True,
    without: Annotated[
        list[str] | None, typer.Option(hidden=True, help="Leave out the duty of this name.")
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Find what was changed, added or taken away since it was signed, by the keys of the pinned owner.

    The exit code is 0 where all is intact, 1 where something is found, and 2 where it could not be
    checked: ClickHouse is away, no owner is pinned, nothing is signed, or there is nothing to verify.
    Nothing is changed, and workers may run meanwhile.
    """
    from trailhouse.operate.verify.scope import Scope

    scope = Scope(session_id=session, tenant_id=tenant, since=since, until=until)
    if session is not None and tenant is not None:
        raise typer.BadParameter("--session and --tenant: a session has one tenant, give either")
    if incremental and not scope.is_all:
        raise typer.BadParameter(
            "--incremental looks at all that is new: leave out what narrows it"
        )
    path = (state or _state_file()) if incremental else None
    report = _verified(scope, path, anchors, without or [], jobs, is_quick=quick)
    if event:
        _log_event(report)
    if not written(format, report):
        print_report(report)
    are_metrics_written = metrics is None or _wrote_metrics(metrics, report)
    if report.verdict == "found":
        raise typer.Exit(FOUND)
    if report.verdict != "intact" or not are_metrics_written:
        raise typer.Exit(COULD_NOT_CHECK)


def _verified(
    scope: "Scope",
    path: Path | None,
    anchors: str,
    without: list[str],
    jobs: int | None,
    *,
    is_quick: bool,
) -> "Report":
    from trailhouse.operate.verify.rows.processes import usual_jobs
    from trailhouse.operate.verify.state import read_state, write_state
    from trailhouse.operate.verify.verifying import verify as run
    from trailhouse.proof.config import ProofConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig

    with ClickHouse(ClickHouseConfig()) as clickhouse:
        report = run(
            clickhouse,
            proof=ProofConfig(),
            scope=scope,
            quick=is_quick,
            anchors=anchors,
            without=frozenset(without),
            since=read_state(path) if path else None,
            jobs=jobs or usual_jobs(),
            tell=tell_step,
        )
    if path is not None and report.verdict == "intact":
        write_state(path, report.kept)
    return report


def _state_file() -> Path:
    import os

    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    path = (Path(state).expanduser() / "trailhouse" / "verified.json").absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _wrote_metrics(path: Path, report: "Report") -> bool:
    """Write them, and tell whether that was possible: where it was not, a finding is still a finding."""
    from trailhouse.operate.verify.metrics_text import write_metrics
    from trailhouse.schemas.errors import ConfigError

    try:
        write_metrics(path, report, dt.datetime.now(dt.UTC))
    except ConfigError as error:
        tell(f"error: {error}")
        return False
    return True


def _log_event(report: "Report") -> None:
    """Write the run down; where that fails it is told, and the verdict stands."""
    from trailhouse.cli.verified_event import log_verified
    from trailhouse.schemas.errors import TrailhouseError

    try:
        log_verified(report)
    except (TrailhouseError, ImportError) as error:
        tell(f"warning: the run could not be logged as an event: {error}")


def print_report(report: "Report") -> None:
    """Print *report* for people: a line a duty, then what was found, and the verdict last."""
    from trailhouse.cli.proof.policy_words import accepted_words

    for duty in report.duties:
        say(_line(duty))
        for reason in duty.reasons if duty.verdict != "left_out" else ():
            say(f"          could not check: {reason}")
        for trusted in duty.trusts:
            say(f"          trusts: {trusted}")
        for accepted in duty.accepted:
            say(f"          accepted: {accepted_words(accepted)}")
    findings = report.findings
    for finding in findings[:SHOWN]:
        say("")
        say(f"{finding.duty}: {finding.kind}: {str(finding.place) or 'the log'} ({finding.count})")
        say(f"    {finding.meaning}")
        say(f"    way out: {finding.way_out}")
    if len(findings) > SHOWN:
        say(f"… and {len(findings) - SHOWN} more; --format json has them all")
    say("")
    say(_verdict(report))


def _line(duty: "DutyReport") -> str:
    amount = f"{duty.checked:,} {duty.unit}".strip() if duty.unit else ""
    if duty.verdict == "left_out":
        amount = duty.reasons[0] if duty.reasons else "left out"
    elif duty.verdict == "found":
        amount += f", {counted(len(duty.findings), 'finding')}"
    mark = _MARKS[str(duty.verdict)]
    return (
        f"{mark:>5} {duty.number:>3} {duty.name:<11} {duty.holds}: {amount} ({duty.seconds:.1f} s)"
    )


def _verdict(report: "Report") -> str:
    seconds = f"{report.seconds:.1f} s"
    match str(report.verdict):
        case "intact":
            logs, leaves = counted(len(report.sizes), "log"), sum(report.sizes.values())
            return f"intact: {report.scope}; {logs} of {leaves:,} offsets as signed ({seconds})"
        case "found":
            return (
                f"found: {counted(len(report.findings), 'finding')} in {report.scope} ({seconds})"
            )
        case _:
            return f"could not check {report.scope}: nothing was found, and not all could be looked at ({seconds})"
