"""Time zones as offsets: what ClickHouse adds is what Python's zone says, to the second."""

import datetime as dt
import zoneinfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.query.local_time import (
    in_zone,
    month_of,
    offsets_within,
    start_of,
    time_of,
    with_whole_minutes,
    zone_named,
)
from trailhouse.query.search.totals import BucketSize, bucket_starts
from trailhouse.schemas.errors import QueryError

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Monrovia",
]
moments = st.builds(
    lambda seconds, microseconds: (
        dt.datetime(1, 1, 4, tzinfo=dt.UTC)
        + dt.timedelta(seconds=seconds, microseconds=microseconds)
    ),
    st.integers(0, 3_652_050 * 86_400),
    st.integers(0, 999_999),
)


@given(several=st.lists(moments, min_size=1, max_size=20), name=st.sampled_from(ZONES))
def test_an_offset_is_that_of_the_zone(several: list[dt.datetime], name: str) -> None:
    """Of whatever days, the offset of each moment on them is the zone's own."""
    zone = zoneinfo.ZoneInfo(name)
    microseconds = [(moment - EPOCH) // MICROSECOND for moment in several]
    offsets = offsets_within(zone, [each // 86_400_000_000 for each in microseconds])
    for moment, each in zip(several, microseconds, strict=True):
        assert offsets.at(each) * MICROSECOND == moment.astimezone(zone).utcoffset()


@given(moment=moments, name=st.sampled_from(ZONES))
def test_a_period_starts_when_its_zone_says(moment: dt.datetime, name: str) -> None:
    """The local start of an hour and of a day, read back, are the zone's own times of that moment."""
    zone = zoneinfo.ZoneInfo(name)
    there = moment.astimezone(zone)
    offset = there.utcoffset()
    assert offset is not None
    local_us = (moment + offset - EPOCH) // MICROSECOND
    hour = start_of("hour", local_us - local_us % 3_600_000_000, zone, offset // MICROSECOND)
    assert dt.timedelta() <= moment - hour < dt.timedelta(hours=1)
    day = start_of("day", local_us - local_us % 86_400_000_000, zone, 0)
    assert (day.date(), day.hour, day.minute) == (there.date(), 0, 0)


@given(moment=moments, name=st.sampled_from(ZONES))
def test_a_start_is_the_same_moment_once_it_is_written(moment: dt.datetime, name: str) -> None:
    """RFC 3339 has no seconds of an offset: what clocks showed of the sun's time is told by whole minutes, exactly."""
    zone = zoneinfo.ZoneInfo(name)
    there = moment.astimezone(zone)
    offset = there.utcoffset()
    assert offset is not None
    local_us = (moment + offset - EPOCH) // MICROSECOND
    hour = start_of("hour", local_us - local_us % 3_600_000_000, zone, offset // MICROSECOND)
    day = start_of("day", local_us - local_us % 86_400_000_000, zone, 0)
    for found in (hour, day, with_whole_minutes(there)):
        assert msgspec.json.decode(msgspec.json.encode(found), type=dt.datetime) == found
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    assert day.astimezone(dt.UTC) == midnight.astimezone(dt.UTC)
    assert with_whole_minutes(there) == moment


def test_the_sun_s_time_is_told_by_the_next_whole_minute() -> None:
    """Hour and date stay what that clock showed, on either side of Greenwich."""
    day = dt.timedelta(days=1)
    for name, year, expected in (
        ("Europe/Berlin", 1890, "1890-01-01T00:00:32+00:54"),
        ("America/New_York", 1880, "1880-01-01T00:00:02-04:56"),
        ("Europe/Berlin", 1990, "1990-01-01T00:00:00+01:00"),
    ):
        local = dt.datetime(year, 1, 1, tzinfo=dt.UTC) - EPOCH
        found = start_of("day", local // day * (day // MICROSECOND), zone_named(name), 0)
        assert found.isoformat() == expected


@given(moment=moments)
def test_a_month_begins_on_its_first_day(moment: dt.datetime) -> None:
    """Any day's month begins on the first of that month."""
    first = month_of((moment - EPOCH) // dt.timedelta(days=1))
    assert EPOCH + dt.timedelta(days=first) == moment.replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )


@pytest.mark.parametrize("day", [-(10**9), -719_162, 2_932_896, 10**9])
def test_what_python_has_no_local_time_for_is_read_as_utc(day: int) -> None:
    """The ends of the calendar, and days beyond it, have the offset 0 and raise nothing."""
    zone = zone_named("America/New_York")
    assert offsets_within(zone, [day]).offsets_us[0] == 0
    assert 1 <= time_of(day * 86_400_000_000).year <= 9999
    assert 1 <= start_of("day", day * 86_400_000_000, zone, 0).year <= 9999


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize("day", [-719_162, -719_161, 2_932_895, 2_932_896])
def test_hours_and_days_at_the_ends_of_the_calendar_are_those_of_utc(name: str, day: int) -> None:
    """The first and the last two days: each period is named as it is counted, and none is out of range."""
    zone = zone_named(name)
    for hour in (0, 23):
        us = day * 86_400_000_000 + hour * 3_600_000_000
        for found in (start_of("hour", us, zone, 0), in_zone(us, zone)):
            assert (found, found.utcoffset()) == (time_of(us), dt.timedelta())
    midnight = time_of(day * 86_400_000_000)
    found = start_of("day", day * 86_400_000_000, zone, 0)
    assert (found, found.utcoffset()) == (midnight, dt.timedelta())


@pytest.mark.parametrize("by", ["hour", "day", "month"])
@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize(
    "first_us", [-719_162 * 86_400_000_000, 2_932_894 * 86_400_000_000 + 72_000_000_000]
)
def test_buckets_at_the_ends_of_the_calendar_follow_each_other(
    first_us: int, name: str, by: BucketSize
) -> None:
    """From the first moment of all, and up to the last: in order, the first not after what it holds, none twice."""
    zone = zone_named(name)
    last_us = first_us + 52 * 3_600_000_000 - 1
    starts = bucket_starts(first_us, last_us, by, zone)
    assert starts == sorted(set(starts))
    assert starts[0] <= first_us
    named = [in_zone(each, zone) for each in starts]
    assert [(each - EPOCH) // MICROSECOND for each in named] == starts


@pytest.mark.parametrize("name", ["", "Nowhere", "../UTC", "/etc/localtime", "\0", "Asia", "utc\n"])
def test_a_zone_that_is_not_there_is_an_error(name: str) -> None:
    """Whatever is not the name of a zone is refused, and not echoed."""
    with pytest.raises(QueryError, match=r"^zone: ") as caught:
        zone_named(name)
    assert name == "" or name not in str(caught.value)
