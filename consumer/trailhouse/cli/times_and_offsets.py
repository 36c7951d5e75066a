"""Times and places on the command line: 2h, yesterday, 2026-11-28, RFC 3339, PARTITION:OFFSET."""

import datetime as dt
import re
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trailhouse.operate.replay.plan import Bound, OffsetRef

EXAMPLES = "2h, yesterday, 2026-11-28, 2026-11-28 14:00 or RFC 3339"
"""What a time may look like, for the help of an option."""

SINCE_HELP = f"Not before this time: {EXAMPLES}; UTC unless it names a zone."
UNTIL_HELP = f"Not after this time: {EXAMPLES}; a day means its end."

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAYS_AGO = {"today": 0, "yesterday": 1}
_LAST_INSTANT = dt.time(23, 59, 59, 999_999, tzinfo=dt.UTC)
_is_while = re.compile(r"([0-9]{1,9})([smhdw])").fullmatch
_is_day = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_is_place = re.compile(r"([0-9]{1,5}):([0-9]{1,18})").fullmatch


def since(text: str) -> dt.datetime:
    """Return the time that *text* names; a day means its start, and no zone means UTC."""
    return _moment(text, dt.time.min.replace(tzinfo=dt.UTC))


def until(text: str) -> dt.datetime:
    """Return the time that *text* names; a day means its last microsecond, and no zone means UTC."""
    return _moment(text, _LAST_INSTANT)


def _moment(text: str, of_day: dt.time) -> dt.datetime:
    word = text.strip().lower()
    now = dt.datetime.now(dt.UTC)
    if word == "now":
        return now
    try:
        if word in _DAYS_AGO:
            return dt.datetime.combine(now.date() - dt.timedelta(_DAYS_AGO[word]), of_day)
        if found := _is_while(word):
            return now - dt.timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
        if _is_day(word):
            return dt.datetime.combine(dt.date.fromisoformat(word), of_day)
        moment = dt.datetime.fromisoformat(text.strip())
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is before the year 1") from None
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time such as {EXAMPLES}") from None
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=dt.UTC)


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
