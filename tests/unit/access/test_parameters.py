"""Parameters of questions: each value checked by its kind, whichever door it came through."""

import datetime as dt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trailhouse.access.parameters import Kind, Parameter, time_of, values_of
from trailhouse.schemas.errors import QueryError


def a_parameter(kind: Kind) -> Parameter:
    """Return a parameter of that kind."""
    return Parameter(
        "p", kind, "meaning", choices=("a", "b"), least=1, most=10 if kind == "count" else 0
    )


@pytest.mark.parametrize(
    ("kind", "given_as", "taken_as"),
    [
        ("text", "", ""),
        ("count", "7", 7),
        ("count", 7, 7),
        ("count", 7.0, 7),
        ("flag", "true", True),
        ("flag", False, False),
        ("choice", "a", "a"),
        ("choices", ["b", "a"], ("b", "a")),
        ("texts", "one", ("one",)),
        ("uuid", "00000000-0000-0000-0000-00000000000A", "00000000-0000-0000-0000-00000000000A"),
        ("time", "2026-10-31T08:00:00.123456789Z", dt.datetime(2026, 10, 31, 8, 0, 0, 123456, dt.UTC)),
        ("time", "2026-10-31t08:00:00z", dt.datetime(2026, 10, 31, 8, tzinfo=dt.UTC)),
    ],
)  # fmt: skip
def test_a_value_is_taken_by_its_kind(kind: Kind, given_as: object, taken_as: object) -> None:
    """Text of an address and values of JSON mean the same."""
    assert a_parameter(kind).value_of(given_as) == taken_as


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("text", 7), ("text", None), ("text", ["a"]), ("text", "x" * 4_097), ("filter", "x" * 20_001),
        ("count", "0"), ("count", "11"), ("count", "7.0"), ("count", "+7"), ("count", " 7"), ("count", True),
        ("count", 7.5), ("count", float("nan")), ("count", float("inf")), ("count", "9" * 5_000),
        ("flag", "yes"), ("flag", 1), ("choice", "c"), ("choices", []), ("choices", ["a", "c"]), ("choices", {"a": 1}),
        ("texts", ["a"] * 101), ("texts", [1]), ("uuid", "0"), ("uuid", "{00000000-0000-0000-0000-000000000000}"),
        ("time", "2026-10-31"), ("time", "2026-13-31T08:00:00Z"), ("time", "0000-01-01T00:00:00Z"),
        ("time", "0001-01-01T00:00:00+14:00"), ("time", "٢٠٢٦-10-31T08:00:00Z"), ("time", "20261031T080000Z"),
    ],
)  # fmt: skip
def test_what_breaks_the_rule_is_refused_by_name(kind: Kind, bad: object) -> None:
    """The error names the parameter first, and shows nothing of the value."""
    with pytest.raises(QueryError, match=r"^p: (must|is too)"):
        a_parameter(kind).value_of(bad)


@given(st.text(), st.sampled_from(["count", "flag", "choice", "uuid", "time"]))
def test_any_text_is_a_value_or_an_error(text: str, kind: Kind) -> None:
    """Nothing that can be written into an address makes anything else of a parameter."""
    try:
        a_parameter(kind).value_of(text)
    except QueryError as error:
        assert text == "" or len(text) < 4 or text not in str(error)


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_is_the_moment_that_it_says(moment: dt.datetime) -> None:
    """Every zone, to the microsecond."""
    assume(2 <= moment.year <= 9998)
    moment = moment.astimezone(dt.UTC)
    assert time_of("p", moment.isoformat()) == moment


def test_a_missing_an_unknown_and_a_default_value() -> None:
    """What is required is asked for, what is unknown refused with what there is, and the rest has its default."""
    parameters = (
        Parameter("session", "text", "m", is_required=True),
        Parameter("limit", "count", "m", default=5, least=1, most=9),
    )
    assert values_of(parameters, {"session": "s"}) == {"session": "s", "limit": 5}
    with pytest.raises(QueryError, match="session: is missing"):
        values_of(parameters, {})
    with pytest.raises(QueryError, match=r"sesion: is not a parameter; .* session, limit"):
        values_of(parameters, {"sesion": "s"})
