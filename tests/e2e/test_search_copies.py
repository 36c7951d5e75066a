"""Pages of a search where much was stored again: what copies may cost, and that each event is met once."""

import datetime as dt

import pytest

from search_oracle import answer, events_of, same, walk
from stored import Placed, a_session, event, store
from trailhouse.query import AuditReader, ReaderConfig, SearchFilter
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.watched_statements import watch_statements

pytestmark = pytest.mark.cluster

UTC = dt.UTC
READS = ReaderConfig(cursor_secret="a secret of 32 characters or more", budget_seconds=100)


def test_a_page_passes_many_copies_in_few_statements(database: ClickHouseConfig) -> None:
    """Where much was sent again at last, the newest by append are found before a budget is spent on copies."""
    firsts = [Placed(event(a_session(), data={"place": place}), 0, place) for place in range(600)]
    store(database, firsts)
    store(database, [Placed(each.event, 0, 600 + place) for place, each in enumerate(firsts)])
    statements: list[str] = []
    with AuditReader(config=database, reads=READS) as reader:
        reader.count()
        watch_statements(lambda sql, _: statements.append(sql))
        page = reader.search(by="append", limit=5)
        watch_statements(None)
    same(events_of(page), [each.event for each in firsts[:-6:-1]])
    assert len(statements) < 25


@pytest.mark.parametrize("newest", [True, False])
def test_a_page_by_time_passes_copies_in_two_looks(
    database: ClickHouseConfig, newest: bool
) -> None:
    """Where all was stored thrice, a page looks once, learns the share of copies, and has what is missing at once."""
    moment = dt.datetime(2026, 10, 1, tzinfo=UTC)
    session = a_session()
    events = [
        event(session, occurred_at=moment + dt.timedelta(seconds=place)) for place in range(400)
    ]
    with ClickHouse(database) as clickhouse:
        clickhouse.command("SYSTEM STOP MERGES event_index")
    for turn in range(3):
        store(database, [Placed(each, 0, 400 * turn + place) for place, each in enumerate(events)])
    statements: list[str] = []
    with AuditReader(config=database, reads=READS) as reader:
        reader.count()
        watch_statements(lambda sql, _: statements.append(sql))
        page = reader.search(limit=100, newest_first=newest)
        watch_statements(None)
    same(events_of(page), events[: -101 if newest else None : -1 if newest else 1][:100])
    assert sum("FROM events_by_time_as_stored" in each for each in statements) == 2


@pytest.mark.parametrize("newest", [True, False])
def test_more_at_one_moment_than_fit_a_page_are_walked_in_order(
    database: ClickHouseConfig, newest: bool
) -> None:
    """Clocks that tell seconds: what happened at one moment is on several pages, each event once, copies or not."""
    moment = dt.datetime(2026, 10, 1, tzinfo=UTC)
    sessions = [a_session() for _ in range(4)]
    events = [
        event(
            sessions[place % 4],
            occurred_at=moment + dt.timedelta(seconds=min(max(place - 10, 0), 60) // 50),
        )
        for place in range(90)
    ]
    for turn in range(2):
        store(database, [Placed(each, 0, 100 * turn + place) for place, each in enumerate(events)])
    expected = answer(SearchFilter(), events)
    with AuditReader(config=database) as reader:
        for limit in (7, 59, 60, 90):
            found, _ = walk(reader, "", limit=limit, newest_first=newest)
            same(found, expected if newest else expected[::-1])
