"""Pages of a search where much was stored again: what copies may cost, and that each event is met once."""

import datetime as dt
from typing import Any

import pytest

from search_oracle import answer, events_of, same, walk
from stored import START_MS, Placed, a_session, block_of, event, store
from trailhouse.consumer.batch.blank_rows import BLANKS
from trailhouse.query import AuditReader, ReaderConfig, SearchFilter
from trailhouse.store import EVENT_LOG, ClickHouse, ClickHouseConfig
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


def _looks(statements: list[str]) -> int:
    return sum("FROM events_by_time_as_stored" in each for each in statements)


@pytest.mark.parametrize("newest", [True, False])
def test_a_page_by_time_passes_copies_in_two_looks(
    database: ClickHouseConfig, newest: bool
) -> None:
    """Where all was stored thrice, a page looks twice, learning the share of copies, and the next page but once."""
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
        looks = _looks(statements)
        following = reader.search(limit=100, newest_first=newest, cursor=page.next)
        watch_statements(None)
    expected = events[::-1] if newest else events
    same(events_of(page), expected[:100])
    same(events_of(following), expected[100:200])
    assert (looks, _looks(statements)) == (2, 3)


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


@pytest.mark.parametrize("blank_first", [True, False])
def test_of_copies_at_one_offset_the_blank_one_is_shown(
    database: ClickHouseConfig, blank_first: bool
) -> None:
    """A batch that is stored again while an erasure runs: of two rows of one offset, whichever came last is whole."""
    whole = Placed(event(a_session(), data={"secret": "of somebody"}), 0, 7)
    other = Placed(event(whole.event.session_id), 0, 8)
    stored = block_of([whole, other])
    columns: dict[str, Any] = dict(zip(stored.names, stored.columns, strict=True))
    blank = {name: [BLANKS.get(name, values[0])] for name, values in columns.items()}
    with ClickHouse(database) as clickhouse:
        clickhouse.command("SYSTEM STOP MERGES event_log")
        for rows in (blank, columns)[:: 1 if blank_first else -1]:
            clickhouse.insert(EVENT_LOG.block(rows))
    with AuditReader(config=database, reads=READS) as reader:
        page = reader.search(f"session:{whole.event.session_id}")
    assert [each.event for each in page.items] == [other.event, None]
    assert "it was erased" in (page.items[1].problem or "")


def test_the_first_of_copies_is_shown(database: ClickHouseConfig) -> None:
    """Whichever is stored first or last, the copy that Kafka took first tells where an event stands."""
    each = event(a_session())
    places = [(5, START_MS), (1, START_MS + 1), (9, START_MS - 1), (8, START_MS - 1)]
    with ClickHouse(database) as clickhouse:
        clickhouse.command("SYSTEM STOP MERGES event_log")
    for offset, appended_ms in places:
        store(database, [Placed(each, 0, offset, appended_ms)])
    with AuditReader(config=database, reads=READS) as reader:
        [found] = reader.search(f"session:{each.session_id}").items
    assert found.offset == 8
