"""`trailhouse sessions`: the sessions that events were appended to last."""

import datetime as dt
from typing import Annotated

import typer

from trailhouse.cli.output.console import tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.output.written import written
from trailhouse.cli.times_and_offsets import SINCE_HELP
from trailhouse.cli.times_and_offsets import since as since_of

EXAMPLES = ("trailhouse sessions", "trailhouse sessions --since 24h --tenant acme --format json")
COLUMNS = ("session", "events", "appended", "type")


def sessions(
    since: Annotated[
        dt.datetime | None, typer.Option(parser=since_of, metavar="TIME", help=SINCE_HELP)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many sessions.")] = 20,
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """List the sessions that events were appended to last, the latest first.

    The type is that of a session's last event. The exit code is 1 when there is no session.
    """
    from trailhouse.query import AuditReader

    with AuditReader(tenant) as reader:
        found = reader.recent_sessions(since=since, limit=limit)
    if not written(format, found) and found:
        from trailhouse.cli.output.console import results
        from trailhouse.cli.output.table import print_table
        from trailhouse.schemas.json_form import rfc3339

        rows = [
            (each.session_id, str(each.events), rfc3339(each.last_appended_at), each.last_type)
            for each in found
        ]
        print_table(results(), COLUMNS, rows)
    if not found:
        tell(f"no events{_wanted(tenant, since)}; `trailhouse status` says how far the worker is")
        raise typer.Exit(1)


def _wanted(tenant: str | None, since: dt.datetime | None) -> str:
    from trailhouse.schemas.json_form import rfc3339

    whose = "" if tenant is None else f" for tenant {tenant!r}"
    return whose + ("" if since is None else f" appended since {rfc3339(since.astimezone(dt.UTC))}")
