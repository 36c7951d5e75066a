"""`trailhouse quarantine`: the records that are not events, and how to bring them back."""

import datetime as dt
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.written import written
from trailhouse.cli.times_and_offsets import EXAMPLES as TIMES
from trailhouse.cli.times_and_offsets import place as place_of
from trailhouse.cli.times_and_offsets import since as since_of
from trailhouse.cli.times_and_offsets import until as until_of

if TYPE_CHECKING:
    from trailhouse.operate import Requeued
    from trailhouse.query.quarantine import Quarantined

_EPILOG = (
    "Examples:\n\ntrailhouse quarantine list --since 24h\n\ntrailhouse quarantine show 3:1200 --raw > record.bin\n\n"
    "trailhouse quarantine requeue --all --dry-run"
)
_COLUMNS = ("partition:offset", "appended", "bytes", "decodes", "stored", "reason")
_LIMIT = 100

quarantine_app = typer.Typer(
    no_args_is_help=True,
    help="Look at the records that are not events, and put them into the topic again.",
    epilog=_EPILOG,
)
Since = Annotated[
    dt.datetime | None,
    typer.Option(
        parser=since_of,
        metavar="TIME",
        help=f"Taken by Kafka then or later: {TIMES}.",
    ),
]
TopicId = Annotated[
    str | None, typer.Option(help="Id of the topic, where several of this name were used.")
]


@quarantine_app.command(
    name="list", epilog="Examples:\n\ntrailhouse quarantine list --since 24h --reason event_id"
)
def list_records(
    since: Since = None,
    until: Annotated[
        dt.datetime | None,
        typer.Option(parser=until_of, metavar="TIME", help="Taken by Kafka then or earlier."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only where the reason holds this text.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the last ones.")] = _LIMIT,
    format: FormatOption = Format.TABLE,
) -> None:
    """List what is in quarantine, the last record first; never its content.

    `decodes` says whether it is an event to this version; `stored`, whether its bytes were stored since.
    """
    from trailhouse.query.quarantine import Quarantine
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    kafka = KafkaConfig()
    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        records = Quarantine(storage, kafka.topic)
        places = records.find(
            since=since, until=until, reason=reason, limit=limit, is_newest_first=True
        )
        # The bytes of no more than a few records are in memory at a time.
        rows = [_summary(record) for record in records.fetch(places)]
        is_empty = not rows and not records.find(limit=1)
    if not written(format, rows) and rows:
        from trailhouse.cli.output.console import results
        from trailhouse.cli.output.table import print_table

        print_table(results(), _COLUMNS, [_cells(row) for row in rows])
    elif is_empty:
        tell("nothing in quarantine")
    else:
        tell("nothing in quarantine matches; without --since, --until and --reason all is listed")


@quarantine_app.command(
    epilog="Examples:\n\ntrailhouse quarantine show 3:1200\n\ntrailhouse quarantine show 3:1200 --raw > record.bin"
)
def show(
    place: Annotated[
        Any,
        typer.Argument(
            parser=place_of, metavar="PARTITION:OFFSET", help="Where it stood.", show_default=False
        ),
    ],
    topic_id: TopicId = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the record's exact bytes and nothing else.")
    ] = False,
) -> None:
    """Print one record's place, reason, key and headers, or its exact bytes."""
    from trailhouse.query.quarantine import Quarantine
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    kafka = KafkaConfig()
    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        records = Quarantine(storage, kafka.topic)
        record = next(records.fetch([records.locate(place.partition, place.offset, topic_id)]))
    if not raw:
        for line in _description(record, kafka.topic):
            say(line)
    elif record.record is None:
        tell("the record has no value")
    elif sys.stdout.isatty():
        raise typer.BadParameter(
            "the exact bytes go to a file or a pipe, not to a terminal: add > record.bin"
        )
    else:
        sys.stdout.buffer.write(record.record)


@quarantine_app.command(
    epilog="Examples:\n\ntrailhouse quarantine requeue 3:1200 3:1207\n\n"
    "trailhouse quarantine requeue --all --since 24h --dry-run"
)
def requeue(
    places: Annotated[
        list[Any] | None,
        typer.Argument(
            parser=place_of,
            metavar="PARTITION:OFFSET",
            help="Where they stood.",
            show_default=False,
        ),
    ] = None,
    all_records: Annotated[bool, typer.Option("--all", help="Every record in quarantine.")] = False,
    since: Since = None,
    topic_id: TopicId = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent and send nothing.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also what does not decode today, or is stored already."),
    ] = False,
) -> None:
    """Put records into the topic again: the same bytes, key and headers, and a header that says where they came from.

    Only what decodes today and is not stored yet is sent; with --all, the same bytes once. What an operator has ordered
    to be erased is never sent.

    The exit code is 1 when a record that was named, or that Kafka refused, was not sent.
    """
    from trailhouse.operate.requeue import requeue as requeue_records
    from trailhouse.proof.config import ProofConfig
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.erasures import ordered_erasures
    from trailhouse.store.migrate import check_with

    if bool(places) == all_records:
        raise typer.BadParameter("name records as PARTITION:OFFSET, or give --all")
    if places and since is not None:
        raise typer.BadParameter("--since goes with --all")
    kafka = KafkaConfig()
    sent = kept = refused = 0
    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        erased = ordered_erasures(storage, ProofConfig())
        for each in requeue_records(
            kafka, storage, places or [], since=since, topic_id=topic_id, is_dry_run=dry_run, is_forced=force,
            erased=erased,
        ):  # fmt: skip
            say(_outcome(each))
            sent += not each.is_kept
            kept += each.is_kept
            refused += each.refusal is not None
    verb = "would be sent" if dry_run else "sent"
    say(f"{counted(sent, 'record')} {verb}, {kept} not")
    if refused or (places and kept):
        raise typer.Exit(1)


def _outcome(found: "Requeued") -> str:
    name = f"{found.at.partition}:{found.at.offset}"
    if found.objection is not None:
        return f"{name} not sent: {found.objection}"
    if found.refusal is not None:
        return f"{name} not sent: Kafka refuses it ({found.refusal})"
    if found.sent_to is None:
        return f"{name} would be sent"
    return f"{name} sent to {found.sent_to[0]}:{found.sent_to[1]}"


def _summary(record: "Quarantined") -> dict[str, Any]:
    from trailhouse.schemas.json_form import rfc3339

    return {
        "cluster": record.at.cluster,
        "topic_id": record.at.topic_id,
        "partition": record.at.partition,
        "offset": record.at.offset,
        "appended_at": rfc3339(record.appended_at),
        "quarantined_at": rfc3339(record.quarantined_at),
        "reason": record.reason,
        "last_offset": record.last_offset,
        "size_bytes": None if record.record is None else record.size_bytes,
        "decodes": record.refusal is None,
        "stored": record.is_stored,
        "worker_version": record.worker_version,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        _range(row["partition"], row["offset"], row["last_offset"]),
        row["appended_at"],
        "null" if row["size_bytes"] is None else str(row["size_bytes"]),
        "yes" if row["decodes"] else "no",
        "yes" if row["stored"] else "no",
        row["reason"],
    )


def _description(record: "Quarantined", topic: str) -> list[str]:
    from trailhouse.schemas.json_form import rfc3339

    size = "no value" if record.record is None else counted(record.size_bytes, "byte")
    if record.record is not None and not record.is_whole:
        size += f", of which {len(record.record)} are kept"
    where = _range(record.at.partition, record.at.offset, record.last_offset)
    return [
        f"place        {topic} {where}, topic id {record.at.topic_id}",
        f"appended     {rfc3339(record.appended_at)}",
        f"quarantined  {rfc3339(record.quarantined_at)} by version {record.worker_version}",
        f"reason       {record.reason}",
        f"today        {record.refusal or 'it decodes'}",
        f"stored       {'yes, the same bytes' if record.is_stored else 'no'}",
        f"record       {size}",
        f"key          {_text(record.key)}",
        *(f"header       {name} = {_text(value)}" for name, value in record.headers),
    ]


def _range(partition: object, first_offset: object, last_offset: object) -> str:
    end = "" if last_offset == first_offset else f"-{last_offset}"
    return f"{partition}:{first_offset}{end}"


def _text(value: bytes | None) -> str:
    return "null" if value is None else value.decode(errors="backslashreplace")
