"""`trailhouse emit`: send events that are written one JSON object a line."""

import contextlib
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from trailhouse.cli.emission import Emission
    from trailhouse.schemas.config import ProducerConfig

EXAMPLES = (
    "trailhouse emit runs.jsonl",
    "trailhouse log SESSION_ID --format jsonl | trailhouse emit -",
)
_SPELLING = 6
"""A character that JSON writes as six, such as ``\\\\u00e9``, is one or two bytes in the record."""

_SHOWN_EVERY_LINES = 200


def _readable(file: Path) -> Path:
    if str(file) != "-":
        if file.is_dir():
            raise typer.BadParameter(f"{file} is a folder")
        if not file.exists():
            raise typer.BadParameter(f"there is no file {file}")
        if not os.access(file, os.R_OK):
            raise typer.BadParameter(f"{file} may not be read")
    return file


def emit(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|-",
            help="JSON lines, one event each; - is standard input.",
            callback=_readable,
        ),
    ] = Path("-"),
    timeout_seconds: Annotated[
        float, typer.Option(min=0.1, help="Longest wait for an acknowledgement, seconds.")
    ] = 30.0,
) -> None:
    """Send events to Kafka; returns when the broker has acknowledged all of them.

    A line needs type and session_id; a missing event_id, occurred_at or source is stamped. A bad
    line is named by its number, the others are sent, and the exit code is 1.
    """
    from trailhouse.cli.console import show_warnings
    from trailhouse.cli.printable import counted
    from trailhouse.schemas.config import ProducerConfig
    from trailhouse.schemas.errors import ConfigError

    show_warnings()
    config = ProducerConfig()
    if not config.enabled:
        raise ConfigError("auditing is off, nothing was sent: set TRAILHOUSE_PRODUCER_ENABLED=true")
    with _opened(file) as stream:
        acknowledged, bad, elapsed_seconds = _emit_all(stream, file, config, timeout_seconds)
    rate = acknowledged / elapsed_seconds if elapsed_seconds else 0.0
    typer.echo(
        f"{counted(acknowledged, 'event')} acknowledged in {elapsed_seconds:.2f} s"
        f" ({rate:.0f} events/s)" + (f", {counted(bad, 'bad line')}" if bad else "")
    )
    if bad:
        raise typer.Exit(1)


def _emit_all(
    stream: BinaryIO, file: Path, config: "ProducerConfig", timeout_seconds: float
) -> tuple[int, int, float]:
    """Send everything; return acknowledged events, bad lines and seconds."""
    from trailhouse.cli.emission import Emission
    from trailhouse.cli.printable import counted, printable
    from trailhouse.producer import AuditLogger
    from trailhouse.schemas.errors import DeliveryError

    audit = AuditLogger(config)
    began = time.perf_counter()
    with _progress(file) as progress:

        def report(number: int, reason: str) -> None:
            progress.console.print(printable(f"line {number}: {reason}"), soft_wrap=True)

        emission = Emission(audit, timeout_seconds, report)
        try:
            _send_lines(stream, emission, config, progress)
            emission.finish()
        except (DeliveryError, KeyboardInterrupt):
            progress.console.print(
                f"{counted(emission.acknowledged_events, 'event')} acknowledged,"
                f" {emission.pending_events} sent without an answer",
                soft_wrap=True,
            )
            raise
        finally:
            # Every receipt has been asked; what close would say has been said.
            with contextlib.suppress(DeliveryError):
                audit.close(0)
    return emission.acknowledged_events, len(emission.bad_lines), time.perf_counter() - began


def _send_lines(
    stream: BinaryIO, emission: "Emission", config: "ProducerConfig", progress: "Progress"
) -> None:
    from trailhouse.cli.lines import Stamp, event_from, read_lines
    from trailhouse.schemas.errors import EventError

    stamp = Stamp(
        service=config.service or "trailhouse",
        limit_bytes=config.max_event_bytes,
        tenant_id=config.tenant_id,
    )
    task, read_bytes = progress.tasks[0].id, 0
    for line in read_lines(stream, config.max_event_bytes * _SPELLING):
        try:
            event = event_from(line, stamp)
        except EventError as error:
            emission.refuse(line.number, str(error))
        else:
            emission.send(line.number, event)
        read_bytes += len(line.content) + 1
        if line.number % _SHOWN_EVERY_LINES == 0:
            progress.update(task, completed=read_bytes, events=emission.acknowledged_events)


@contextlib.contextmanager
def _opened(file: Path) -> Generator[BinaryIO]:
    if str(file) == "-":
        if sys.stdin is None:  # Python has no stream where the caller closed it
            raise typer.BadParameter("standard input is closed")
        yield sys.stdin.buffer
    else:
        with file.open("rb") as stream:
            yield stream


@contextlib.contextmanager
def _progress(file: Path) -> Generator["Progress"]:
    """Show how far we are when standard error is a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from trailhouse.cli.console import progress

    console = progress()
    columns = (
        TextColumn("emit"),
        BarColumn(),
        TextColumn("{task.fields[events]} events acknowledged"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as shown:
        total = file.stat().st_size if file.is_file() else None
        shown.add_task("emit", total=total, events=0)
        yield shown
