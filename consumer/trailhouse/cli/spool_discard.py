"""What `trailhouse spool discard` does: choose the spools, ask, drop them, and say what was done."""

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.printable import counted, printable
from trailhouse.producer.spool.discard import discard
from trailhouse.producer.spool.status import SpoolStatus, spools_status

SHOWN_SPOOLS = 20


def chosen(root: Path, names: Sequence[str] | None) -> list[SpoolStatus]:
    """Return the spools of these *names*, or all that no running logger holds.

    Raises:
        BadParameter: One of them is not there, or its logger is running. Nothing was done.
    """
    there = {each.spool: each for each in spools_status(root).spools}
    if not names:
        return [each for each in there.values() if each.state == "orphan"]
    for name in names:
        if name not in there:
            raise typer.BadParameter(f"there is no spool {name!r} in {root}")
        if there[name].state == "live":
            raise typer.BadParameter(
                f"the logger of spool {name} is running: it sends what is in it"
            )
    # A name that was given twice is dropped once.
    return [there[name] for name in dict.fromkeys(names)]


def confirmed(spools: Sequence[SpoolStatus], output: Path) -> bool:
    """Say what would be dropped, and ask.

    Raises:
        BadParameter: There is nobody to ask. Nothing was done.
    """
    # Without a terminal a question would be answered by whatever comes through the pipe.
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "standard input is not a terminal, so nobody can be asked: add --yes"
        )
    for each in spools[:SHOWN_SPOOLS]:
        where = (
            f"{each.topic or 'an unknown topic'} at {each.bootstrap_servers or 'unknown brokers'}"
        )
        tell(
            f"{each.spool}: {counted(each.events, 'event')} of {each.service or 'unknown'} for {where}"
        )
    if len(spools) > SHOWN_SPOOLS:
        tell(f"… and {counted(len(spools) - SHOWN_SPOOLS, 'spool')} more")
    events = sum(each.events for each in spools)
    question = f"Write {counted(events, 'event')} to {output} and never send them?"
    return typer.confirm(printable(question), err=True)


def drop(root: Path, spools: Sequence[SpoolStatus], output: Path) -> bool:
    """Drop them; tell whether nothing was left.

    Raises:
        BadParameter: The file is there already. Nothing was done.
        SpoolUnavailableError: A spool cannot be read. Retriable once that is mended; it, and those
            after it, are as they were.
    """
    try:
        done = discard(root, [each.spool for each in spools], output)
    except FileExistsError:
        raise typer.BadParameter(
            f"there is a file {output} already, and it is left as it is"
        ) from None
    say(
        f"{counted(done.events, 'event')} written to {output}, {counted(len(done.spools), 'spool')} removed"
    )
    if done.damaged_ranges:
        say(f"{counted(done.damaged_ranges, 'damaged range')} set aside")
    for name in done.left:
        tell(f"left: spool {name}, which a running logger holds or has sent")
    return not done.left
