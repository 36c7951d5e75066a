"""`trailhouse replay`: read a range of the topic again into ClickHouse."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trailhouse.cli.output.console import say
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.written import written
from trailhouse.cli.times_and_offsets import EXAMPLES as TIMES
from trailhouse.cli.times_and_offsets import first_bound, last_bound

if TYPE_CHECKING:
    from trailhouse.operate.replay.replay import Replayed

EXAMPLES = (
    "trailhouse replay --from 3:1200 --to 3:1450",
    "trailhouse replay --from 2026-01-31T08:00:00Z --to 2026-01-31T09:00:00Z",
    "trailhouse replay",
)

ANSWER_SECONDS = 5.0


def replay(
    begin: Annotated[
        Any,
        typer.Option(
            "--from",
            parser=first_bound,
            metavar="TIME|P:O",
            help=f"The first record: {TIMES}, or PARTITION:OFFSET; else the first there is.",
        ),
    ] = None,
    end: Annotated[
        Any,
        typer.Option(
            "--to",
            parser=last_bound,
            metavar="TIME|P:O",
            help="The last record, inclusive, likewise; else the last there is.",
        ),
    ] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, help="Only this partition of the topic.")
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Read a range of the topic again and store it; by default all that Kafka still has.

    Safe at any time, whether a worker runs or not: readers see no event twice, and what is there keeps
    its place. Nothing is committed.
    """
    _print(_replayed(begin, end, partition), format)


def _replayed(begin: Any, end: Any, partition: int | None) -> "Replayed":
    from trailhouse.broker.admin import KafkaAdmin
    from trailhouse.broker.topic_identity import TopicIdentity
    from trailhouse.broker.topic_reader import TopicReader
    from trailhouse.consumer.config import WorkerConfig
    from trailhouse.operate.replay.plan import wanted_ranges
    from trailhouse.operate.replay.replay import Replay
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    kafka, clickhouse, worker = KafkaConfig(), ClickHouseConfig(), WorkerConfig()
    origin = TopicIdentity(kafka, timeout_seconds=ANSWER_SECONDS).origin(kafka)
    with ClickHouse(clickhouse) as storage, TopicReader(kafka) as reader:
        check_with(storage)
        marks = KafkaAdmin(kafka).lag(worker.group_id)
        ranges = wanted_ranges(reader, marks, begin=begin, end=end, partition=partition)
        with _progress(sum(part.size for part in ranges.values())) as report:
            return Replay(storage, origin, worker, report=report).run(reader, ranges)


def _print(done: "Replayed", format: Format) -> None:
    if written(format, done):
        return
    say(
        f"{counted(done.records, 'record')} replayed: {counted(done.events, 'event')} ({done.new_events} were not"
        f" there), {done.quarantined} quarantined ({done.new_quarantined} were not there)"
    )
    if done.unproven:
        say(
            f"{counted(done.unproven, 'record')} stored at offsets of which the log says another thing:"
            " they are not proven; see the view `incidents`"
        )


@contextmanager
def _progress(total_records: int) -> Generator[Callable[["Replayed"], None]]:
    """Show how far it is when standard error is a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from trailhouse.cli.output.console import progress

    console = progress()
    columns = (
        TextColumn("replay"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} records"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as shown:
        task = shown.add_task("replay", total=total_records)
        yield lambda so_far: shown.update(task, completed=so_far.records)
