"""`trailhouse show`: one event, whole."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trailhouse.cli.asking import TenantOption
from trailhouse.cli.output.cells import cell, dollars
from trailhouse.cli.output.console import say, say_json, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.output.whole import tell_whole
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.query import FoundEvent

EXAMPLES = (
    "trailhouse show 01900000-0000-7000-8000-00000000e5c0",
    "trailhouse show 01900000-0000-7000-8000-00000000e5c0 --format json",
)


def show(
    event_id: Annotated[
        str, typer.Argument(metavar="EVENT", help="The event's id.", show_default=False)
    ],
    tenant: TenantOption = None,
    format: FormatOption = Format.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """Show one event whole: its fields, where Kafka holds it, its digest, and its record.

    Where one id came with different contents, all of them are shown. `trailhouse search` finds ids. The exit code
    is 1 when there is no such event, or it was altered in ClickHouse.
    """
    from trailhouse.query import AuditReader

    with AuditReader(tenant) as reader:
        page = reader.get_event(event_id)
    if not written(format, page, items=page.items):
        for found in page.items:
            _print(found)
    tell_whole(page, len(page.items), "event")
    if len(page.items) > 1:
        tell("one id with different contents: `trailhouse anomalies` counts conflicts")
    if not page.items:
        tell(
            "no event has this id: `trailhouse search` finds ids; `trailhouse status` says how far the worker is"
        )
    if not page.items or any(found.problem for found in page.items):
        raise typer.Exit(1)


def _print(found: "FoundEvent") -> None:
    for name, value in facts(found):
        say(f"{name:<16} {value}")
    if found.event is not None:
        say_json(_raw(found.event.record))
    else:
        say("")


def _raw(record: bytes) -> Any:
    import msgspec

    return msgspec.Raw(record)


def facts(found: "FoundEvent") -> Iterator[tuple[str, str]]:
    """Yield each field that is known, with its name; an altered row says what contradicts what."""
    import msgspec

    if found.problem is not None:
        yield "ALTERED", found.problem
    for name in msgspec.structs.fields(type(found)):
        value = getattr(found, name.name)
        if value is not None and name.name not in ("event", "problem"):
            shown = dollars(value) if name.name == "cost_usd" else cell(value)
            yield name.name.removesuffix("_usd"), shown
