"""`trailhouse prove`: what an outsider needs to check that an event was logged, or that a session is whole."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.asking import TenantOption
from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.operate.prove.bundling import Bundled

EXAMPLES = (
    "trailhouse prove 01900000-0000-7000-8000-00000000e5c0 > event.tlog-proof",
    "trailhouse prove --session order-4711 --tenant acme --to order-4711.zip",
)


def prove(
    event_id: Annotated[
        str | None, typer.Argument(metavar="EVENT", help="The event's id.", show_default=False)
    ] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", help="Instead: all events of a session, or that there are none."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="With --session: the bundle, a new zip file."),
    ] = None,
    tenant: TenantOption = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Print the proof that an event is in the signed log (C2SP tlog-proof), or bundle a session with its proofs.

    A bundle is checked by the check.py in it, which needs no Trailhouse: docs/proof.md says how, and by hand. A proof
    alone is checked with the record, which `trailhouse export --bundle` puts beside it. With --session and without
    --tenant it is of events without a tenant. The exit code is 1 when there is no such event.
    """
    if (event_id is None) == (session is None) or (session is None) != (to is None):
        raise typer.BadParameter("give an event, or --session and --to FILE")
    if session is not None and to is not None:
        see_that_it_is_new(to, "--to")
        _prove_session(session, tenant or "", to, format)
        if tenant is None:
            tell("this is of events without a tenant: `--tenant` says of whose session")
    elif event_id is not None:
        _prove_event(event_id, tenant, format)


def _prove_event(event_id: str, tenant: str | None, format: Format) -> None:
    from trailhouse.operate.prove.proving import prove_event
    from trailhouse.proof.config import ProofConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig

    with ClickHouse(ClickHouseConfig()) as storage:
        proven = prove_event(storage, ProofConfig(), event_id, tenant)
    answer = [
        {
            "origin": each.origin,
            "offset": each.proof.offset,
            "record_sha256": each.logged.digest.hex(),
            "anchor": each.anchor.anchor.number if each.anchor else None,
            "anchored_at_ms": each.anchor.anchor.at_ms if each.anchor else None,
            "proof": each.proof.text,
        }
        for each in proven
    ]
    if not written(format, answer):
        for each in proven:
            sys.stdout.buffer.write(
                each.proof.text.encode()
            )  # the file, whatever the terminal's encoding
    for each in proven:
        when = f"anchor {each.anchor.anchor.number}" if each.anchor else "no anchor yet"
        gone = ", its record was erased" if each.logged.event.record is None else ""
        tell(f"{each.origin} at offset {each.proof.offset}: signed, in {when}{gone}")
    if not proven:
        tell("there is no such event")
        raise typer.Exit(1)


def _prove_session(session: str, tenant: str, to: Path, format: Format) -> None:
    from trailhouse.operate.prove.bundling import bundle_session, write_bundle
    from trailhouse.proof.config import ProofConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig

    with ClickHouse(ClickHouseConfig()) as storage:
        made = bundle_session(storage, ProofConfig(), session, tenant, file_name=to.name)
    write_bundle(to, made.content)
    tell_bundle(made, to, format)


def see_that_it_is_new(file: Path, option: str) -> None:
    """See to it before the work: a bundle never takes another file's place.

    Raises:
        BadParameter: There is such a file.
    """
    if file.exists():
        raise typer.BadParameter(f"{file} is there already", param_hint=option)


def tell_bundle(made: "Bundled", to: Path, format: Format = Format.TABLE) -> None:
    """Say what a bundle holds, what it shows to be all, and what has no proof."""
    answer = {
        "file": str(to),
        "size_bytes": len(made.content),
        "events": made.events,
        "whole_on": made.days,
        "is_signed": made.is_signed,
        "without_leaf": made.without_leaf,
        "erased": made.erased,
    }
    if not written(format, answer):
        say(f"{counted(made.events, 'event')} with proofs in {to}, {len(made.content)} bytes")
        say(f"check it: python check.py {to.name} --owner FINGERPRINT")
    if made.days:
        tell(f"manifests show that it is whole from {made.days[0]} to {made.days[-1]}")
    if not made.is_signed:
        tell(
            "the log's key is not here, so the bundle is not signed: what is left out shows in manifests alone"
        )
    if made.erased:
        tell(
            f"of erased events it has the proof alone, and a check cannot be complete: {made.erased}"
        )
    if made.without_leaf:
        tell(f"rows that have no leaf in the log, and so no proof: {made.without_leaf}")
        raise typer.Exit(1)
