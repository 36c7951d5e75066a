"""`trailhouse reconcile`: name every offset that is committed and not stored."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.console import say, say_json, tell_step
from trailhouse.cli.formats import Format, FormatOption
from trailhouse.cli.printable import counted
from trailhouse.cli.since import EXAMPLES as TIMES
from trailhouse.cli.since import since as since_of

if TYPE_CHECKING:
    from trailhouse.consumer.reconcile import Reconciliation

EXAMPLES = ("trailhouse reconcile", "trailhouse reconcile --since 24h --format json")


def reconcile(
    since: Annotated[
        dt.datetime | None,
        typer.Option(
            parser=since_of,
            metavar="TIME",
            help=f"Only what Kafka took then or later: {TIMES}.",
        ),
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Compare Kafka's offsets, the ledger and the tables, and name every gap with the way out.

    The exit code is 1 when there is a gap. Nothing is changed, and a worker may run meanwhile.
    """
    from trailhouse.consumer.reconcile import reconcile as compare
    from trailhouse.schemas.config import ClickHouseConfig, KafkaConfig, WorkerConfig
    from trailhouse.store import ClickHouse
    from trailhouse.store.migrate import check_with

    kafka, clickhouse, worker = KafkaConfig(), ClickHouseConfig(), WorkerConfig()
    with ClickHouse(clickhouse) as storage:
        check_with(storage)
        found = compare(kafka, storage, worker.group_id, since=since, report=tell_step)
    if format is Format.JSON:
        say_json(found)
    else:
        _print(found)
    if found.gaps:
        raise typer.Exit(1)


def _print(found: "Reconciliation") -> None:
    from trailhouse.cli.console import results
    from trailhouse.cli.table import print_table

    columns = ("partition", "log", "committed", "ledger end", "checked", "elsewhere", "gaps")
    rows = [
        (
            str(part.partition),
            f"{part.log_start}–{part.log_end}",
            "none" if part.committed_offset is None else str(part.committed_offset),
            "none" if part.ledger_end is None else str(part.ledger_end),
            str(part.checked_offsets),
            str(part.elsewhere),
            str(sum(gap.partition == part.partition for gap in found.gaps)),
        )
        for part in found.partitions
    ]
    print_table(results(), columns, rows)
    for gap in found.gaps:
        say(
            f"gap: partition {gap.partition}, offsets {gap.first_offset} to {gap.last_offset}: {gap.why};"
            f" {gap.way_out}"
        )
    for note in found.notes:
        say(f"note: {note}")
    say(f"{counted(len(found.gaps), 'gap')} in topic {found.topic}, group {found.group_id}")
