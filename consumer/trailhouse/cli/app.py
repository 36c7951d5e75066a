"""The Typer application: which commands there are. What they do stands in their own modules."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from trailhouse.cli import (
    account,
    anomalies,
    approvals,
    compare,
    init,
    log,
    mcp,
    rebuild,
    reconcile,
    replay,
    runs,
    search,
    serve,
    sessions,
    show,
    skip,
    sql,
    status,
    timeline,
    usage,
    version,
    worker,
)
from trailhouse.cli.demo import command as demo
from trailhouse.cli.dev import dev_app
from trailhouse.cli.emit import command as emit
from trailhouse.cli.quarantine import quarantine_app
from trailhouse.cli.spool import spool_app
from trailhouse.cli.token import token_app

app = typer.Typer(
    name="trailhouse",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    epilog="Example:\n\ntrailhouse demo",
)


@app.callback()
def root(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the traceback of a failure; any place will do.")
    ] = False,
    is_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    """The audit log of AI-agent runs: Kafka in, ClickHouse out."""
    # `main` has taken --verbose out before Typer sees it; it is declared for its help.
    if is_version:
        typer.echo(f"trailhouse {version.installed('trailhouse')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def _add(function: Callable[..., None], examples: Sequence[str]) -> None:
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    app.command(
        help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs),
        epilog="\n\n".join(["Examples:", *examples]),
    )(function)


_add(demo.demo, demo.EXAMPLES)
app.add_typer(dev_app, name="dev")
_add(init.init, init.EXAMPLES)
_add(emit.emit, emit.EXAMPLES)
app.add_typer(spool_app, name="spool")
_add(worker.worker, worker.EXAMPLES)
_add(log.log, log.EXAMPLES)
_add(search.search, search.EXAMPLES)
_add(show.show, show.EXAMPLES)
_add(sessions.sessions, sessions.EXAMPLES)
_add(runs.runs, runs.EXAMPLES)
_add(timeline.timeline, timeline.EXAMPLES)
_add(compare.compare, compare.EXAMPLES)
_add(usage.usage, usage.EXAMPLES)
_add(approvals.approvals, approvals.EXAMPLES)
_add(anomalies.anomalies, anomalies.EXAMPLES)
_add(sql.sql, sql.EXAMPLES)
_add(status.status, status.EXAMPLES)
app.add_typer(quarantine_app, name="quarantine")
_add(replay.replay, replay.EXAMPLES)
_add(skip.skip, skip.EXAMPLES)
_add(reconcile.reconcile, reconcile.EXAMPLES)
_add(rebuild.rebuild, rebuild.EXAMPLES)
_add(account.account, account.EXAMPLES)
_add(serve.serve, serve.EXAMPLES)
_add(mcp.mcp, mcp.EXAMPLES)
app.add_typer(token_app, name="token")
_add(version.version, version.EXAMPLES)
