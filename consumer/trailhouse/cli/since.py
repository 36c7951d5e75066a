"""Times and places on the command line: RFC 3339, a while ago such as 1h, PARTITION:OFFSET."""

import datetime as dt
import re
from typing import TYPE_CHECKING

import typer

from trailhouse.cli.log import moment

if TYPE_CHECKING:
    from trailhouse.consumer.replay_plan import Bound, Place

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_is_while = re.compile(r"([0-9]{1,9})([smhd])").fullmatch
_is_place = re.compile(r"([0-9]{1,5}):([0-9]{1,18})").fullmatch


def since(text: str) -> dt.datetime:
    """Return the time that *text* names: RFC 3339, or so long ago: 90s, 15m, 1h, 7d."""
    if found := _is_while(text):
        try:
            return dt.datetime.now(dt.UTC) - dt.timedelta(
                seconds=int(found[1]) * _SECONDS[found[2]]
            )
        except OverflowError:
            raise typer.BadParameter(f"{text!r} is before the year 1") from None
    try:
        return moment(text)
    except typer.BadParameter as error:
        if "no time zone" in error.message:
            raise
        raise typer.BadParameter(
            f"{text!r} is neither an RFC 3339 time such as 2026-01-31T08:00:00Z nor a while such as 1h"
        ) from None


def place(text: str) -> "Place":
    """Return the place that *text*, PARTITION:OFFSET, names."""
    from trailhouse.consumer.replay_plan import Place

    if found := _is_place(text):
        return Place(int(found[1]), int(found[2]))
    raise typer.BadParameter(f"{text!r} is no place such as 3:1200, which is PARTITION:OFFSET")


def bound(text: str) -> "Bound":
    """Return the time or the place that *text* names."""
    return place(text) if _is_place(text) else since(text)
