"""`trailhouse import`: exported records go into the topic again, byte for byte."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import progress, say, say_json, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted

if TYPE_CHECKING:
    from trailhouse.operate.import_records import Imported

EXAMPLES = ("trailhouse import june", "trailhouse import june/events-00001.jsonl --format json")
SHOWN_LINES = 50


def import_records(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|FILE",
            exists=True,
            readable=True,
            help="The folder of an export to JSON lines, which is checked first; or a file of such lines.",
        ),
    ],
    format: FormatOption = Format.TABLE,
) -> None:
    """Send exported records to Kafka, byte for byte; returns when the broker has acknowledged all.

    The same import can be run again after anything: a record that is in the topic twice is read once. A line that is
    no record is named and the others are sent; the exit code is 1 then. Lines that want an id or a time are for `emit`.
    Records that an operator has ordered to be erased are named, counted and not sent: with `proof.owner_key` set,
    ClickHouse is asked which those are.
    """
    from trailhouse.operate.import_records import import_records as send
    from trailhouse.operate.import_records import lines_to_import
    from trailhouse.schemas.kafka_config import KafkaConfig

    named = 0

    def refuse(file: Path, number: int, reason: str) -> None:
        nonlocal named
        named += 1
        if named <= SHOWN_LINES:
            tell(f"{file.name}: line {number}: {reason}")

    with progress().status("import") as shown:

        def report(so_far: "Imported") -> None:
            shown.update(f"import: {counted(so_far.sent_events, 'event')} sent")

        done = send(
            KafkaConfig(), lines_to_import(path), refuse=refuse, report=report, erased=_erased()
        )
    if format is Format.TABLE:
        _say(done)
    else:
        say_json(done)
    if done.refused_lines:
        raise typer.Exit(1)


def _say(done: "Imported") -> None:
    bad = f", {counted(done.refused_lines, 'bad line')}" if done.refused_lines else ""
    if done.erased_lines:
        bad += f", {counted(done.erased_lines, 'record')} not sent: ordered to be erased"
    say(f"{counted(done.sent_events, 'event')} sent{bad}")


def _erased() -> Collection[bytes]:
    """Return the SHA-256 of each record that is ordered to be erased; without a pinned owner nobody may order.

    Raises:
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent): nothing was sent.
    """
    from trailhouse.proof.config import ProofConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.erasures import ordered_erasures

    config = ProofConfig()
    if not config.owner_key:
        return frozenset()
    with ClickHouse(ClickHouseConfig()) as storage:
        return ordered_erasures(storage, config)
