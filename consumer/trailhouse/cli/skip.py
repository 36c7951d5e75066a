"""`trailhouse skip`: pass over offsets at which a partition stands still."""

import getpass
import re
from typing import Annotated

import typer

from trailhouse.cli.output.console import say

EXAMPLES = (
    'trailhouse skip 3:1200 --reason "a damaged batch at the end of the log" --dry-run',
    'trailhouse skip 3:1200-1299 --reason "a damaged batch, ticket 4711"',
)


def skip(
    offsets: Annotated[
        str, typer.Argument(metavar="PARTITION:OFFSET[-OFFSET]", help="What the group stands at.")
    ],
    reason: Annotated[str, typer.Option(help="Why; kept in the incident and in quarantine.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
) -> None:
    """Pass over records that nobody can read, for good: who did it and why is kept as an incident.

    A worker passes over what cannot be opened by itself; this is for what remains. Only the offsets at which
    the group stands can be passed over, and none that is stored.
    """
    from trailhouse.consumer.config import WorkerConfig
    from trailhouse.operate.skip import skip as pass_over
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.schemas.ranges import Range
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    if (named := re.fullmatch(r"(\d{1,9}):(\d{1,18})(?:-(\d{1,18}))?", offsets)) is None:
        raise typer.BadParameter("must be PARTITION:OFFSET or PARTITION:OFFSET-OFFSET")
    partition, first, last = int(named[1]), int(named[2]), int(named[3] or named[2])
    if not reason.strip():
        raise typer.BadParameter("must say why", param_hint="--reason")
    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        done = pass_over(
            KafkaConfig(), storage, WorkerConfig().group_id, partition, Range(first, last),
            who=getpass.getuser(), reason=reason.strip(), is_dry_run=dry_run,
        )  # fmt: skip
    where = f"{partition}:{done.first_offset}-{done.last_offset}"
    if dry_run:
        say(f"{where} would be passed over")
    else:
        moved = (
            "the group's offset was moved"
            if done.is_moved
            else "the worker that stands there goes on"
        )
        say(f"{where} passed over; {moved}")
