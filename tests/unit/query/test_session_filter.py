"""What a caller may ask for: any string, aware times, limits from 1."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.query.filtering.filters import microseconds, session_filter
from trailhouse.schemas import EventType
from trailhouse.schemas.errors import QueryError

NAIVE = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - what must be refused


def asked(**arguments: Any) -> Any:
    """Return the filter for one session with *arguments*."""
    return session_filter("s", tenant_id=None, **arguments)


@given(st.text(st.characters(exclude_categories=[]), max_size=50))
def test_any_string_is_a_legal_value(text: str) -> None:
    """No string is refused, and the ones no event can carry are known to match nothing."""
    wanted = session_filter(text, tenant_id=text, run_id=text, type=text)
    can_match = text != "" and not any(0xD800 <= ord(character) <= 0xDFFF for character in text)
    assert wanted.is_hopeless is not can_match


@given(
    st.datetimes(
        timezones=st.timezones()
        | st.sampled_from([dt.timezone(dt.timedelta(hours=hours)) for hours in (-14, 14)])
    )
)
def test_a_time_is_exact_to_the_microsecond(moment: dt.datetime) -> None:
    """Years 1 to 9999 and any time zone: the same instant gives the same number."""
    offset = moment.utcoffset()
    assert offset is not None
    days = moment.date().toordinal() - dt.date(1970, 1, 1).toordinal()
    seconds = ((days * 24 + moment.hour) * 60 + moment.minute) * 60 + moment.second
    assert microseconds(
        moment, "since"
    ) == seconds * 1_000_000 + moment.microsecond - offset // dt.timedelta(microseconds=1)


def test_the_ends_of_time_are_exact() -> None:
    """The first and the last microsecond that a datetime can hold."""
    assert microseconds(dt.datetime.min.replace(tzinfo=dt.UTC), "since") == -62_135_596_800_000_000
    assert microseconds(dt.datetime.max.replace(tzinfo=dt.UTC), "until") == 253_402_300_799_999_999
    assert (
        microseconds(dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC), "since") == -1
    )


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"since": NAIVE}, "since: must have a time zone"),
        ({"until": NAIVE}, "until: must have a time zone"),
        ({"since": "2026-01-01T00:00:00Z"}, "since: must be a datetime with a time zone, got str"),
        ({"until": dt.date(2026, 1, 1)}, "until: must be a datetime with a time zone, got date"),
        ({"limit": 0}, "limit: must be at least 1"),
        ({"limit": -1}, "limit: must be at least 1"),
        ({"limit": True}, "limit: must be a whole number, got bool"),
        ({"limit": 1.5}, "limit: must be a whole number, got float"),
        ({"limit": "10"}, "limit: must be a whole number, got str"),
        ({"run_id": 5}, "run_id: must be a string, got int"),
        ({"run_id": b"r"}, "run_id: must be a string, got bytes"),
        ({"type": b"run_started"}, "type: must be a string or several, got bytes"),
        ({"type": 5}, "type: must be a string or several, got int"),
        ({"type": ["run_started", None]}, "type: must be a string, got NoneType"),
    ],
)
def test_what_cannot_be_answered_is_refused(arguments: dict[str, Any], rule: str) -> None:
    """The error names the argument and the rule, and never the value."""
    with pytest.raises(QueryError, match=rule):
        asked(**arguments)


def test_a_session_must_be_a_string() -> None:
    """None as a session is a mistake and not "all sessions"."""
    with pytest.raises(QueryError, match="session_id: must be a string, got NoneType"):
        session_filter(None, tenant_id=None)  # type: ignore[arg-type]  # what a caller without types does


def test_types_may_be_one_or_several() -> None:
    """A name, a member, or any iterable of them."""
    assert asked(type="run_started").types == ("run_started",)
    assert asked(type=EventType.RUN_STARTED).types == ("run_started",)
    assert asked(type=(name for name in ("a", "b", "a"))).types == ("a", "b")
    assert asked(type=[]).is_hopeless


def test_a_type_that_cannot_be_stored_does_not_hide_the_others() -> None:
    """Of several types, one that matches nothing adds nothing."""
    assert asked(type=["\ud800", "", "run_started"]).types == ("run_started",)


def test_a_limit_beyond_every_session_is_no_limit() -> None:
    """A number that ClickHouse could not hold means as many as there are."""
    assert asked(limit=10**30).limit == 2**63 - 1
