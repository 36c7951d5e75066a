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
    erase,
    export,
    follow,
    hold,
    import_records,
    init,
    log,
    mcp,
    prove,
    rebuild,
    reconcile,
    redact,
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
    verify,
    version,
    witness,
    worker,
)
from trailhouse.cli.asking import FilterCommand
from trailhouse.cli.demo import command as demo
from trailhouse.cli.dev import dev_app
from trailhouse.cli.doctor import doctor_app
from trailhouse.cli.emit import command as emit
from trailhouse.cli.proof.app import proof_app
from trailhouse.cli.quarantine import quarantine_app
from trailhouse.cli.spool import spool_app
from trailhouse.cli.token import token_app

app = typer.Typer(
    name="trailhouse",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    epilog="\n\n".join(
        (
            "Examples:",
            "trailhouse demo",
            "trailhouse timeline SESSION  (what a session did)",
            "trailhouse runs --status failed --since yesterday  (which runs failed, and why)",
            "trailhouse usage agent:planner --since 7d  (what an agent cost)",
            "trailhouse approvals tool_call:CALL  (who approved a call)",
            "trailhouse compare RUN_A RUN_B  (how two runs differ)",
            "trailhouse search type:audit_read correlation:SESSION  (who read a session over HTTP or MCP)",
        )
    ),
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


ASK = "Ask the log"
RUN = "Run the pipeline"
OPERATE = "Check and mend"
DOORS = "Let others read"


def _add(
    function: Callable[..., None], examples: Sequence[str], panel: str, name: str | None = None
) -> None:
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    app.command(
        name,
        cls=FilterCommand if "filter" in inspect.signature(function).parameters else None,
        help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs),
        epilog="\n\n".join(["Examples:", *examples]),
        rich_help_panel=panel,
    )(function)


_add(log.log, log.EXAMPLES, ASK)
_add(search.search, search.EXAMPLES, ASK)
_add(show.show, show.EXAMPLES, ASK)
_add(sessions.sessions, sessions.EXAMPLES, ASK)
_add(runs.runs, runs.EXAMPLES, ASK)
_add(timeline.timeline, timeline.EXAMPLES, ASK)
_add(compare.compare, compare.EXAMPLES, ASK)
_add(usage.usage, usage.EXAMPLES, ASK)
_add(approvals.approvals, approvals.EXAMPLES, ASK)
_add(anomalies.anomalies, anomalies.EXAMPLES, ASK)
_add(sql.sql, sql.EXAMPLES, ASK)
_add(follow.follow, follow.EXAMPLES, ASK)
_add(export.export, export.EXAMPLES, ASK)
_add(prove.prove, prove.EXAMPLES, ASK)
_add(demo.demo, demo.EXAMPLES, RUN)
app.add_typer(dev_app, name="dev", rich_help_panel=RUN)
_add(init.init, init.EXAMPLES, RUN)
_add(emit.emit, emit.EXAMPLES, RUN)
_add(redact.redact, redact.EXAMPLES, RUN)
_add(import_records.import_records, import_records.EXAMPLES, RUN, "import")
app.add_typer(spool_app, name="spool", rich_help_panel=RUN)
_add(worker.worker, worker.EXAMPLES, RUN)
_add(status.status, status.EXAMPLES, RUN)
_add(version.version, version.EXAMPLES, RUN)
app.add_typer(doctor_app, name="doctor", rich_help_panel=OPERATE)
_add(erase.erase, erase.EXAMPLES, OPERATE)
_add(hold.hold, hold.EXAMPLES, OPERATE)
app.add_typer(proof_app, name="proof", rich_help_panel=OPERATE)
app.add_typer(quarantine_app, name="quarantine", rich_help_panel=OPERATE)
_add(replay.replay, replay.EXAMPLES, OPERATE)
_add(skip.skip, skip.EXAMPLES, OPERATE)
_add(reconcile.reconcile, reconcile.EXAMPLES, OPERATE)
_add(verify.verify, verify.EXAMPLES, OPERATE)
_add(witness.witness, witness.EXAMPLES, DOORS)
_add(rebuild.rebuild, rebuild.EXAMPLES, OPERATE)
_add(account.account, account.EXAMPLES, OPERATE)
_add(serve.serve, serve.EXAMPLES, DOORS)
_add(mcp.mcp, mcp.EXAMPLES, DOORS)
app.add_typer(token_app, name="token", rich_help_panel=DOORS)
