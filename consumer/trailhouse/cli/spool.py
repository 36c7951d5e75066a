"""`trailhouse spool`: what producers have not delivered yet, on this machine, and how to deliver it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import say, tell, tell_step, write_records
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.producer.spool.status import SpoolsStatus

_EPILOG = (
    "Examples:\n\ntrailhouse spool status\n\ntrailhouse spool drain --timeout-seconds 60\n\n"
    "trailhouse spool inspect > undelivered.jsonl\n\ntrailhouse spool discard --all --output dropped.jsonl"
)
_COLUMNS = ("spool", "state", "service", "pid", "brokers", "topic", "events", "bytes")

spool_app = typer.Typer(
    no_args_is_help=True,
    help="Look at the spools of this machine's producers, and send or drop what dead ones have left.",
    epilog=_EPILOG,
)
SpoolDir = Annotated[
    Path | None,
    typer.Option("--spool-dir", help="Folder of the spools; that of the settings by default."),
]


@spool_app.command(epilog="Example:\n\ntrailhouse spool status --format json")
def status(spool_dir: SpoolDir = None, format: FormatOption = Format.TABLE) -> None:
    """Print each spool: whose it is, where its events go, and how many are not acknowledged.

    An orphan is sent by the next logger with its settings, or by `trailhouse spool drain`; what is unsealed waits for
    the next logger of its service, which has the key.
    """
    from trailhouse.producer.spool.status import spools_status

    found = spools_status(_root(spool_dir))
    if not written(format, found):
        _print(found)


def _print(found: "SpoolsStatus") -> None:
    from trailhouse.cli.output.console import results
    from trailhouse.cli.output.printable import counted
    from trailhouse.cli.output.table import print_table

    say(f"folder       {found.folder}")
    if found.spools:
        rows = [
            (
                each.spool,
                each.state,
                each.service or "",
                str(each.pid or ""),
                each.bootstrap_servers or "unknown",
                each.topic or "unknown",
                str(each.events),
                str(each.size_bytes),
            )
            for each in found.spools
        ]
        print_table(results(), _COLUMNS, rows)
    waiting = sum(each.events for each in found.spools)
    say(f"waiting      {counted(waiting, 'event')} in {counted(len(found.spools), 'spool')}")
    if missing := sum(each.missing_events for each in found.spools):
        say(
            f"missing      at least {counted(missing, 'event')} that were there: damaged, cut off or removed"
        )
    for name, reason in found.refused.items():
        say(f"never sent   {name}: {reason}")
    if found.unknown_destinations:
        say(
            f"unknown      where {counted(found.unknown_destinations, 'spool')} should go, whose file `destination`"
            " cannot be read: `trailhouse spool drain --any-destination` sends them to the topic of the settings"
        )
    if found.quarantined_bytes:
        say(f"set aside    {counted(found.quarantined_bytes, 'byte')} that cannot be sent")


@spool_app.command(epilog="Example:\n\ntrailhouse spool drain --any-destination")
def drain(
    spool_dir: SpoolDir = None,
    timeout_seconds: Annotated[
        float, typer.Option(min=0, help="Longest wait for the acknowledgements.")
    ] = 60.0,
    any_destination: Annotated[
        bool,
        typer.Option(help="Also send what was meant for other brokers or another topic."),
    ] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """Send what dead producers have left, in order, and return when the broker has all of it.

    The exit code is 1 when some were refused, or left since they are for another destination.
    """
    import msgspec

    from trailhouse.cli.output.console import show_warnings
    from trailhouse.cli.output.printable import counted
    from trailhouse.producer.config import ProducerConfig
    from trailhouse.producer.delivery.drain import drain as send
    from trailhouse.producer.spool.root import root_of
    from trailhouse.producer.spool.status import spools_status

    show_warnings()
    config = ProducerConfig()
    if spool_dir is not None:
        # Replaced and not made anew: all else stays as the environment says it.
        config = msgspec.structs.replace(config, spool_dir=str(spool_dir))
    tell_step("send what is left")
    found = send(config, timeout_seconds=timeout_seconds, any_destination=any_destination)
    left = [each for each in spools_status(root_of(config)).spools if each.state == "orphan"]
    waiting = sum(each.events for each in left)
    counts = {"acknowledged": found.acknowledged_total, "refused": found.refused_total}
    left_over = {"left_events": waiting, "left_spools": [each.spool for each in left]}
    if written(format, counts | left_over):
        raise typer.Exit(1 if found.refused_total or left else 0)
    refused = f", {found.refused_total} refused and set aside" if found.refused_total else ""
    say(f"{counted(found.acknowledged_total, 'event')} acknowledged{refused}")
    if left:
        say(
            f"left alone: {counted(waiting, 'event')} in {counted(len(left), 'spool')} for other brokers or"
            " topics (--any-destination sends them too)"
        )
    if found.refused_total or left:
        raise typer.Exit(1)


@spool_app.command(epilog="Example:\n\ntrailhouse spool inspect > undelivered.jsonl")
def inspect(
    spool: Annotated[
        str | None, typer.Argument(help="Only this spool.", show_default=False)
    ] = None,
    spool_dir: SpoolDir = None,
) -> None:
    """Write the exact records that are not acknowledged, one a line; changes nothing.

    Damaged ranges are named on standard error, and make the exit code 1.
    """
    from trailhouse.producer.spool.folder import split
    from trailhouse.producer.spool.frame import Frame
    from trailhouse.producer.spool.reader import frames_of
    from trailhouse.producer.spool.root import folders

    root = _root(spool_dir)
    # By the names that are there: what a caller types is never made into a path.
    chosen = [path for path in folders(root) if spool in {None, path.name}]
    if spool is not None and not chosen:
        raise typer.BadParameter(f"there is no spool {spool!r} in {root}")
    damaged = 0
    for path in chosen:
        for found, place in frames_of(path):
            if isinstance(found, Frame):
                write_records(found.record + b"\n")
                continue
            damaged += 1
            segment, end = split(place)
            tell(f"{path.name}: segment {segment}, bytes {found.begin} to {end} are damaged")
    if damaged:
        raise typer.Exit(1)


@spool_app.command(
    epilog="Examples:\n\ntrailhouse spool discard --all --output dropped.jsonl\n\n"
    "trailhouse spool discard 01990c1e-4f6b-7a70-8000-5f0f6a1f2c11 --output dropped.jsonl --yes"
)
def discard(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="A new file for what is dropped, one record a line."),
    ],
    spools: Annotated[
        list[str] | None, typer.Argument(metavar="SPOOL", help="Which.", show_default=False)
    ] = None,
    all_spools: Annotated[
        bool, typer.Option("--all", help="Every spool that no running logger holds.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    spool_dir: SpoolDir = None,
) -> None:
    """Drop events that nobody wants to be sent: write them to a file, then remove their spools.

    Asks first. The file can be emitted again: its records keep their ids. The exit code is 1 when a
    spool was left: its logger is running.
    """
    from trailhouse.cli.spool_discard import chosen, confirmed, drop

    if bool(spools) == all_spools:
        raise typer.BadParameter("name spools, or give --all")
    found = chosen(_root(spool_dir), spools)
    if not found:
        tell("no spool to drop")
        return
    if not yes and not confirmed(found, output):
        tell("nothing was done")
        raise typer.Exit(1)
    if not drop(_root(spool_dir), found, output):
        raise typer.Exit(1)


def _root(given: Path | None) -> Path:
    from trailhouse.producer.config import ProducerConfig
    from trailhouse.producer.spool.root import root_of

    return given if given is not None else root_of(ProducerConfig())
