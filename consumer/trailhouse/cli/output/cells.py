"""Values as cells of a table: exact numbers, times in UTC, and nothing where nothing is known."""

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def cell(value: Any) -> str:
    """Return *value* as text for people; None is empty."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return plain_number(value)
        case dt.datetime():
            return time_cell(value)
        case list() | tuple() | Mapping():
            return json.dumps(value, ensure_ascii=False, default=cell)
        case _:
            return str(value)


def time_cell(moment: dt.datetime | None) -> str:
    """Return a time in UTC."""
    from trailhouse.schemas.json_form import rfc3339

    return "" if moment is None else rfc3339(moment)


def dollars(cost_usd: Decimal | None) -> str:
    """Return an amount of US dollars, exact; empty where it is unknown, which is not 0."""
    return "" if cost_usd is None else f"${plain_number(cost_usd)}"


def seconds(duration_seconds: float | None) -> str:
    """Return how long something took, in a unit that people read."""
    if duration_seconds is None:
        return ""
    if abs(duration_seconds) < 1:
        return f"{duration_seconds * 1000:.0f} ms"
    if abs(duration_seconds) < 120:
        return f"{duration_seconds:.1f} s"
    minutes = duration_seconds / 60
    return f"{minutes:.0f} min" if abs(minutes) < 120 else f"{minutes / 60:.1f} h"


def plain_number(value: Decimal) -> str:
    """Return a number without an exponent and without zeros at its end."""
    digits = format(value, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
