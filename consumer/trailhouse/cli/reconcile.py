"""`trailhouse reconcile`: name every offset that is committed and not stored, and every row that is false."""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import say, tell_step
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.written import written
from trailhouse.cli.times_and_offsets import EXAMPLES as TIMES
from trailhouse.cli.times_and_offsets import since as since_of

if TYPE_CHECKING:
    from trailhouse.operate.derived_rows import DerivedRows
    from trailhouse.operate.reconcile.comparison import Reconciliation
    from trailhouse.operate.reconcile.deep import Deep
    from trailhouse.operate.reconcile.derived_columns import Contradiction

EXAMPLES = (
    "trailhouse reconcile",
    "trailhouse reconcile --since 24h --format json",
    "trailhouse reconcile --deep --partition 3",
    "trailhouse reconcile --hashes",
)
SHOWN = 200


def reconcile(
    since: Annotated[
        dt.datetime | None,
        typer.Option(
            parser=since_of,
            metavar="TIME",
            help=f"Only what Kafka took then or later: {TIMES}.",
        ),
    ] = None,
    partition: Annotated[
        list[int] | None, typer.Option(min=0, help="Only this partition; may be repeated.")
    ] = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Read Kafka's records again, and compare every byte and column with ledger and rows.",
        ),
    ] = False,
    hashes: Annotated[
        bool,
        typer.Option(
            "--hashes",
            help="Instead, without Kafka: name every row that contradicts its own record.",
        ),
    ] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """Compare Kafka's offsets, the ledger and the tables, and name every gap with the way out.

    The exit code is 1 when there is a gap, or a row or batch that is false. Nothing is changed, and a
    worker may run meanwhile.
    """
    if hashes and (since is not None or partition or deep):
        raise typer.BadParameter("--hashes looks at every row: leave out the other options")
    if hashes:
        _check_hashes(format)
        return
    found = _compared(since, partition or (), is_deep=deep)
    if not written(format, found):
        _print(found)
    if not found.is_sound:
        raise typer.Exit(1)


def _compared(
    since: dt.datetime | None, partitions: Sequence[int], *, is_deep: bool
) -> "Reconciliation":
    from trailhouse.consumer.config import WorkerConfig
    from trailhouse.operate.derived_rows import patient
    from trailhouse.operate.reconcile.comparison import reconcile as compare
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    kafka, clickhouse, worker = KafkaConfig(), patient(ClickHouseConfig()), WorkerConfig()
    with ClickHouse(clickhouse) as storage:
        check_with(storage)
        return compare(
            kafka,
            storage,
            worker.group_id,
            since=since,
            partitions=partitions,
            is_deep=is_deep,
            report=tell_step,
        )


def _check_hashes(format: Format) -> None:
    import msgspec

    from trailhouse.operate.reconcile.row_hashes import SLICE_TIMEOUT_SECONDS, check_hashes
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    config = ClickHouseConfig()
    patient = max(config.timeout_seconds, SLICE_TIMEOUT_SECONDS)
    with ClickHouse(msgspec.structs.replace(config, timeout_seconds=patient)) as storage:
        check_with(storage)
        found = check_hashes(storage, tell_step)
    if not written(format, found):
        _print_false(found.named, found.contradictions)
        say(f"{counted(found.rows, 'row')} hashed, {counted(found.contradictions, 'false row')}")
    if found.contradictions:
        raise typer.Exit(1)


def _print(found: "Reconciliation") -> None:
    from trailhouse.cli.output.console import results
    from trailhouse.cli.output.table import print_table

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
    for table in found.derived:
        _print_derived(table)
    for note in found.notes:
        say(f"note: {note}")
    if found.deep is not None:
        _print_deep(found.deep)
    say(f"{counted(len(found.gaps), 'gap')} in topic {found.topic}, group {found.group_id}")


def _print_derived(found: "DerivedRows") -> None:
    for each in found.differing[:SHOWN]:
        say(
            f"{each.table}, {each.date}: lacks {each.missing} of {counted(each.rows, 'row')}, has {each.extra}"
            f" too many, {each.altered} say otherwise than the log; `trailhouse rebuild` mends it"
        )
    days = len(found.differing) + found.unchecked_days
    if days > SHOWN:
        say(f"{found.table}: … and {days - SHOWN} more days; `trailhouse rebuild` mends them")
    if not days:
        say(f"{found.table} follows from the log: {counted(found.rows, 'row')}")


def _print_deep(found: "Deep") -> None:
    _print_false(found.named, found.contradictions)
    if found.unchecked_batches:
        say(f"note: {counted(found.unchecked_batches, 'ledger row')} reach beyond what was read")
    say(
        f"{counted(found.records, 'record')} compared with {counted(found.rows, 'row')} and"
        f" {counted(found.batches, 'ledger row')}: {counted(found.contradictions, 'contradiction')}"
    )


def _print_false(named: "Sequence[Contradiction]", count: int) -> None:
    for each in named[:SHOWN]:
        offsets = str(each.first_offset)
        if each.last_offset != each.first_offset:
            offsets += f" to {each.last_offset}"
        of = (
            f", session {each.session_id!r}, event {each.event_id}"
            if each.session_id or each.event_id
            else ""
        )
        say(
            f"{each.kind}: partition {each.partition}, offset {offsets}{of}: {each.why}; {each.way_out}"
        )
    if count > SHOWN:
        say(f"… and {count - SHOWN} more; --format json names {len(named)}")
