"""Times and places on the command line: 2h, yesterday, 2026-11-28, RFC 3339, PARTITION:OFFSET."""

import datetime as dt
import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trailhouse.operate.replay.plan import Bound, OffsetRef

EXAMPLES = "2h, yesterday, 2026-11-28 or RFC 3339 such as 2026-11-28T14:00:00Z"
"""What a time may look like, for the help of an option: `ALLOWED` of the module that reads them, imported late."""

SINCE_HELP = f"Not before this time: {EXAMPLES}; a day is UTC's."
UNTIL_HELP = f"Not after this time: {EXAMPLES}; a day means its end."

_is_place = re.compile(r"([0-9]{1,5}):([0-9]{1,18})").fullmatch


def since(text: str) -> dt.datetime:
    """Return the time that *text* names; a day means its start in UTC."""
    return _moment(text, is_end=False)


def until(text: str) -> dt.datetime:
    """Return the time that *text* names; a day means its last microsecond in UTC."""
    return _moment(text, is_end=True)


SinceOption = Annotated[
    dt.datetime | None, typer.Option("--since", parser=since, metavar="TIME", help=SINCE_HELP)
]
UntilOption = Annotated[
    dt.datetime | None, typer.Option("--until", parser=until, metavar="TIME", help=UNTIL_HELP)
]


def _moment(text: str, *, is_end: bool) -> dt.datetime:
    from trailhouse.schemas.errors import QueryError
    from trailhouse.schemas.time_text import first_moment, last_moment

    try:
        return (last_moment if is_end else first_moment)(text, dt.datetime.now(dt.UTC))
    except QueryError as error:
        raise typer.BadParameter(str(error)) from None


def place(text: str) -> "OffsetRef":
    """Return the place that *text*, PARTITION:OFFSET, names."""
    from trailhouse.operate.replay.plan import OffsetRef

    if found := _is_place(text):
        return OffsetRef(int(found[1]), int(found[2]))
    raise typer.BadParameter(f"{text!r} is not a place such as 3:1200, which is PARTITION:OFFSET")


def first_bound(text: str) -> "Bound":
    """Return the place or the time that *text* names, as the start of a range."""
    return place(text) if _is_place(text) else since(text)


def last_bound(text: str) -> "Bound":
    """Return the place or the time that *text* names, as the end of a range."""
    return place(text) if _is_place(text) else until(text)
