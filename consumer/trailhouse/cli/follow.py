"""`trailhouse follow`: events as they are stored, each once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.asking import FilterArgument, TenantOption, filter_of
from trailhouse.cli.output.console import say, tell, write_records
from trailhouse.cli.output.formats import EndlessFormat, one_line
from trailhouse.cli.output.statements import ShowSqlOption

if TYPE_CHECKING:
    from trailhouse.query import AlteredEvent, Follower
    from trailhouse.schemas.event import AuditEvent

EXAMPLES = (
    "trailhouse follow",
    "trailhouse follow 'type:(run_failed OR run_timeout)'",
    "trailhouse follow --format jsonl --token-file follow.token >> log.jsonl",
)


FromStart = Annotated[
    bool, typer.Option("--from-start", help="Begin with the first event, not with the next.")
]
TokenOption = Annotated[
    str | None, typer.Option(metavar="TOKEN", help="Go on where this was left off.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="Go on from the token in this file, if there is one, and keep it there."),
]
WithToken = Annotated[
    bool,
    typer.Option(
        "--with-token",
        help='Write {"token": …, "event": …}: what goes on right after each event.',
    ),
]
Count = Annotated[
    int | None, typer.Option(min=1, help="End after so many events.", show_default=False)
]
FollowFormat = Annotated[
    EndlessFormat, typer.Option(help="A line for people, or the exact record, one a line.")
]


def follow(
    filter: FilterArgument = None,
    from_start: FromStart = False,
    token: TokenOption = None,
    token_file: TokenFile = None,
    tenant: TenantOption = None,
    with_token: WithToken = False,
    count: Count = None,
    format: FollowFormat = EndlessFormat.TABLE,
    show_sql: ShowSqlOption = False,
) -> None:
    """Print events as they are stored, each once whatever is replayed or late, until Ctrl-C.

    Within a session they come as Kafka appended them. On Ctrl-C the token to go on with is told on standard error.
    Whoever must see none twice after a kill keeps the token beside the event: --with-token.
    """
    from trailhouse.query import AuditReader

    kept = token_file.read_text().strip() if token_file is not None and token_file.exists() else ""
    begun = token or kept or None
    with (
        AuditReader(tenant) as reader,
        reader.follow(
            filter_of(filter, cursor=begun), token=begun, from_start=from_start
        ) as follower,
    ):
        try:
            _print_all(
                follower,
                count,
                token_file,
                is_record=format is EndlessFormat.JSONL,
                with_token=with_token,
            )
        finally:
            tell(f"go on with --token {follower.token}")


def _print_all(
    follower: "Follower",
    count: int | None,
    token_file: Path | None,
    *,
    is_record: bool,
    with_token: bool,
) -> None:
    import sys

    left = count
    while left is None or left > 0:
        most = 1 if with_token else min(left or 1_000, 1_000)
        found = follower.read(1.0, most)
        for each in found.items:
            _print(each, found.token if with_token else None, is_record=is_record)
        if found.items:
            sys.stdout.flush()
            if token_file is not None:
                _keep(token_file, found.token)
            left = None if left is None else left - len(found.items)


def _print(event: "AuditEvent | AlteredEvent", token: str | None, *, is_record: bool) -> None:
    from trailhouse.query import AlteredEvent

    if isinstance(event, AlteredEvent):
        tell(f"altered: event {event.event_id}: {event.reason}")
    elif token is not None:
        record = one_line(event.record)
        write_records(b'{"token":"' + token.encode() + b'","event":' + record + b"}\n")
    elif is_record:
        write_records(one_line(event.record) + b"\n")
    else:
        from trailhouse.cli.output.cells import time_cell
        from trailhouse.cli.output.event_summary import content, subject

        parts = (
            time_cell(event.occurred_at),
            event.session_id,
            event.type,
            subject(event),
            content(event),
        )
        say("  ".join(part for part in parts if part))


def _keep(file: Path, token: str) -> None:
    """Write the token so that a kill leaves the old one or the new one."""
    part = file.with_name(f"{file.name}.part")
    part.write_text(token + "\n")
    part.replace(file)
