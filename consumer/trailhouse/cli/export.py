"""`trailhouse export`: all that a filter finds, as files that can be checked without us."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.asking import FilterArgument, TenantOption, filter_of
from trailhouse.cli.bundles import check_bundle, export_bundle
from trailhouse.cli.output.console import progress, say, tell
from trailhouse.cli.output.formats import FileFormat
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.statements import ShowSqlOption
from trailhouse.cli.times_and_offsets import SinceOption, UntilOption

if TYPE_CHECKING:
    from trailhouse.query import Manifest

EXAMPLES = (
    "trailhouse export --to june --since 2026-06-01 --until 2026-06-30",
    "trailhouse export 'agent:planner type:run_failed' --to failures --format parquet",
    "trailhouse export --to - | zstd > all.jsonl.zst",
    "trailhouse export --check june",
    "trailhouse export 'run:4711' --bundle run-4711.zip",
    "trailhouse export --check run-4711.zip --owner SHA256:FINGERPRINT",
)


To = Annotated[
    str | None,
    typer.Option(metavar="FOLDER|-", help="A folder of its own; - is standard output, as one."),
]
ExportFormat = Annotated[
    FileFormat, typer.Option(help="The records, one a line; CSV for a spreadsheet; or columns.")
]
RowsPerFile = Annotated[
    int, typer.Option(min=1, help="About so many events a file; a session is never split.")
]
Check = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER|BUNDLE",
        help="Only check this export against its manifest, or this bundle; needs no connection.",
    ),
]
Bundle = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Instead: a new zip file with the proof of each event, for who has no access here.",
    ),
]
Owner = Annotated[
    str | None,
    typer.Option(
        metavar="FINGERPRINT",
        help="With --check of a bundle: the fingerprint of the owner's key, from whom you trust.",
    ),
]


def export(
    filter: FilterArgument = None,
    to: To = None,
    format: ExportFormat = FileFormat.JSONL,
    since: SinceOption = None,
    until: UntilOption = None,
    tenant: TenantOption = None,
    rows_per_file: RowsPerFile = 250_000,
    check: Check = None,
    bundle: Bundle = None,
    owner: Owner = None,
    show_sql: ShowSqlOption = False,
) -> None:
    """Export all events that a filter finds, each once, with a manifest that says what was asked and what there is.

    The same command goes on where it was cut off. Events that are stored after it began are not in it. With --to - the
    manifest goes to standard error. `trailhouse import` puts an export to JSON lines back. --check exits with 1 when
    anything is not as the manifest says, and with 2 when something of a bundle cannot be checked.
    """
    if check is not None:
        _check(check, owner)
        return
    if bundle is not None:
        export_bundle(filter_of(filter, since, until), tenant, bundle)
        return
    if to is None:
        raise typer.BadParameter("say where to: --to FOLDER, or --to - for standard output")
    from trailhouse.query import AuditReader

    wanted = filter_of(filter, since, until)
    with AuditReader(tenant) as reader, progress().status("export") as shown:

        def report(rows: int) -> None:
            shown.update(f"export: {counted(rows, 'event')} written")

        manifest = reader.export(
            sys.stdout.buffer if to == "-" else Path(to),
            wanted,
            format=str(format),
            rows_per_file=rows_per_file,
            on_progress=report,
        )
    _print(manifest, to)
    if manifest.altered:
        raise typer.Exit(1)


def _print(manifest: "Manifest", to: str) -> None:
    import msgspec

    if to == "-":
        tell(msgspec.json.encode(manifest).decode())
        return
    size_bytes = sum(each.size_bytes for each in manifest.files)
    files = counted(len(manifest.files), "file")
    say(
        f"{counted(manifest.rows, 'event')} in {files}, {size_bytes} bytes, manifest.json beside them"
    )
    if manifest.respelled:
        tell(
            f"records with line breaks between their values, written as blanks: {manifest.respelled}"
        )
    if manifest.erased:
        tell(f"{counted(manifest.erased, 'row')} erased by order and left out")
    if manifest.altered:
        tell(f"{counted(manifest.altered, 'row')} altered in ClickHouse and left out")


def _check(folder: Path, owner: str | None) -> None:
    from trailhouse.query import check_export

    if not folder.exists():
        raise typer.BadParameter(f"{folder} is not there", param_hint="--check")
    if folder.is_file():
        check_bundle(folder, owner)
        return
    found = check_export(folder)
    for problem in found.problems:
        say(problem)
    if found.erased:
        say(f"{counted(found.erased, 'row')} erased by order, and not in it")
    verdict = "NOT as the manifest says" if found.problems else "as the manifest says"
    say(f"{counted(found.rows, 'event')} in {counted(found.files, 'file')}: {verdict}")
    if found.problems:
        raise typer.Exit(1)
