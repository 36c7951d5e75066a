"""`trailhouse doctor`: what is not as it should be, and the way out of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.capture.doctor import CaptureReport

_EXAMPLES = (
    "Examples:\n\ntrailhouse doctor capture\n\ntrailhouse doctor capture -- python app.py\n\n"
    "trailhouse doctor capture --import app.agents --format json"
)
_COLUMNS = ("framework", "package", "version", "tried with", "imported", "recorded by")

doctor_app = typer.Typer(
    no_args_is_help=True, help="Find what is not as it should be.", epilog=_EXAMPLES
)


@doctor_app.callback()
def _doctor() -> None:
    """Find what is not as it should be."""


@doctor_app.command(epilog=_EXAMPLES)
def capture(
    program: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- PROGRAM",
            help="Run this, a Python program with its arguments, and say what of its agents was recorded.",
            show_default=False,
        ),
    ] = None,
    module: Annotated[
        str | None,
        typer.Option("--import", help="Import this, and say what of its agents would be recorded."),
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Print which agent frameworks are installed, what records their runs, and what nobody sees.

    Without a program it looks at this environment: versions, and variables that switch tracing off. With one it looks
    at that process as it ends: frameworks without an adapter, spans that are sampled away, runs without a session.
    Within an application, `trailhouse.capture.doctor.report()` says the same. The exit code is 1 when something that
    agents do is not recorded as it should be, or when the program wrote no report.
    """
    from trailhouse.capture.doctor import report
    from trailhouse.cli.examined import examined

    if program and module:
        raise typer.BadParameter("give --import or a program, not both")
    words = ["python", "--import", module] if module else program
    found = examined(words) if words else report(is_application=False)
    if not written(format, found, found.findings):
        _print(found)
    if found.has_problems:
        raise typer.Exit(1)


def _print(found: "CaptureReport") -> None:
    from trailhouse.cli.output.console import results
    from trailhouse.cli.output.table import print_table

    rows = [
        (
            each.name,
            each.distribution,
            each.version or "",
            "" if each.tried == each.version else each.tried,
            "" if each.imported is None else "yes" if each.imported else "no",
            " and ".join(each.recorded_by),
        )
        for each in found.frameworks
    ]
    if rows:
        print_table(results(), _COLUMNS, rows)
    else:
        say("no agent framework is installed here")
    for finding in found.findings:
        say(f"{finding.severity:<8} {finding.kind}: {finding.text}")
        say(f"         {finding.way_out}")
    if not found.findings:
        tell("nothing is wrong")
