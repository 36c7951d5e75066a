"""A time as people write it: 2h, yesterday, 2026-10-31, RFC 3339. Pure: now and the zone of days are given."""

import datetime as dt
import re

from trailhouse.schemas.errors import QueryError

ALLOWED = "2h, yesterday, 2026-11-28 or RFC 3339 such as 2026-11-28T14:00:00Z"
"""What a time may look like, for help and errors. A unit is s, m, h, d or w."""

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAYS_AGO = {"today": 0, "yesterday": 1}
_SHOWN_CHARACTERS = 80
_MICROSECOND = dt.timedelta(microseconds=1)
_is_while = re.compile(r"([0-9]{1,9})([smhdw])").fullmatch
_is_day = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_is_moment = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[t ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?"
    r"(?P<zone>z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"
).fullmatch


def first_moment(text: str, now: dt.datetime, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    """Return the time that *text* names, aware; a day means its start in *zone*.

    Raises:
        QueryError: It is no time, has no zone, or cannot be told from *now*; says what is allowed. Permanent.
    """
    found = _named(text, now, zone)
    return _start(found, zone, text) if not isinstance(found, dt.datetime) else found


def last_moment(text: str, now: dt.datetime, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    """Return the time that *text* names, aware; a day means its last microsecond in *zone*.

    Raises:
        QueryError: As for `first_moment`. Permanent.
    """
    found = _named(text, now, zone)
    if isinstance(found, dt.datetime):
        return found
    try:
        # Not this day's start and 24 hours: where clocks are changed a day is shorter or longer.
        return _start(found + dt.timedelta(1), zone, text).astimezone(dt.UTC) - _MICROSECOND
    except OverflowError:
        return dt.datetime.max.replace(tzinfo=dt.UTC)


def is_told_from_now(text: str) -> bool:
    """Tell whether *text* names another time later on: ``2h``, ``yesterday``, and no day or moment by its date."""
    word = text.strip().lower()
    return word == "now" or word in _DAYS_AGO or _is_while(word) is not None


def _named(text: str, now: dt.datetime, zone: dt.tzinfo) -> dt.datetime | dt.date:
    text = text[:_SHOWN_CHARACTERS]  # longer than any time is
    word = text.strip().lower()
    try:
        if word == "now":
            return now
        if word in _DAYS_AGO:
            return now.astimezone(zone).date() - dt.timedelta(_DAYS_AGO[word])
        if found := _is_while(word):
            return now - dt.timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
        if _is_day(word):
            return dt.date.fromisoformat(word)
        if (found := _is_moment(word)) is not None:
            if found["zone"] is None:
                raise QueryError(
                    f"{text!r} names no zone; write {word.replace(' ', 't').upper()}Z for UTC"
                )
            return dt.datetime.fromisoformat(word.upper())
    except OverflowError:
        raise QueryError(f"{text!r} is before the year 1") from None
    except ValueError:
        pass
    raise QueryError(f"{text!r} is not a time such as {ALLOWED}")


def _start(day: dt.date, zone: dt.tzinfo, text: str) -> dt.datetime:
    moment = dt.datetime.combine(day, dt.time.min, tzinfo=zone)
    try:
        moment.astimezone(dt.UTC)
    except OverflowError:
        raise QueryError(f"{text!r} is before the year 1") from None
    return moment
