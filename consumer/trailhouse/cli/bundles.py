"""Bundles by `trailhouse export`: made of what a filter finds, and checked as the check.py in them does."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trailhouse.cli.output.console import progress, say
from trailhouse.cli.output.printable import counted
from trailhouse.cli.prove import see_that_it_is_new, tell_bundle

if TYPE_CHECKING:
    from trailhouse.query import SearchFilter

PAGE_EVENTS = 1_000


def export_bundle(wanted: "SearchFilter", tenant: str | None, to: Path) -> None:
    """Write the bundle of all events that *wanted* finds to a new file.

    Raises:
        ProofError: More events than a bundle holds, or some are not signed yet. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    from trailhouse.operate.prove.bundle_files import MAX_EVENTS
    from trailhouse.operate.prove.bundling import bundle_events, write_bundle
    from trailhouse.proof.config import ProofConfig
    from trailhouse.query import AuditReader
    from trailhouse.schemas.errors import ProofError
    from trailhouse.store import ClickHouse, ClickHouseConfig

    see_that_it_is_new(to, "--bundle")
    found: list[tuple[str, str]] = []
    cursor: str | None = None
    with AuditReader(tenant) as reader, progress().status("export") as shown:
        while True:
            page = reader.search(wanted, newest_first=False, limit=PAGE_EVENTS, cursor=cursor)
            found += [(e.session_id, e.event_id) for e in page.items if e.event_id is not None]
            if len(found) > MAX_EVENTS:
                raise ProofError(
                    f"a bundle holds {MAX_EVENTS} events, and there are more: ask for less"
                )
            shown.update(f"export: {counted(len(found), 'event')} found")
            cursor = page.next
            if cursor is None:
                break
    with ClickHouse(ClickHouseConfig()) as storage:
        made = bundle_events(storage, ProofConfig(), found, tenant_id=tenant, file_name=to.name)
    write_bundle(to, made.content)
    tell_bundle(made, to)


def check_bundle(path: Path, owner: str | None) -> None:
    """Say what the bundle *path* shows; the exit code is that of its check.py."""
    from trailhouse.operate.prove.check import MAX_BUNDLE_BYTES, check

    with path.open("rb") as file:
        code, lines = check(file.read(MAX_BUNDLE_BYTES + 1), owner)
    for line in lines:
        say(line)
    say(("PROVEN", "NOT PROVEN", "NOT ALL CHECKED")[code])
    if code:
        raise typer.Exit(code)
