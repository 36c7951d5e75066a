"""Tokens and cost by who, what and when against the real engine, held against sums made in Python."""

import datetime as dt
import zoneinfo
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from cluster import Cluster
from fleet import INCREMENTS, amount, books, exact_sum, fleet
from projected import fleet_database, store_projected
from stored import event, in_order
from trailhouse.query import AuditReader, ReadBudget, SearchFilter
from trailhouse.query.books import Books
from trailhouse.query.budget import Meter
from trailhouse.query.runs.usage import Usage, read_costs, read_usage
from trailhouse.query.runs.usage_sql import UsageQuestion
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import QueryError, StorageLimitError
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
Group = tuple[Any, ...]


@pytest.fixture(scope="module")
def config(cluster: Cluster) -> ClickHouseConfig:
    """Return a database that holds the fleet."""
    return fleet_database(cluster)


@pytest.fixture(scope="module")
def reader(config: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants."""
    with AuditReader(config=config) as opened:
        yield opened


def in_a_book(each: AuditEvent) -> bool:
    """Return whether an event is one that `usage` groups."""
    increments, totals = books([each])
    return bool(increments["events"] or totals["events"]) or amount(each, "cost_usd") is not None


def both(found: Books) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both books' figures by name."""
    return msgspec.structs.asdict(found.increments), msgspec.structs.asdict(found.totals)


def model(each: AuditEvent) -> str | None:
    """Return the model that an event names."""
    usage = each.data.get("token_usage") or {}
    return {**usage, **each.data}.get("model")


def local(zone: dt.tzinfo, unit: str) -> Callable[[AuditEvent], dt.datetime]:
    """Return what tells when the hour, day or month of an event began, by the zone's own clock."""

    def start(each: AuditEvent) -> dt.datetime:
        there = each.occurred_at.astimezone(zone)
        if unit == "hour":
            past = dt.timedelta(
                minutes=there.minute, seconds=there.second, microseconds=there.microsecond
            )
            return (each.occurred_at - past).astimezone(dt.UTC)
        day = there.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return (day if unit == "day" else day.replace(day=1)).astimezone(dt.UTC)

    return start


BY: dict[str, Callable[[AuditEvent], Any]] = {
    "agent": lambda each: each.agent_id,
    "provider": lambda each: each.provider,
    "model": model,
    "tenant": lambda each: each.tenant_id,
}


def grouped(keys: list[Callable[[AuditEvent], Any]], events: list[AuditEvent]) -> dict[Group, Any]:
    """Return both books of each group of *events*."""
    groups: dict[Group, list[AuditEvent]] = {}
    for each in events:
        if in_a_book(each):
            groups.setdefault(tuple(key(each) for key in keys), []).append(each)
    return {key: books(group) for key, group in groups.items()}


def names(each: Usage, by: tuple[str, ...]) -> Group:
    """Return what a group has in common, periods in UTC."""
    return tuple(getattr(each.group, name) for name in by)


@pytest.mark.parametrize(
    "by", [("agent",), ("provider", "model"), ("tenant",), ("agent", "tenant", "model"), ()]
)
def test_usage_by_names(reader: AuditReader, by: tuple[Any, ...]) -> None:
    """Each group's books are those of its events, and the total those of all."""
    answer = reader.usage(by=by)
    found = {names(each, by): both(each.books) for each in answer.value.groups}
    assert found == grouped([BY[name] for name in by], list(fleet()))
    assert both(answer.value.total) == books(list(fleet()))
    assert answer.value.total.outside_events == 1
    assert answer.complete


def test_usage_by_actor(reader: AuditReader) -> None:
    """People are told apart by kind and id together; events without one are a group too."""
    keys: list[Callable[[AuditEvent], Any]] = [
        lambda each: each.actor and each.actor.type,
        lambda each: each.actor and each.actor.id,
    ]
    found = {
        (each.group.actor_type, each.group.actor): both(each.books)
        for each in reader.usage(by="actor").value.groups
    }
    assert found == grouped(keys, list(fleet()))
    assert (None, None) in found


@pytest.mark.parametrize("unit", ["hour", "day", "month"])
@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
)
def test_usage_by_period(reader: AuditReader, unit: Any, zone: str) -> None:
    """Hours, days and months are those of the zone's own clock, on the nights that change it too."""
    events = [each for each in fleet() if 1900 < each.occurred_at.year < 9999]
    answer = reader.usage("since:1900-01-02T00:00:00Z", by=["agent", unit], zone=zone)
    found = {
        (each.group.agent, each.group.period_start.astimezone(dt.UTC)): both(each.books)
        for each in answer.value.groups
        if each.group.period_start is not None
    }
    assert found == grouped([BY["agent"], local(zoneinfo.ZoneInfo(zone), unit)], events)
    # Python compares times of one zone by their faces.
    periods = [
        each.group.period_start.astimezone(dt.UTC)
        for each in answer.value.groups
        if each.group.period_start
    ]
    assert periods == sorted(periods, reverse=True)


def test_an_hour_that_comes_twice_is_two_hours(reader: AuditReader) -> None:
    """When clocks are set back, the two hours of the same name are told apart, and the day has both."""
    night = "session:night since:2025-10-25T22:00:00Z until:2025-10-26T22:00:00Z"
    hours = reader.usage(night, by="hour", zone="Europe/Berlin").value.groups
    shown = [each.group.period_start.isoformat() for each in hours if each.group.period_start]
    assert shown == [
        "2025-10-26T03:00:00+01:00",
        "2025-10-26T02:00:00+01:00",
        "2025-10-26T02:00:00+02:00",
        "2025-10-26T01:00:00+02:00",
        "2025-10-26T00:00:00+02:00",
    ]
    [day] = reader.usage(night, by="day", zone="Europe/Berlin").value.groups
    assert day.group.period_start == dt.datetime(2025, 10, 26, tzinfo=BERLIN)
    assert day.books.increments.cost_usd == Decimal("0.1")


def test_clocks_that_lie_have_periods_of_their_own(reader: AuditReader) -> None:
    """What says that it happened in the year 1 or 2500 is counted there, and bends no other period."""
    answer = reader.usage("agent:odd-agent", by="month", zone="Europe/Berlin")
    years = {
        each.group.period_start.year for each in answer.value.groups if each.group.period_start
    }
    assert {1, 1899, 2500, 2025, 2026} <= years | {year + 1 for year in years if year == 0}
    assert both(answer.value.total) == books(
        [each for each in fleet() if each.agent_id == "odd-agent"]
    )


@pytest.mark.parametrize(
    ("wanted", "is_wanted"),
    [
        ("agent:agent-3", lambda each: each.agent_id == "agent-3"),
        ("type:run_completed", lambda each: each.type == "run_completed"),
        ("error:429", lambda each: each.data.get("error_code") == 429),
        ("parent_run:equal", lambda each: each.parent_run_id == "equal"),
        ("cost:>0.9", lambda each: (amount(each, "cost_usd") or 0) > Decimal("0.9")),
        (
            "since:2026-03-02T00:00:00Z until:2026-03-03T00:00:00Z",
            lambda each: dt.date(2026, 3, 2) == each.occurred_at.date(),
        ),
    ],
)
def test_a_filter_says_which_events_are_summed(
    reader: AuditReader, wanted: str, is_wanted: Any
) -> None:
    """The sums are of the events that meet the filter, whichever table has the columns that it names."""
    events = [each for each in fleet() if is_wanted(each)]
    assert both(reader.usage(wanted).value.total) == books(events)


@pytest.mark.parametrize("by", [(), ("agent",), ("model", "month")])
def test_costs_count_what_has_no_price(reader: AuditReader, by: tuple[Any, ...]) -> None:
    """Costs stand by both books, with the events and the runs that have no price at all."""
    keys = [BY.get(name) or local(dt.UTC, name) for name in by]
    groups: dict[Group, list[AuditEvent]] = {(): []} if not by else {}
    for each in fleet():
        if in_a_book(each):
            groups.setdefault(tuple(key(each) for key in keys), []).append(each)
    answer = reader.costs(by=by).value
    found = {
        tuple(
            getattr(each.group, name if name in BY else "period_start") for name in by
        ): msgspec.structs.asdict(each.costs)
        for each in answer.groups
    }
    assert found == {key: costs_of(group) for key, group in groups.items()}
    assert msgspec.structs.asdict(answer.total) == costs_of(
        [each for each in fleet() if in_a_book(each)]
    )
    assert answer.total.unmapped_runs > 10


def costs_of(events: list[AuditEvent]) -> dict[str, Any]:
    """Return what the costs of *events* are."""
    increments, totals = books(events)
    runs: dict[Group, list[AuditEvent]] = {}
    for each in events:
        if each.run_id and each.type in (*INCREMENTS, "run_completed"):
            runs.setdefault((each.session_id, each.tenant_id, each.run_id), []).append(each)
    known = [increments["cost_usd"], totals["cost_usd"]]
    return {
        "increments_usd": known[0],
        "totals_usd": known[1],
        "difference_usd": None if None in known else exact_sum([known[1], known[0].copy_negate()]),
        "increments_unpriced_events": increments["unpriced_events"],
        "totals_unpriced_events": totals["unpriced_events"],
        "runs": len(runs),
        "unmapped_runs": sum(
            all(amount(each, "cost_usd") is None for each in run) for run in runs.values()
        ),
    }


def test_a_bound_reader_sums_its_own(config: ClickHouseConfig) -> None:
    """A reader of one tenant sums that tenant's events, whatever the filter says."""
    mine = [each for each in fleet() if each.tenant_id == "tenant-1"]
    with AuditReader("tenant-1", config=config) as bound:
        assert both(bound.usage(by="agent").value.total) == books(mine)
        assert bound.usage("tenant:tenant-2", by="agent").value.groups == ()
        assert bound.costs("tenant:tenant-2").value.total.increments_usd is None


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("by", {"by": "colour"}),
        ("by", {"by": ["agent", "agent"]}),
        ("by", {"by": ["hour", "day"]}),
        ("by", {"by": {"agent": 1}}),
        ("zone", {"by": "day", "zone": "Europe/Nowhere"}),
        ("zone", {"by": "day", "zone": "../../etc/passwd"}),
        ("zone", {"by": "day", "zone": "\0"}),
        ("text", {"wanted": "words"}),
    ],
)
def test_what_cannot_be_asked_is_an_error(
    reader: AuditReader, field: str, options: dict[str, Any]
) -> None:
    """An unknown key, two periods, an unknown zone and words are refused by name."""
    for ask in (reader.usage, reader.costs):
        with pytest.raises(QueryError, match=rf"^{field}: "):
            ask(**options)


def test_what_is_cut_is_said_and_the_total_is_of_all(
    config: ClickHouseConfig, reader: AuditReader
) -> None:
    """More groups than an answer holds are left out by name; the total counts them."""
    question = UsageQuestion(SearchFilter(), None, ("agent", "day"), "UTC")
    meter = Meter(ReadBudget())
    with ClickHouse(config) as clickhouse:
        usage = read_usage(clickhouse, question, meter, limit=3)
        costs = read_costs(clickhouse, question, meter, limit=3)
    assert (len(usage.value.groups), usage.complete, usage.left_out[0].what) == (3, False, "groups")
    assert usage.value.total == reader.usage(by=("agent", "day")).value.total
    assert (len(costs.value.groups), costs.complete) == (3, False)
    assert costs.value.total == reader.costs().value.total


def test_a_sum_that_would_cost_too_much_is_an_error_to_try_again(reader: AuditReader) -> None:
    """No part of a sum could stand for it: a spent budget is a retriable error."""
    for ask in (reader.usage, reader.costs):
        with pytest.raises(StorageLimitError) as caught:
            ask(by="agent", budget=ReadBudget(rows=1))
        assert caught.value.retriable


def test_an_answer_says_up_to_where_it_is_whole(database: ClickHouseConfig) -> None:
    """Runs, sessions, usage and costs say the last stored offset of each partition, read before they begin."""
    with ClickHouse(database) as clickhouse:
        clickhouse.command(
            "INSERT INTO batch_ledger (kafka_topic_id, kafka_partition, first_offset, last_offset)"
            " VALUES ('topic-1', 3, 0, 41)"
        )
    with AuditReader(config=database) as reader:
        answers = (reader.runs(), reader.sessions(), reader.usage(by="agent"), reader.costs())
        assert [each.as_of for each in answers] == [{"topic-1:3": 41}] * 4


def test_nothing_is_an_answer_too(database: ClickHouseConfig) -> None:
    """Without events, or with none that is in a book, there are no groups and every sum is unknown."""
    with AuditReader(config=database) as reader:
        for _ in range(2):
            usage = reader.usage(by=["month", "agent"], zone="Europe/Berlin").value
            assert (usage.groups, usage.total.increments.cost_usd) == ((), None)
            assert usage.total.increments.events == 0
            assert reader.costs(by="day", zone="Europe/Berlin").value.total.runs == 0
            store_projected(database, in_order([event("s", "run_started", run_id="r")]))


def test_copies_and_merges_move_no_figure(config: ClickHouseConfig, reader: AuditReader) -> None:
    """Storing a part again, at other offsets too, and merging leave every figure as it was."""

    def answers() -> tuple[Any, ...]:
        return (
            reader.usage(by=["agent", "day"], zone="Europe/Berlin"),
            reader.usage("error:429"),
            reader.costs(by=["model", "month"]),
        )

    before = answers()
    store_projected(config, in_order(fleet()[:3_000]))
    store_projected(config, in_order(fleet()[2_000:], 50_000))
    assert answers() == before
    with ClickHouse(config) as clickhouse:
        for table in ("event_log", "event_index", "event_usage"):
            clickhouse.command(f"OPTIMIZE TABLE {table} FINAL")
    assert answers() == before
