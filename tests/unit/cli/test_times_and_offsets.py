"""Times and places as they are written on the command line."""

import datetime as dt

import pytest
import typer

from trailhouse.cli import app as _every_command  # noqa: F401  # pyright: ignore[reportUnusedImport]
from trailhouse.cli.reference import commands
from trailhouse.cli.times_and_offsets import EXAMPLES, first_bound, last_bound, place, since, until
from trailhouse.operate.replay.plan import OffsetRef
from trailhouse.schemas.time_text import ALLOWED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7_200), ("7d", 604_800), ("1W", 604_800)],
)
def test_a_while_is_so_long_ago(text: str, seconds: int) -> None:
    """A number and a unit: the time that much before now."""
    for parse in (since, until):
        found = parse(text)
        ago = dt.datetime.now(dt.UTC) - found
        assert seconds <= ago.total_seconds() < seconds + 5


def test_a_day_is_all_of_it() -> None:
    """A day as the start means its first instant, as the end its last one."""
    assert since("2026-11-28") == dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
    assert until("2026-11-28") == dt.datetime(2026, 11, 28, 23, 59, 59, 999_999, tzinfo=dt.UTC)
    for word, days in (("today", 0), ("yesterday", 1)):
        day = dt.datetime.now(dt.UTC).date() - dt.timedelta(days)
        assert since(word).date() == until(word).date() == day
        assert until(word) - since(word) == dt.timedelta(days=1, microseconds=-1)
    assert abs(since("now") - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=5)


def test_a_bound_is_a_time_or_a_place() -> None:
    """PARTITION:OFFSET is a place; everything else is a time."""
    assert first_bound("3:1200") == last_bound("3:1200") == OffsetRef(3, 1_200)
    assert first_bound("2026-01-31") == dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    assert last_bound("2026-01-31") == until("2026-01-31")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1",
        "h",
        "1y",
        "tomorrow",
        "999999999d",
        "999999999w",
        "1.5h",
        "-2h",
        "2026-13-01",
        "2026-02-30",
        "2026-11-28 12:00",
    ],
)
def test_what_is_no_time_is_wrong_use(text: str) -> None:
    """It is refused with examples of what is right, or with what is wrong."""
    for parse in (since, until):
        with pytest.raises(
            typer.BadParameter, match=r"not a time such as 2h|before the year|names no zone"
        ):
            parse(text)


@pytest.mark.parametrize("text", ["", "1", "1:", ":1", "1:-1", "1:2:3", "a:b", "1:2 ", "999999:1"])
def test_what_is_no_place_is_wrong_use(text: str) -> None:
    """It is refused with an example of what is right."""
    with pytest.raises(typer.BadParameter, match="PARTITION:OFFSET"):
        place(text)


def test_every_command_reads_times_alike() -> None:
    """Each option that takes a time says the same of what it may look like, or is the end of such a range."""
    found = [
        (path, option)
        for path, command in commands()
        for option in command.params
        if str(option.metavar or "").startswith("TIME")
    ]
    assert len(found) >= 8
    begins = [option for _, option in found if option.opts[0] in {"--since", "--from"}]
    assert begins
    assert all("yesterday" in option.help for option in begins)


def test_help_and_errors_allow_the_same() -> None:
    """What help says a time may look like is what the error of a wrong one says."""
    assert EXAMPLES == ALLOWED
