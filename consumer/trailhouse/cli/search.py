"""`trailhouse search`: the events of all sessions, by field and by word."""

from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.asking import (
    CursorOption,
    FilterArgument,
    LimitOption,
    TenantOption,
    filter_of,
)
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.pages import show_page
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.times_and_offsets import SinceOption, UntilOption

if TYPE_CHECKING:
    from trailhouse.query.search.found import FoundEvent

EXAMPLES = (
    "trailhouse search 'type:run_failed agent:planner' --since yesterday",
    "trailhouse search 'type:(run_failed OR run_timeout) -tenant:test cost:>0.5 \"quota exceeded\"'",
    "trailhouse search 'actor:u-17' --oldest-first --format jsonl",
)
COLUMNS = ("time", "session", "type", "run", "agent", "what", "content", "event")
WORDS_ARE_OF_DATA = "words are looked for in `data` alone, ids by their fields, as session:ID; "


def search(
    filter: FilterArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    oldest_first: Annotated[
        bool,
        typer.Option("--oldest-first", help="From the first event on; else from now backwards."),
    ] = False,
    by_append: Annotated[
        bool,
        typer.Option(
            "--by-append", help="In the order in which Kafka took them, not of their clocks."
        ),
    ] = False,
    tenant: TenantOption = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """Search the events of all sessions, the newest first.

    A filter names fields: session, run, agent, type, tool, tool_call, model, provider, outcome, error, actor, tenant,
    cost, tokens, duration, standing and more: 'type:(a OR b)', '-agent:x' for not, 'cost:>0.5', and words or
    "a phrase" of an event's data. `trailhouse show EVENT` has one event whole. The exit code is 1 when nothing matches.
    """
    from trailhouse.query import AuditReader

    wanted = filter_of(filter, since, until, cursor)
    with AuditReader(tenant) as reader:
        page = reader.search(
            wanted,
            newest_first=not oldest_first,
            by="append" if by_append else "occurred",
            limit=limit,
            cursor=cursor,
        )
    hint = WORDS_ARE_OF_DATA if wanted.words else ""
    show_page(page, format, "event", COLUMNS, event_cells, (since, until), "content", hint)


def event_cells(found: "FoundEvent") -> tuple[str, ...]:
    """Return one event as a row of the table."""
    from trailhouse.cli.output.cells import time_cell
    from trailhouse.cli.output.event_summary import content, subject

    if found.event is not None:
        what, said = subject(found.event), content(found.event)
    elif found.problem is not None:
        what, said = "ALTERED", found.problem
    else:
        what = "TOO LARGE"
        said = f"{found.record_bytes} bytes, sha256 {found.record_sha256 or 'unknown'}"
    return (
        time_cell(found.occurred_at),
        found.session_id,
        found.type,
        found.run_id or "",
        found.agent_id or "",
        what,
        said,
        found.event_id or "",
    )
