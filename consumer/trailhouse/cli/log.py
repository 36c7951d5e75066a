"""`trailhouse log`: one session's audit log, in the order it was appended."""

import datetime as dt
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trailhouse.query import AlteredEvent
    from trailhouse.schemas.event import AuditEvent

EXAMPLES = (
    "trailhouse log airline-07",
    "trailhouse log airline-07 --type tool_call_failed --type run_failed",
    "trailhouse log airline-07 --since 2026-01-31T08:00:00Z --format jsonl > airline-07.jsonl",
)
SHOWN_ALTERED = 50


class Format(StrEnum):
    """How the events are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


def moment(text: str) -> dt.datetime:
    """Return the time that *text* names; one without a time zone is wrong use."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no RFC 3339 time such as 2026-01-31T08:00:00Z"
        ) from None
    if found.utcoffset() is None:
        raise typer.BadParameter(f"{text!r} has no time zone; write 2026-01-31T08:00:00Z")
    return found


def log(
    session_id: Annotated[str, typer.Argument(help="The session.", show_default=False)],
    run_id: Annotated[str | None, typer.Option(help="Only this run.")] = None,
    type: Annotated[
        list[str] | None, typer.Option(help="Only events of this type; may be repeated.")
    ] = None,
    since: Annotated[
        dt.datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="Not before this time, RFC 3339."),
    ] = None,
    until: Annotated[
        dt.datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="Not after this time, RFC 3339."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many events, from the begin.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    format: Annotated[
        Format,
        typer.Option(help="A table; one JSON array; or the exact records, one a line."),
    ] = Format.TABLE,
) -> None:
    """Print a session's audit log, in the order it was appended.

    A row that was altered in ClickHouse is marked, and is no record in the other formats; the exit
    code is 1 then.
    """
    from trailhouse.query import AlteredEvent, AuditReader

    with AuditReader(tenant) as reader:
        found = reader.get_audit_log(
            session_id,
            run_id=run_id,
            type=type or None,
            since=since,
            until=until,
            limit=limit,
            on_altered="mark",
        )
    if not found:
        sys.stderr.write(f"no events for session {session_id!r}\n")
    events = [each for each in found if not isinstance(each, AlteredEvent)]
    match format:
        case Format.TABLE:
            _print_table(found)
        case Format.JSON:
            _write_array(events)
        case Format.JSONL:
            _write_lines(events)
    _tell_altered([each for each in found if isinstance(each, AlteredEvent)])


def _tell_altered(altered: Sequence["AlteredEvent"]) -> None:
    """Name what was altered, and exit with 1 if anything was."""
    from trailhouse.cli.printable import counted, printable

    for each in altered[:SHOWN_ALTERED]:
        sys.stderr.write(printable(f"altered: event {each.event_id}: {each.reason}") + "\n")
    if altered:
        sys.stderr.write(
            f"{counted(len(altered), 'row')} altered in ClickHouse; `trailhouse reconcile --deep` says more\n"
        )
        raise typer.Exit(1)


def _print_table(events: Sequence["AuditEvent | AlteredEvent"]) -> None:
    from trailhouse.cli.console import results
    from trailhouse.cli.table import EVENT_COLUMNS, event_rows, print_table

    if events:
        print_table(results(), EVENT_COLUMNS, event_rows(events))


def _write_array(events: Sequence["AuditEvent"]) -> None:
    sys.stdout.buffer.write(b"[" + b",\n".join(event.record for event in events) + b"]\n")


def _write_lines(events: Sequence["AuditEvent"]) -> None:
    from trailhouse.cli.lines import one_line

    respelled = 0
    for event in events:
        line = one_line(event.record)
        respelled += line != event.record
        sys.stdout.buffer.write(line + b"\n")
    if respelled:
        sys.stderr.write(
            f"records with line breaks between their values, here written as blanks: {respelled}\n"
        )
