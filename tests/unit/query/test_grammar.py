"""The text form of a filter: every value is data, what is not understood shows its place, and it reads back."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.proof.standing import Standing
from trailhouse.query.cursor import Cursors
from trailhouse.query.filtering.grammar import as_filter, parse, render
from trailhouse.query.filtering.search_filter import (
    COMPARISONS,
    FIELDS,
    OUTCOMES,
    Condition,
    SearchFilter,
    Words,
)
from trailhouse.query.search.request import question
from trailhouse.schemas.errors import QueryError

UTC = dt.UTC
TEXT_FIELDS = [name for name, field in FIELDS.items() if field.kind == "text"]
texts = st.text(max_size=30)
moments = st.datetimes(
    dt.datetime.fromisoformat("0001-01-03"),
    dt.datetime.fromisoformat("9999-12-29"),
    timezones=st.timezones() | st.just(UTC),
).map(
    lambda moment: moment.astimezone(UTC)
)  # Python calls no two zones equal in an hour that comes twice
amounts = {
    "count": st.integers(0, 2**64 - 1).map(Decimal),
    "cost_usd": st.decimals(-(10**19), 10**19, places=18),
    "duration_ms": st.decimals(-(10**9), 10**9, places=6),
}


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    """Draw any condition that there can be."""
    name = draw(st.sampled_from(list(FIELDS)))
    negated = draw(st.booleans())
    if draw(st.integers(0, 5)) == 0:
        return Condition(field=name, operator="has", negated=negated)
    kind = FIELDS[name].kind
    if kind in amounts:
        operator = draw(st.sampled_from(COMPARISONS))
        most = 4 if operator == "=" else 1
        values = draw(st.lists(amounts[kind], min_size=1, max_size=most))
        return Condition(field=name, operator=operator, values=tuple(values), negated=negated)
    known = {"outcome": OUTCOMES, "standing": tuple(map(str, Standing))}
    one = st.sampled_from(known[kind]) if kind in known else texts
    return Condition(
        field=name, values=tuple(draw(st.lists(one, min_size=1, max_size=4))), negated=negated
    )


words = st.builds(
    Words, text=st.text(min_size=1, max_size=30), whole=st.booleans(), negated=st.booleans()
)


@st.composite
def filters(draw: st.DrawFn) -> SearchFilter:
    """Draw any filter that there can be."""
    times = sorted(draw(st.lists(moments, max_size=2)))
    return SearchFilter(
        conditions=tuple(draw(st.lists(conditions(), max_size=4))),
        words=tuple(draw(st.lists(words, max_size=3))),
        since=times[0] if times else None,
        until=times[1] if len(times) > 1 else None,
    )


@given(filters())
def test_what_is_rendered_reads_back_as_the_same_filter(wanted: SearchFilter) -> None:
    """Any filter has a text form, and that form means it."""
    assert parse(render(wanted)) == wanted


@given(st.text(max_size=60) | st.text('ab:()"\\->=< OR', max_size=40))
def test_any_text_is_a_filter_or_an_error_that_shows_the_place(text: str) -> None:
    """Nothing else is raised, and the caret stands under a character of the text or behind its end."""
    try:
        wanted = parse(text)
    except QueryError as error:
        *_, shown, pointer = str(error).split("\n")
        assert pointer.strip() == "^"
        assert len(pointer) <= len(shown) + 1
        assert str(error).isprintable() or "\n" in str(error)
    else:
        assert parse(render(wanted)) == wanted


@pytest.mark.parametrize(
    "value",
    ["*", "%", "_", "a*", "' OR 1=1 --", "');DROP TABLE x", "{x:String}", ">5",
     "-x", "\0", "a\\b", "OR", 'say "no"', ""],
)  # fmt: skip
def test_every_value_is_data(value: str) -> None:
    """Nothing in a quoted value is a wildcard, an operator or a word of ours."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'agent:"{escaped}"') == SearchFilter(
        conditions=(Condition(field="agent", values=(value,)),)
    )


def test_the_whole_grammar_at_a_glance() -> None:
    """Fields, several values, negation, numbers, words, quoted text and times."""
    text = (
        'type:(run_failed OR "run_timeout") -agent:x cost:>0.5 tokens:<=1000 duration:2s has:error'
        ' refund -"no refund" word:"a b" since:2026-10-31T08:00:00+02:00'
    )
    assert parse(text) == SearchFilter(
        conditions=(
            Condition(field="type", values=("run_failed", "run_timeout")),
            Condition(field="agent", values=("x",), negated=True),
            Condition(field="cost", operator=">", values=(Decimal("0.5"),)),
            Condition(field="tokens", operator="<=", values=(Decimal(1000),)),
            Condition(field="duration", values=(Decimal(2000),)),
            Condition(field="error", operator="has"),
        ),
        words=(
            Words(text="refund", whole=True),
            Words(text="no refund", negated=True),
            Words(text="a b", whole=True),
        ),
        since=dt.datetime(2026, 10, 31, 6, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("since:2h", "2026-11-01T02:30:00Z", None),
        ("since:yesterday until:yesterday", "2026-10-31T00:00:00Z", "2026-10-31T23:59:59.999999Z"),
        (
            "since:2026-10-31 until:2026-10-31",
            "2026-10-31T00:00:00Z",
            "2026-10-31T23:59:59.999999Z",
        ),
        ('until:"2026-10-31 08:00Z"', None, "2026-10-31T08:00:00Z"),
    ],
)
def test_times_are_written_as_for_since_on_the_command_line(
    text: str, since: str | None, until: str | None
) -> None:
    """A while, a day as a whole, and RFC 3339; a filter keeps the now of what is told from now, and of nothing else."""
    now = dt.datetime(2026, 11, 1, 4, 30, tzinfo=UTC)
    wanted = parse(text, now)
    assert wanted.since == (since and dt.datetime.fromisoformat(since))
    assert wanted.until == (until and dt.datetime.fromisoformat(until))
    assert wanted.asked_at == (None if "2026" in text else now)


def test_a_cursor_tells_again_from_when_two_hours_are_counted() -> None:
    """The next page is of the same question, however much later it is asked for."""
    now = dt.datetime(2026, 11, 1, 4, 30, 0, 7, tzinfo=UTC)
    first = question(parse("since:2h type:x", now), tenant_id=None)
    cursor = Cursors("secret").seal((1,), first.walk)
    later = question(as_filter("since:2h type:x", cursor), tenant_id=None)
    assert later.walk == first.walk
    assert Cursors("secret").open(cursor, later.walk, tuple[int]) == (1,)
    assert as_filter("since:2h", "no cursor").asked_at != now


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        ("agnet:x", 1, "is not a field (did you mean agent?); the fields are session"),
        ("novel:x", 1, "is not a field; the fields are session"),
        ("agent_id:x", 1, "did you mean agent?"),
        ("-tool_name:x", 2, "did you mean tool?"),
        ("Session_ID:x", 1, "did you mean session?"),
        ("sicne:2h", 1, "did you mean since?"),
        ("status:failed", 1, "trailhouse runs --status failed"),
        ("cost>0.5", 1, "write cost:>0.5; to look for it in the text, write it in quotes"),
        ("agent:x -tokens>=5", 10, "write tokens:>=5"),
        ("agent=x", 1, "write agent:x"),
        ("http://x", 1, "write it in quotes"),
        ("agent:x  -foo:y", 11, "is not a field"),
        ("agent:", 7, "expected a value here"),
        ("agent: x", 7, "expected a value here"),
        ("type:(a OR", 6, "not closed"),
        ("type:(a b)", 9, "expected OR"),
        ("type:(a OR OR)", 12, "in quotes"),
        ("type:()", 7, "expected a value"),
        ('"open', 1, "this quote is not closed"),
        ('"a\\n"', 3, "stands before"),
        ('agent:"a"b', 10, "expected a space"),
        ("a OR b", 3, "stands between the values"),
        ("(a)", 1, "parentheses hold"),
        ("a - b", 4, "expected a field or a word"),
        ("cost:>x", 7, "must be a number of US dollars"),
        ("cost:(1 OR x)", 12, "must be a number of US dollars"),
        ("cost:>(1 OR 2)", 7, "expected a value here"),
        ("tokens:1.5", 8, "must be a whole number"),
        ("duration:5parsecs", 10, "must be a duration"),
        ("outcome:fine", 9, "must be one of completed"),
        ("since:2026-10-31T08:00", 7, "since: '2026-10-31T08:00' names no zone"),
        ("until:tomorrow", 7, "until: 'tomorrow' is not a time such as 2h, yesterday"),
        ("-since:2026-10-31T00:00:00Z", 1, "cannot be negated"),
        ("since:2026-10-31T00:00:00Z since:2026-10-31T00:00:00Z", 28, "given twice"),
        ("since:2026-10-31T00:00:00Z until:2026-10-30T00:00:00Z", 1, "must not be after until"),
        ("has:colour", 5, "is not a field"),
        ("has:error_code", 5, "did you mean error?"),
        ('""', 1, "at least one character"),
    ],
)
def test_what_is_not_understood_shows_the_place(text: str, place: int, rule: str) -> None:
    """The message names the character and the rule, and a caret stands below it."""
    with pytest.raises(QueryError) as caught:
        parse(text)
    first, *_, pointer = str(caught.value).split("\n")
    assert first.startswith(f"filter, character {place}: ")
    assert rule in first
    assert pointer == " " * (place + 1) + "^"


def test_a_long_text_is_shown_around_its_place() -> None:
    """The line stays short and printable, and the caret right."""
    with pytest.raises(QueryError) as caught:
        parse("agent:\x1b[31m" + "é" * 300 + " nope:x " + "y" * 300)
    _, shown, pointer = str(caught.value).split("\n")
    assert len(shown) < 70
    assert shown[pointer.index("^") :].startswith("nope:x")
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("field", "values", "rule"),
    [
        ("colour", ("x",), "colour: is not a field"),
        ("agent", (5,), "agent: must be a string, got int"),
        ("agent", "x", "agent: must be given a tuple"),
        ("agent", (), "agent: must be given a value"),
        ("cost", (True,), "cost: must be a number"),
        ("cost", ("NaN",), "cost: must be a number"),
        ("cost", ("1e20",), "below 1e20"),
        ("cost", ("1e-19",), "18 decimal places"),
        ("cost", ("1_0",), "cost: must be a number"),
        ("cost", ("1e999999999",), "cost: must be a number"),
        ("tokens", (-1,), "tokens: must be a whole number"),
        ("tokens", (2**64,), "tokens: must be a whole number"),
        ("duration", ("inf",), "duration: must be a duration"),
    ],
)  # fmt: skip
def test_a_wrong_condition_names_field_and_rule(
    field: str, values: tuple[str, ...], rule: str
) -> None:
    """A condition that exists can be asked; the error says what is allowed."""
    with pytest.raises(QueryError, match=rule):
        Condition(field=field, values=values)


def test_a_number_has_one_spelling() -> None:
    """Equal filters are equal, however their numbers were written, and nothing of a number is lost."""
    spelled = {Condition(field="cost", values=(Decimal(each),)) for each in ("0.5", "0.50", "5E-1")}
    assert len(spelled) == 1
    exact = Decimal("-12345678901234567890.123456789012345678")
    assert Condition(field="cost", values=(exact,)).values == (exact,)
    assert Condition(field="cost", values=("0e999999999",)).values == (Decimal(0),)


def test_a_filter_is_bounded_and_its_times_are_checked() -> None:
    """Naive times, an empty span and a filter too large to travel are refused by name."""
    with pytest.raises(QueryError, match="since: must have a time zone"):
        SearchFilter(since=dt.datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    with pytest.raises(QueryError, match="since: must not be after until"):
        SearchFilter(
            since=dt.datetime(2026, 1, 2, tzinfo=UTC), until=dt.datetime(2026, 1, 1, tzinfo=UTC)
        )
    with pytest.raises(QueryError, match="at most 16384 bytes"):
        SearchFilter(words=(Words(text="x" * 16_385),))
    with pytest.raises(QueryError, match="at most 50 conditions and words"):
        parse("agent:x " * 51)
    with pytest.raises(QueryError, match="tokens: must be at most 100 numbers"):
        Condition(field="tokens", values=tuple(map(Decimal, range(101))))
    with pytest.raises(QueryError, match="at most 20000 characters"):
        parse("x" * 20_001)
    narrowed = SearchFilter(since=dt.datetime(2026, 1, 1, tzinfo=UTC)).narrowed(
        Condition(field="agent", values=("x",)), since=dt.datetime(2025, 1, 1, tzinfo=UTC)
    )
    assert render(narrowed) == "agent:x since:2026-01-01T00:00:00+00:00"
