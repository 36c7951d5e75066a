"""Search against the real engine: every answer is that of a few lines of Python over the events themselves."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airline_fleet import fleet, store_fleet, store_records
from search_oracle import (
    EVENTS,
    EVER,
    INJECTIONS,
    answer,
    columns,
    events_of,
    hostile,
    same,
    walk,
)
from stored import Placed, a_session, event, store
from trailhouse.query import (
    AuditReader,
    Condition,
    ReaderConfig,
    SearchFilter,
    Words,
    parse,
)
from trailhouse.query.filtering.search_filter import COMPARISONS, FIELDS, TEXTS
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

UTC = dt.UTC
READS = ReaderConfig(cursor_secret="a secret of 32 characters or more", budget_seconds=100)
"""What a spent budget leaves out is tested elsewhere: a busy machine must not spend it here."""
ON_ONE_DATABASE = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def stored(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database with every event, a third of the fleet's and all of the hostile ones stored twice."""
    store_fleet(database_of_module, fleet()[:2_000])
    with ClickHouse(database_of_module) as clickhouse:
        clickhouse.command("SYSTEM STOP MERGES event_index")
        for first_offset in (200_000, 300_000):
            store_records(clickhouse, [each.record for each in hostile()], first_offset)
    return database_of_module


@pytest.fixture(scope="module")
def reader(stored: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants over that database."""
    with AuditReader(config=stored, reads=READS) as opened:
        yield opened


FILTERS = [
    "", "type:(run_failed OR run_timeout)", "outcome:failed", "-outcome:completed -outcome:failed", "has:cost",
    "cost:>0.5", "-cost:>0.05 has:cost", "cost:(0.1 OR 0.0025)", "tokens:>0", "input_tokens:>=1000 output_tokens:<80",
    "tenant:acme type:run_completed", "-has:tenant", "actor:user-3 tool:cancel_reservation", "actor_type:user -agent:x",
    "session:airline-07", "run:airline-07-trial-1", "parent_run:airline-07-trial-0", "model:gpt-4o-mini",
    "provider:openai -type:message_sent", "error:timeout", "-has:run", "agent:nobody", 'agent:""',
    '-agent:""', "duration:>1s",
    "since:2026-10-02T00:00:00Z until:2026-10-02T12:00:00Z", "since:2026-10-01T03:00:00+02:00 type:run_started",
    "until:0001-01-01T00:00:00Z", "since:9999-01-01T00:00:00Z", "tool_call:call_1",
    "type:run_started type:run_completed", "standing:attested", "-standing:attested tenant:acme",
    "has:standing has:cost", "standing:(pending OR disputed)",
]  # fmt: skip


@pytest.mark.parametrize("text", FILTERS)
def test_a_search_by_fields_finds_what_python_finds(reader: AuditReader, text: str) -> None:
    """Each event once, to the last byte, newest first and oldest first; copies move nothing."""
    wanted = parse(text)
    expected = answer(wanted)
    to_the_end = text if "until" in text else f"{text} {EVER}"
    if len(expected) <= 1_500:
        found, _ = walk(reader, to_the_end, limit=1_000)
        same(found, expected)
    for newest in (True, False):
        page = reader.search(to_the_end, limit=100, newest_first=newest)
        same(events_of(page), expected[:: 1 if newest else -1][:100])
        assert (page.next is None) is (len(expected) <= 100)


def test_pages_of_any_size_are_the_same_walk(reader: AuditReader) -> None:
    """Ties of one microsecond and copies do not repeat or lose an event at the edge of a page."""
    wanted = "since:2026-10-02T00:01:00Z until:2026-10-02T00:02:00Z"
    expected = answer(parse(wanted))
    assert 20 < len(expected) < 60
    for limit in (1, 2, 7, 19):
        found, pages = walk(reader, wanted, limit=limit)
        same(found, expected)
        assert all(len(page.items) == limit for page in pages[:-1])
        assert all(page.complete for page in pages)


@pytest.mark.long
@pytest.mark.parametrize("text", INJECTIONS)
def test_any_text_as_a_value_is_data(reader: AuditReader, text: str) -> None:
    """Equal rows or none: in every field, alone and beside others, and as words."""
    expected = [each for each in EVENTS if each.session_id == f"hostile {text}"]
    names = [
        name for name in FIELDS if FIELDS[name].kind == "text" and name not in ("type", "session")
    ]
    for several in (names, [names[len(text) % len(names)]]):
        conditions = tuple(Condition(field=name, values=(text, "nobody's")) for name in several)
        same(
            events_of(reader.search(SearchFilter(conditions=conditions), newest_first=False)),
            expected,
        )
    wanted = SearchFilter(
        words=(Words(text=text),),
        since=dt.datetime(2026, 10, 2, tzinfo=UTC),
        until=dt.datetime(2026, 10, 2, 0, 30, tzinfo=UTC),
    )
    found, _ = walk(reader, wanted, limit=1_000)
    same(found, answer(wanted))


@pytest.mark.parametrize("value", ["\ud800", "x" * 300, "\0", ""])
def test_what_no_event_can_carry_finds_nothing(reader: AuditReader, value: str) -> None:
    """Text without a UTF-8 form, too long, or empty: no rows and no failure; its negation finds all."""
    positive = SearchFilter(conditions=(Condition(field="agent", values=(value,)),))
    negative = SearchFilter(conditions=(Condition(field="agent", values=(value,), negated=True),))
    assert reader.search(positive).items == ()
    assert len(reader.search(negative, newest_first=False).items) == 50


WORDS = [
    '"reservation"', "reservation", "refund", '"efun"', '"I\'m sorry"', "-the until:2026-10-01T05:00:00Z", '"grüße"',
    '"café / bar"', "47.5",
    '"},"', '"["', 'word:":"', '"1,"', 'word:"{"',
    'word:"said"', '"no such words at all"', 'tool:think "user"', 'type:message_sent "cancel" -"flight"',
]  # fmt: skip


@pytest.mark.parametrize("text", WORDS)
def test_words_are_found_in_data_and_nowhere_else(reader: AuditReader, text: str) -> None:
    """Substrings and whole words, however the record spells them; beside fields, negated, to the first event."""
    wanted = parse(text)
    to_the_end = text if "until" in text else f"{text} {EVER}"
    expected = answer(wanted)
    page = reader.search(to_the_end, limit=200)
    same(events_of(page), expected[:200])
    assert page.complete
    assert (page.next is None, page.searched_back_to is None) == (len(expected) <= 200,) * 2


@st.composite
def some_filters(draw: st.DrawFn) -> SearchFilter:
    """Draw a filter of values that occur, and of some that do not."""
    pool = st.sampled_from(EVENTS[::37]).map(columns)
    conditions = []
    for _ in range(draw(st.integers(0, 3))):
        name, field = draw(st.sampled_from(list(FIELDS.items())))
        value = draw(pool)[name]
        negated = draw(st.booleans())
        if value is None or draw(st.integers(0, 4)) == 0:
            conditions.append(Condition(field=name, operator="has", negated=negated))
        elif field.kind in TEXTS:
            conditions.append(Condition(field=name, values=(value,), negated=negated))
        else:
            operator = draw(st.sampled_from(COMPARISONS))
            conditions.append(
                Condition(field=name, operator=operator, values=(value,), negated=negated)
            )
    moments = sorted(
        each.occurred_at for each in draw(st.lists(st.sampled_from(EVENTS), max_size=2))
    )
    return SearchFilter(
        conditions=tuple(conditions),
        since=moments[0] if moments else None,
        until=moments[1] if len(moments) > 1 else dt.datetime.max.replace(tzinfo=UTC),
    )


@pytest.mark.long
@ON_ONE_DATABASE
@given(wanted=some_filters(), newest=st.booleans(), limit=st.sampled_from([1, 20, 100]))
def test_any_filter_finds_what_python_finds(
    reader: AuditReader, wanted: SearchFilter, newest: bool, limit: int
) -> None:
    """The first two pages of any filter, in either direction."""
    expected = answer(wanted)[:: 1 if newest else -1]
    first = reader.search(wanted, newest_first=newest, limit=limit)
    items = list(first.items)
    if first.next is not None:
        items += reader.search(wanted, newest_first=newest, limit=limit, cursor=first.next).items
    same([each.event for each in items if each.event], expected[: 2 * limit])


def test_a_row_says_what_its_event_says(reader: AuditReader) -> None:
    """The small columns are the event's own, exact amounts included, and absent is None."""
    for each in reader.search("has:cost", newest_first=False, limit=30).items:
        assert each.event is not None
        said = columns(each.event)
        assert (each.session_id, each.tenant_id, each.run_id) == (
            said["session"],
            said["tenant"],
            said["run"],
        )
        assert (each.model, each.tool_name, each.error_code) == (
            said["model"],
            said["tool"],
            said["error"],
        )
        assert (each.cost_usd, each.input_tokens, each.output_tokens) == (
            said["cost"],
            said["input_tokens"],
            said["output_tokens"],
        )
        assert (each.occurred_at, each.event_id) == (each.event.occurred_at, each.event.event_id)
        assert each.record_bytes == len(each.event.record)


def test_pages_in_append_order_show_each_event_at_its_first_place(
    database: ClickHouseConfig,
) -> None:
    """By the broker's clock and by offset within a partition; a later copy is not met again."""
    session = a_session()
    events = [
        event(session, occurred_at=dt.datetime(2026, 10, 1, tzinfo=UTC), data={"place": place})
        for place in range(20)
    ]
    firsts = [
        Placed(each, place % 3, place, 1_790_000_000_000 + place // 4)
        for place, each in enumerate(events)
    ]
    copies = [
        Placed(each.event, 5, 90 + place, 1_790_000_000_000 + 7 + place)
        for place, each in enumerate(firsts[::2])
    ]
    store(database, firsts)
    store(database, copies)
    store(database, firsts[:10])
    expected = [
        each.event
        for each in sorted(
            firsts, key=lambda each: (each.appended_ms, each.topic_id, each.partition, each.offset)
        )
    ]
    with AuditReader(config=database) as reader:
        for limit in (3, 20, 100):
            for newest in (True, False):
                found, _ = walk(reader, "", by="append", limit=limit, newest_first=newest)
                same(found, expected[:: -1 if newest else 1])


def test_a_walk_meets_each_event_once_while_events_and_copies_arrive(
    database: ClickHouseConfig,
) -> None:
    """What was there when it began is met once; what arrives behind it is met, what arrives before it is not."""
    session = a_session()
    moment = dt.datetime(2026, 10, 1, tzinfo=UTC)
    events = [
        event(session, occurred_at=moment + dt.timedelta(seconds=place // 3), data={"n": place})
        for place in range(60)
    ]
    store(database, [Placed(each, 0, place) for place, each in enumerate(events)])
    expected = answer(SearchFilter(), events)
    with AuditReader(config=database) as reader:
        page = reader.search(limit=7)
        found = list(page.items)
        turn = 0
        while page.next is not None:
            turn += 1
            store(
                database,
                [Placed(each, 0, 100 * turn + place) for place, each in enumerate(events[::2])],
            )
            newer = event(session, occurred_at=moment + dt.timedelta(hours=turn))
            older = event(session, occurred_at=moment - dt.timedelta(hours=turn))
            store(database, [Placed(newer, 1, turn), Placed(older, 2, turn)])
            page = reader.search(limit=7, cursor=page.next)
            found += page.items
        met = [each.event for each in found if each.event]
        same([each for each in met if each in events], expected)
        assert len(met) == 60 + turn
        assert all(each.occurred_at < moment for each in met[60:])


def test_clocks_that_lie_ahead_are_counted_apart(
    reader: AuditReader, stored: ClickHouseConfig
) -> None:
    """The year 9999 does not top the newest page: it is named, with how many and the way to it."""
    page = reader.search("session:edges")
    assert [each.occurred_at.year for each in page.items] == [1]
    [left_out] = page.left_out
    assert (page.complete, left_out.what, left_out.how_many) == (
        False,
        "events ahead of the clock",
        1,
    )
    assert [each.occurred_at.year for each in reader.search(f"session:edges {EVER}").items] == [
        9999,
        1,
    ]
    assert [
        each.occurred_at.year for each in reader.search("session:edges", newest_first=False).items
    ] == [1, 9999]
    with_words = reader.search('session:edges "0.1"')
    assert [each.how_many for each in with_words.left_out] == [1]


def test_a_reader_of_one_tenant_meets_nothing_else(stored: ClickHouseConfig) -> None:
    """Not in pages, not in what is left out, and not by another's cursor."""
    ours = [each for each in EVENTS if each.tenant_id == "acme"]
    with AuditReader("acme", config=stored, reads=READS) as acme:
        found, _ = walk(acme, EVER, limit=1_000)
        same(found, answer(SearchFilter(), ours))
        assert acme.search("tenant:globex").items == ()
        assert acme.search("session:edges").left_out == ()
        page = acme.search(limit=5)
        assert page.next is not None
        with (
            AuditReader("globex", config=stored, reads=READS) as globex,
            pytest.raises(QueryError, match="cursor: is of another tenant"),
        ):
            globex.search(limit=5, cursor=page.next)
        with pytest.raises(QueryError, match="cursor: is of another query"):
            acme.search("agent:x", limit=5, cursor=page.next)
        with pytest.raises(QueryError, match="cursor: is of another order"):
            acme.search(limit=5, newest_first=False, cursor=page.next)
    with (
        AuditReader("acme", config=stored) as other,
        pytest.raises(QueryError, match="another secret"),
    ):
        other.search(limit=5, cursor=page.next)


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"limit": 1_001}, {"limit": True}, {"by": "size"}, {"cursor": "x"}]
)
def test_a_wrong_question_is_refused_by_name(reader: AuditReader, wrong: dict[str, Any]) -> None:
    """The message names the argument and what is allowed."""
    [name] = wrong
    with pytest.raises(QueryError, match=f"^{name}: "):
        reader.search(**wrong)
