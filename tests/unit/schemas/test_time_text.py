"""Times as people write them, told from a given now and in a given zone."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from trailhouse.schemas.errors import QueryError
from trailhouse.schemas.time_text import first_moment, last_moment

NOW = dt.datetime(2026, 11, 1, 4, 30, tzinfo=dt.UTC)
BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("90s", NOW - dt.timedelta(seconds=90)),
        ("2h", NOW - dt.timedelta(hours=2)),
        (" 7D ", NOW - dt.timedelta(days=7)),
        ("2026-11-28T12:00Z", dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)),
        ("2026-11-28t12:00:00.000001z", dt.datetime(2026, 11, 28, 12, 0, 0, 1, tzinfo=dt.UTC)),
        ("2026-11-28T12:00:00.0000019Z", dt.datetime(2026, 11, 28, 12, 0, 0, 1, tzinfo=dt.UTC)),
        ("2026-11-28 13:00:00+01:00", dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)),
    ],
)
def test_a_moment_is_the_same_at_both_ends(text: str, expected: dt.datetime) -> None:
    """A time or a while is exact, in every zone of days."""
    for parse in (first_moment, last_moment):
        assert parse(text, NOW) == parse(text, NOW, BERLIN) == expected


@pytest.mark.parametrize(
    ("text", "zone", "start", "end"),
    [
        ("today", dt.UTC, "2026-11-01T00:00:00Z", "2026-11-01T23:59:59.999999Z"),
        ("yesterday", dt.UTC, "2026-10-31T00:00:00Z", "2026-10-31T23:59:59.999999Z"),
        ("2026-10-31", dt.UTC, "2026-10-31T00:00:00Z", "2026-10-31T23:59:59.999999Z"),
        # There it is still October, and the day on which clocks go back has 25 hours.
        ("today", ZoneInfo("America/Los_Angeles"), "2026-10-31T07:00:00Z", "2026-11-01T06:59:59.999999Z"),
        ("2026-11-01", NEW_YORK, "2026-11-01T04:00:00Z", "2026-11-02T04:59:59.999999Z"),
        ("2026-03-29", BERLIN, "2026-03-28T23:00:00Z", "2026-03-29T21:59:59.999999Z"),
        ("9999-12-31", dt.UTC, "9999-12-31T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ],
)  # fmt: skip
def test_a_day_is_all_of_it_in_its_zone(text: str, zone: dt.tzinfo, start: str, end: str) -> None:
    """From its first to its last microsecond, however many hours clocks make of it."""
    assert first_moment(text, NOW, zone) == dt.datetime.fromisoformat(start)
    assert last_moment(text, NOW, zone) == dt.datetime.fromisoformat(end)


@pytest.mark.parametrize(
    "text",
    ["", " ", "1", "h", "1y", "tomorrow", "1.5h", "-2h", "2026-13-01", "2026-02-30", "2026-W05", "20261128",
     "2026-11-28T25:00Z", "2026-11-28T12:00:60Z", "2026-11-28T12Z", "12:00",
     "2026-11-28T12:00+0100", "٢h", "2026-11-28\x00"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_what_is_allowed(text: str) -> None:
    """Odd spellings are not guessed at."""
    for parse in (first_moment, last_moment):
        with pytest.raises(
            QueryError, match="is not a time such as 2h, yesterday, 2026-11-28 or RFC 3339"
        ):
            parse(text, NOW)


def test_a_time_without_a_zone_is_refused() -> None:
    """It could be two times; the error shows how to write the one."""
    for text in ("2026-11-28 14:00", "2026-11-28T14:00"):
        with pytest.raises(QueryError, match="names no zone; write 2026-11-28T14:00Z for UTC"):
            first_moment(text, NOW)


@pytest.mark.parametrize("text", ["999999999d", "999999999w"])
def test_what_is_before_the_first_year_is_refused(text: str) -> None:
    """A while that is too long is named."""
    with pytest.raises(QueryError, match="before the year 1"):
        last_moment(text, NOW)
