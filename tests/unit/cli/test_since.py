"""Times and places as they are written on the command line."""

import datetime as dt

import pytest
import typer

from trailhouse.cli.since import bound, place, since
from trailhouse.consumer.replay_plan import Place


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3_600), ("7d", 604_800)]
)
def test_a_while_is_so_long_ago(text: str, seconds: int) -> None:
    """A number and a unit: the time that much before now."""
    found = since(text)
    ago = dt.datetime.now(dt.UTC) - found
    assert seconds <= ago.total_seconds() < seconds + 5


def test_a_bound_is_a_time_or_a_place() -> None:
    """PARTITION:OFFSET is a place; everything else is a time with a time zone."""
    assert bound("3:1200") == Place(3, 1_200)
    assert bound("2026-01-31T08:00:00Z") == dt.datetime(2026, 1, 31, 8, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text", ["", "1", "h", "1w", "yesterday", "999999999d", "1.5h", "2026-01-31T08:00:00"]
)
def test_what_is_no_time_is_wrong_use(text: str) -> None:
    """It is refused with an example of what is right, or with what is wrong."""
    with pytest.raises(typer.BadParameter, match=r"RFC 3339|time zone|before the year"):
        since(text)


@pytest.mark.parametrize("text", ["", "1", "1:", ":1", "1:-1", "1:2:3", "a:b", "1:2 ", "999999:1"])
def test_what_is_no_place_is_wrong_use(text: str) -> None:
    """It is refused with an example of what is right."""
    with pytest.raises(typer.BadParameter, match="PARTITION:OFFSET"):
        place(text)
