"""Counts, histograms, facets and single events against the real engine: compared with Python over the events."""

import datetime as dt
import uuid
import zoneinfo
from collections import Counter
from collections.abc import Iterator

import pytest

from airline_fleet import fleet, store_records
from search_oracle import EVER, answer, columns, events_of, hostile, same
from stored import Placed, a_session, event, store
from trailhouse.query import AuditReader, ReadBudget, parse
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import QueryError
from trailhouse.schemas.uuid7 import uuid7
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

UTC = dt.UTC
EVENTS = (*fleet()[:1_500], *hostile())


@pytest.fixture(scope="module")
def filled(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database with every event, and a fifth of them stored twice."""
    with ClickHouse(database_of_module) as clickhouse:
        clickhouse.command("SYSTEM STOP MERGES event_index")
        store_records(clickhouse, [each.record for each in EVENTS])
        store_records(clickhouse, [each.record for each in EVENTS[::5]], 10_000)
    return database_of_module


@pytest.fixture(scope="module")
def reader(filled: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants over that database."""
    with AuditReader(config=filled) as opened:
        yield opened


QUESTIONS = [
    "", "type:run_completed", "tenant:acme", "-has:tenant", "outcome:failed", "cost:>0.003", "has:error -tenant:globex",
    "since:2026-10-01T06:00:00Z until:2026-10-02T06:00:00Z", '"reservation"', "reservation -has:tenant", "agent:nobody",
]  # fmt: skip


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_count_is_exact(reader: AuditReader, text: str) -> None:
    """Each event once, those ahead of the clock too; copies count for nothing."""
    found = reader.count(text)
    assert (found.value, found.exact, found.complete) == (
        len(answer(parse(text), EVENTS)),
        True,
        True,
    )


@pytest.mark.parametrize("text", QUESTIONS)
def test_facets_are_the_most_frequent_values(reader: AuditReader, text: str) -> None:
    """Of each field its values in order of their counts, those without it as None, and how many are not shown."""
    events = answer(parse(text), EVENTS)
    found = reader.facets(text, fields=["type", "outcome", "tenant", "session", "tool"], limit=3)
    for facet in found.value:
        counted = Counter(columns(each)[facet.field] for each in events)
        ordered = sorted(counted.items(), key=lambda pair: (-pair[1], (pair[0] or "").encode()))
        assert [(each.value, each.events) for each in facet.values] == ordered[:3]
        assert facet.other_values == len(ordered[3:])
        assert facet.other_events == sum(events for _, events in ordered[3:])
    assert [facet.field for facet in found.value] == [
        "type",
        "outcome",
        "tenant",
        "session",
        "tool",
    ]
    assert found.exact


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
@pytest.mark.parametrize("by", ["hour", "day", "month"])
def test_a_histogram_counts_local_hours_days_and_months(
    reader: AuditReader, zone: str, by: str
) -> None:
    """Every event in the bucket that its local time names, and zeros where nothing happened."""
    span = "since:2026-10-01T00:00:00Z until:2026-10-05T12:00:00Z"
    named = zoneinfo.ZoneInfo(zone)
    found = reader.histogram(span, by=by, zone=zone)  # type: ignore[arg-type]  # one of them
    shape = {"hour": "%Y-%m-%d %H", "day": "%Y-%m-%d", "month": "%Y-%m"}[by]
    expected = Counter(
        each.occurred_at.astimezone(named).strftime(shape) for each in answer(parse(span), EVENTS)
    )
    assert {
        each.starts_at.strftime(shape): each.events for each in found.value if each.events
    } == expected
    starts = [each.starts_at for each in found.value]
    assert starts == sorted(set(starts))
    began = dt.datetime(2026, 10, 1, tzinfo=UTC)
    quarters = [began + dt.timedelta(minutes=15 * place) for place in range(108 * 4 + 1)]
    assert [each.strftime(shape) for each in starts] == list(
        dict.fromkeys(each.astimezone(named).strftime(shape) for each in quarters)
    )
    assert found.complete


def test_a_histogram_follows_the_clock_through_its_changes(database: ClickHouseConfig) -> None:
    """The day on which Berlin's clock goes back has 25 hours, and none of its events is lost or counted twice."""
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    began = dt.datetime(2025, 10, 25, 22, tzinfo=UTC)
    events = [
        event("s", occurred_at=began + dt.timedelta(minutes=10 * place)) for place in range(25 * 6)
    ]
    store(database, [Placed(each, 0, place) for place, each in enumerate(events)])
    with AuditReader(config=database) as reader:
        days = reader.histogram(by="day", zone="Europe/Berlin").value
        hours = reader.histogram(by="hour", zone="Europe/Berlin").value
        minutes = reader.histogram(by="minute", zone="Europe/Berlin")
    assert [(each.starts_at, each.events) for each in days] == [
        (dt.datetime(2025, 10, 26, tzinfo=berlin), 150)
    ]
    assert [each.events for each in hours] == [6] * 25
    starts = [each.starts_at.astimezone(UTC) for each in hours]
    assert starts == [began + dt.timedelta(hours=place) for place in range(25)]
    assert sum(each.events for each in minutes.value) == 150
    assert len(minutes.value) == 1491


def test_a_histogram_says_what_its_buckets_do_not_reach(reader: AuditReader) -> None:
    """The years 1 and 9999 make no million of buckets: they are counted apart, with the way to them."""
    found = reader.histogram("until:2026-10-31T00:00:00Z", by="hour")
    [before] = found.left_out
    assert len(found.value) == 1_500
    assert (before.what, before.how_many) == ("events before the first bucket", 1)
    assert (
        sum(each.events for each in found.value) + 1
        == reader.count("until:2026-10-31T00:00:00Z").value
    )
    with pytest.raises(QueryError, match="by: more than 1500 buckets"):
        reader.histogram("since:0001-01-01T00:00:00Z until:2026-10-31T00:00:00Z", by="hour")
    ahead = reader.histogram("session:edges since:2026-01-01T00:00:00Z", by="month").left_out
    assert [each.what for each in ahead] == ["events ahead of the clock"]
    assert reader.histogram("agent:nobody").value == ()


def test_wrong_questions_about_totals_are_refused_by_name(reader: AuditReader) -> None:
    """Field, rule and what is allowed."""
    with pytest.raises(QueryError, match="by: must be one of minute, hour, day, month"):
        reader.histogram(by="week")  # type: ignore[arg-type]  # the point
    with pytest.raises(QueryError, match="zone: not a time zone"):
        reader.histogram(zone="Mars/Olympus")
    with pytest.raises(QueryError, match="colour: is not a field"):
        reader.facets(fields=["colour"])
    with pytest.raises(
        QueryError, match="cost: is a number and has no facets; these have: session"
    ):
        reader.facets(fields=["cost"])
    with pytest.raises(QueryError, match="limit: must be at most 1000"):
        reader.facets(limit=1_001)
    with pytest.raises(QueryError, match="fields: must be 1 to 10"):
        reader.facets(fields=[])


def test_a_spent_budget_counts_a_part_and_says_so(reader: AuditReader) -> None:
    """A count that is none is named a lower bound; a histogram and facets likewise."""
    spent = ReadBudget(rows=1)
    for found in (reader.count(budget=spent), reader.facets(budget=spent)):
        assert not found.exact
        assert not found.complete
        assert [each.what for each in found.left_out] == ["older events"]
        assert found.searched_back_to is not None


def test_a_reader_of_one_tenant_counts_its_own(filled: ClickHouseConfig) -> None:
    """In counts, buckets and facets; another's id is as unknown as nobody's."""
    ours = [each for each in EVENTS if each.tenant_id == "acme"]
    theirs = next(each for each in EVENTS if each.tenant_id == "globex")
    with AuditReader("acme", config=filled) as acme:
        assert acme.count().value == len(ours)
        assert sum(each.events for each in acme.histogram(by="day").value) == len(ours)
        [facet] = acme.facets(fields=["tenant"]).value
        assert [(each.value, each.events) for each in facet.values] == [("acme", len(ours))]
        assert acme.get_event(theirs.event_id) == acme.get_event(str(uuid.uuid4()))
        same(events_of(acme.get_event(ours[0].event_id)), ours[:1])


def test_one_event_is_found_by_its_id(reader: AuditReader, database: ClickHouseConfig) -> None:
    """Whatever its id says of time; both contents of a conflict; whole, however heavy; nothing for what is no id."""
    for each in EVENTS[::401]:
        same(events_of(reader.get_event(each.event_id)), [each])
    assert len(reader.get_event(str(uuid.uuid5(uuid.NAMESPACE_OID, "twin"))).items) == 2
    for unknown in (uuid7(), "x", "", "\0", "' OR 1=1 --", "\ud800"):
        assert reader.get_event(unknown).items == ()
    with pytest.raises(QueryError, match="event_id: must be a string"):
        reader.get_event(5)  # type: ignore[arg-type]  # the point
    drawn = event(a_session(), data={"text": "x" * 1_200_000})
    late = event(a_session(), occurred_at=dt.datetime(2020, 1, 1, tzinfo=UTC))
    store(database, [Placed(drawn, 0, 0), Placed(late, 0, 1)])
    store(database, [Placed(drawn, 0, 2)])
    with AuditReader(config=database) as other:
        for each in (drawn, late):
            same(events_of(other.get_event(each.event_id)), [each])


def test_an_id_of_ours_is_found_without_looking_at_every_event(database: ClickHouseConfig) -> None:
    """The time in it leads to the few events of that moment: a budget of rows that forbids a scan suffices."""
    emitted = event(a_session())
    with ClickHouse(database) as clickhouse:
        clickhouse.command(
            "INSERT INTO event_log (session_id, event_id, record_key, type, occurred_us, record, kafka_offset)"
            " SELECT concat('s-', toString(intDiv(number, 100))), generateUUIDv4(number),"
            " substring(SHA256(toString(number)), 1, 16), 'message_sent', 1700000000000000 + number * 1000000,"
            " '{}', number FROM numbers(300000)"
        )
    store(database, [Placed(emitted, 0, 1)])
    with AuditReader(config=database) as reader:
        found = reader.get_event(emitted.event_id, budget=ReadBudget(rows=100_000))
        same(events_of(found), [emitted])
        unknown = reader.get_event(str(uuid.uuid4()), budget=ReadBudget(rows=100_000))
        assert (unknown.items, unknown.complete) == ((), False)


def test_nothing_moves_while_copies_are_stored_and_merged(database: ClickHouseConfig) -> None:
    """The same answers before, after a replay, and after a merge."""
    events: list[AuditEvent] = [*fleet()[:300], *hostile()]

    def answers(reader: AuditReader) -> tuple[object, ...]:
        page = reader.search(EVER, limit=100)
        return (
            [each.event for each in page.items],
            reader.count().value,
            reader.histogram(EVER, by="month").value,
            reader.facets(fields=["type", "agent"]).value,
        )

    with AuditReader(config=database) as reader, ClickHouse(database) as clickhouse:
        store_records(clickhouse, [each.record for each in events])
        before = answers(reader)
        store_records(clickhouse, [each.record for each in events[::3]], 50_000)
        assert answers(reader) == before
        clickhouse.command("OPTIMIZE TABLE event_index FINAL")
        clickhouse.command("OPTIMIZE TABLE event_log FINAL")
        assert answers(reader) == before
