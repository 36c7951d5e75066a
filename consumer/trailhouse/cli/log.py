"""`trailhouse log`: one session's audit log, in the order it was appended."""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.asking import StandingOption
from trailhouse.cli.output.console import say, tell, write_records
from trailhouse.cli.output.formats import Format, FormatOption, one_line
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.standing_column import with_standing
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.times_and_offsets import SINCE_HELP, UNTIL_HELP
from trailhouse.cli.times_and_offsets import since as since_of
from trailhouse.cli.times_and_offsets import until as until_of

if TYPE_CHECKING:
    from trailhouse.cli.nothing_found import Asked
    from trailhouse.query import AlteredEvent
    from trailhouse.schemas.event import AuditEvent

EXAMPLES = (
    "trailhouse log airline-07",
    "trailhouse log airline-07 --type tool_call_failed --type run_failed",
    "trailhouse log airline-07 --since yesterday --format jsonl > airline-07.jsonl",
)
SHOWN_ALTERED = 50


def log(
    session_id: Annotated[
        str, typer.Argument(metavar="SESSION_ID", help="The session.", show_default=False)
    ],
    run: Annotated[str | None, typer.Option(help="Only this run.")] = None,
    type: Annotated[
        list[str] | None, typer.Option(help="Only events of this type; may be repeated.")
    ] = None,
    standing: StandingOption = None,
    since: Annotated[
        dt.datetime | None, typer.Option(parser=since_of, metavar="TIME", help=SINCE_HELP)
    ] = None,
    until: Annotated[
        dt.datetime | None, typer.Option(parser=until_of, metavar="TIME", help=UNTIL_HELP)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many events, from the start.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """Print a session's audit log, in the order it was appended.

    A row that was altered in ClickHouse is marked, and is left out of the other formats. The exit
    code is 1 then, and when nothing matches; what there is instead is said.
    """
    from trailhouse.cli.nothing_found import Asked

    asked = Asked(run_id=run, types=tuple(type or ()), since=since, until=until)
    found, standings = _found(session_id, tenant, asked, standing, limit)
    _write(found, standings, format)
    if not found:
        raise typer.Exit(1)


def _found(
    session_id: str,
    tenant: str | None,
    asked: "Asked",
    standing: list[str] | None,
    limit: int | None,
) -> tuple[Sequence["AuditEvent | AlteredEvent"], list[str | None]]:
    """Return what was asked for, with its standings; where that is nothing, say what there is instead."""
    from trailhouse.query import AlteredEvent, AuditReader

    with AuditReader(tenant) as reader:
        found = reader.get_audit_log(
            session_id,
            run_id=asked.run_id,
            type=asked.types or None,
            standing=standing or None,
            since=asked.since,
            until=asked.until,
            limit=limit,
            on_altered="mark",
        )
        if not found:
            from trailhouse.cli.nothing_found import explanation

            # A second question, and only now: whoever finds something does not pay for it.
            for line in explanation(session_id, tenant, asked, reader.outline(session_id)):
                tell(line)
        events = [each for each in found if not isinstance(each, AlteredEvent)]
        known = iter(reader.standings(events))
        return found, [None if isinstance(each, AlteredEvent) else next(known) for each in found]


def _write(
    found: Sequence["AuditEvent | AlteredEvent"], standings: Sequence[str | None], format: Format
) -> None:
    """Write what was found, and name what was altered; exits with 1 if anything was."""
    from trailhouse.query import AlteredEvent

    events = [each for each in found if not isinstance(each, AlteredEvent)]
    match format:
        case Format.TABLE:
            _print_table(found, standings)
        case Format.JSON:
            write_records(b"[" + b",\n".join(event.record for event in events) + b"]\n")
        case Format.JSONL:
            _write_lines(events)
        case Format.CSV:
            from trailhouse.cli.output.csv_rows import csv_lines

            for line in csv_lines(events):
                say(line)
    _tell_altered([each for each in found if isinstance(each, AlteredEvent)])


def _tell_altered(altered: Sequence["AlteredEvent"]) -> None:
    """Name what was erased, and what was altered; exit with 1 if anything was altered."""
    erased = [each for each in altered if each.erased_by is not None]
    for each in erased[:SHOWN_ALTERED]:
        tell(f"erased: event {each.event_id}: {each.reason}")
    if len(erased) > SHOWN_ALTERED:
        tell(f"{counted(len(erased), 'event')} erased by an operator's order")
    altered = [each for each in altered if each.erased_by is None]
    for each in altered[:SHOWN_ALTERED]:
        tell(f"altered: event {each.event_id}: {each.reason}")
    if altered:
        tell(
            f"{counted(len(altered), 'row')} altered in ClickHouse; `trailhouse reconcile --deep` says more"
        )
        raise typer.Exit(1)


def _print_table(
    events: Sequence["AuditEvent | AlteredEvent"], standings: Sequence[str | None]
) -> None:
    from trailhouse.cli.output.console import results
    from trailhouse.cli.output.table import EVENT_COLUMNS, event_rows, print_table

    if events:
        columns, rows = with_standing(EVENT_COLUMNS, event_rows(events), standings, "content")
        print_table(results(), columns, rows)


def _write_lines(events: Sequence["AuditEvent"]) -> None:

    respelled = 0
    for event in events:
        line = one_line(event.record)
        respelled += line != event.record
        write_records(line + b"\n")
    if respelled:
        tell(f"records with line breaks between their values, here written as blanks: {respelled}")
