"""`trailhouse emit`: send events that are written one JSON object a line."""

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from rich.progress import Progress

    from trailhouse.cli.emit.journal import EmitJournal
    from trailhouse.cli.emit.lines import Line
    from trailhouse.cli.emit.run import EmitRun, Outcome
    from trailhouse.producer.config import ProducerConfig
    from trailhouse.schemas.record import Source

EXAMPLES = (
    "trailhouse emit runs.jsonl",
    "zcat runs.jsonl.gz | trailhouse emit -",
    "trailhouse log SESSION_ID --format jsonl | trailhouse emit -",
)
_SPELLING = 6
"""A character that JSON writes as six, such as ``\\u00e9``, is one or two bytes in the record."""

_ANSWER_SECONDS = 5.0
_STOPS = frozenset({"topic", "permission", "credentials"})
"""What is told before anything is read: no line could be sent."""


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
    again: Annotated[
        bool,
        typer.Option("--again", help="Send every line as a new event, whatever was sent before."),
    ] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """Send events to Kafka; returns when the broker has acknowledged all of them.

    A line needs type and session_id; a missing event_id, occurred_at or source is stamped. A bad line is
    named by its number and the others are sent; the exit code is 1 then. What is stamped is sealed where the
    service has a key (`producer.seal_key_file`).

    The same FILE can be emitted again after anything: a line that was acknowledged, or waits in the
    spool, keeps its id and its time and is not sent a second time. What comes through a pipe is known
    again by its first line, until a run has come to its end.
    """
    from trailhouse.cli.output.console import show_warnings
    from trailhouse.producer.config import ProducerConfig
    from trailhouse.schemas.errors import ConfigError

    show_warnings()
    config = ProducerConfig()
    if not config.enabled:
        raise ConfigError("auditing is off, nothing was sent: set TRAILHOUSE_PRODUCER_ENABLED=true")
    began = time.perf_counter()
    with _opened(file) as stream:
        outcome = _emit_all(stream, file, config, timeout_seconds, is_anew=again)
    if not written(format, outcome):
        _print(outcome, time.perf_counter() - began)
    # All others were sent; the exit code says that not every line became an event.
    if outcome.refused_lines:
        raise typer.Exit(1)


def _print(outcome: "Outcome", elapsed_seconds: float) -> None:
    events = outcome.acknowledged_events
    rate = events / elapsed_seconds if elapsed_seconds else 0.0
    say(
        f"{counted(events, 'event')} acknowledged in {elapsed_seconds:.2f} s ({rate:.0f} events/s)"
        + (f", {counted(outcome.refused_lines, 'bad line')}" if outcome.refused_lines else "")
    )
    if outcome.waited_events:
        say(f"{counted(outcome.waited_events, 'event')} acknowledged that waited in the spool")
    if outcome.skipped_lines:
        say(
            f"{counted(outcome.skipped_lines, 'line')} skipped: acknowledged before (--again sends them as new"
            " events)"
        )


def _emit_all(
    stream: BinaryIO, file: Path, config: "ProducerConfig", timeout_seconds: float, *, is_anew: bool
) -> "Outcome":
    """Send everything that is new, and return what became of the lines."""
    from trailhouse.cli.emit.inputs import regular_file, remove
    from trailhouse.cli.emit.lines import Reads, read_blocks, this_process
    from trailhouse.cli.emit.run import Outcome, looking_until_readable

    path = regular_file(file, stream)
    origin = _origin(config, timeout_seconds)
    source = this_process(config.service or "trailhouse")
    looks: list[Callable[[], None]] = []

    def look() -> None:
        for each in looks:
            each()

    before_read = looking_until_readable(stream, look)
    blocks = read_blocks(
        cast(Reads, stream),
        config.max_event_bytes * _SPELLING,
        (lambda: None) if path else before_read,
    )
    first = next(blocks, None)
    if first is None:
        return Outcome(is_read=True)
    with _journal(config, path, first[0].content, source) as journal:
        if is_anew:
            journal.forget()
        if origin is not None:
            journal.set_origin(*origin)
        with (
            _progress(file) as progress,
            _running(config, journal, source, timeout_seconds, progress) as run,
        ):
            looks.append(run.look)
            run.read(_shown(itertools.chain([first], blocks), run, progress))
            run.finish()
    if path is None and not run.outcome.refused_lines:
        remove(journal.file)  # the next pipe is another input
    return run.outcome


def _origin(config: "ProducerConfig", timeout_seconds: float) -> tuple[str, str] | None:
    """Return the ids of cluster and topic; None while Kafka is away: the spool takes what comes.

    Raises:
        BrokerRejectedError: There is no such topic, or Kafka does not let us in. Nothing was read.
    """
    from trailhouse.broker.topic_identity import TopicIdentity
    from trailhouse.schemas.errors import BrokerRejectedError, BrokerUnavailableError
    from trailhouse.schemas.kafka_errors import FAULTS

    try:
        with TopicIdentity(
            config.kafka, timeout_seconds=min(_ANSWER_SECONDS, timeout_seconds)
        ) as asked:
            found = asked.origin(config.kafka)
    except BrokerUnavailableError as error:
        tell(
            f"warning: {error}; what is read waits in the spool"
            if config.mode == "durable"
            else str(error)
        )
        return None
    except BrokerRejectedError as error:
        # Another refusal need not concern what is sent: the spool takes it, and the sender says why.
        if FAULTS.get(error.code) in _STOPS:
            tell("nothing was read, and nothing was sent")
            raise
        return None
    return found.cluster, found.topic_id


@contextlib.contextmanager
def _journal(
    config: "ProducerConfig", path: str | None, first_line: bytes, source: "Source"
) -> Generator["EmitJournal"]:
    from trailhouse.cli.emit.inputs import journal_folder, journal_name, opened, remove_old
    from trailhouse.cli.emit.journal import EmitJournal

    def open_journal(at: Path) -> EmitJournal:
        return EmitJournal(at, source, is_synced=config.fsync != "never")

    folder = journal_folder()
    remove_old(folder, open_journal)
    journal = opened(
        folder, journal_name(config, path, first_line), open_journal, is_shared=path is None
    )
    try:
        yield journal
    finally:
        journal.close()


@contextlib.contextmanager
def _running(
    config: "ProducerConfig",
    journal: "EmitJournal",
    source: "Source",
    timeout_seconds: float,
    progress: "Progress",
) -> Generator["EmitRun"]:
    """Run, and when something goes wrong say what became of the lines before it is raised."""
    from trailhouse.cli.emit.run import EmitRun
    from trailhouse.cli.output.printable import printable
    from trailhouse.schemas.errors import TrailhouseError

    def report(number: int, reason: str) -> None:
        progress.console.print(printable(f"line {number}: {reason}"), soft_wrap=True)

    run = EmitRun(config, journal, source, timeout_seconds, report)
    try:
        yield run
    # Closed first, so that what is said of the lines counts what was acknowledged until now.
    except (TrailhouseError, KeyboardInterrupt):
        run.close()
        progress.console.print(_interrupted(run.outcome), soft_wrap=True)
        raise
    finally:
        run.close()


def _interrupted(outcome: "Outcome") -> str:
    parts = [f"{counted(outcome.acknowledged_events, 'event')} acknowledged"]
    if outcome.waiting_events:
        parts.append(
            f"{outcome.waiting_events} in the spool, which the next emit or `trailhouse spool drain` sends"
        )
    if outcome.unanswered_events:
        parts.append(f"{outcome.unanswered_events} sent without an answer")
    if outcome.skipped_lines:
        parts.append(f"{counted(outcome.skipped_lines, 'line')} skipped: acknowledged before")
    if outcome.refused_lines:
        parts.append(counted(outcome.refused_lines, "bad line"))
    if not outcome.is_read:
        parts.append(f"read up to line {outcome.last_line}")
    return ", ".join(parts) + "; the same command goes on from there and sends nothing twice"


def _shown(
    blocks: Iterable[list["Line"]], run: "EmitRun", progress: "Progress"
) -> Iterator[list["Line"]]:
    """Pass the lines on, and show how far they are."""
    task, read_bytes = progress.tasks[0].id, 0
    for block in blocks:
        yield block
        read_bytes += sum(len(line.content) + 1 for line in block)
        outcome = run.outcome
        progress.update(
            task,
            completed=read_bytes,
            events=outcome.acknowledged_events,
            skipped=f", {counted(outcome.skipped_lines, 'line')} skipped"
            if outcome.skipped_lines
            else "",
        )


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

    from trailhouse.cli.output.console import progress

    console = progress()
    columns = (
        TextColumn("emit"),
        BarColumn(),
        TextColumn("{task.fields[events]} events acknowledged{task.fields[skipped]}"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as shown:
        total = file.stat().st_size if file.is_file() else None
        shown.add_task("emit", total=total, events=0, skipped="")
        yield shown
