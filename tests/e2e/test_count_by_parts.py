"""A count of everything reads where several parts of the index may have copies, and is exact during merges."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from stored import Placed, event, store
from trailhouse.query import AuditReader
from trailhouse.query.search.count_by_parts import count_by_parts
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.watched_statements import watch_statements

pytestmark = pytest.mark.cluster

BEGAN_AT = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
EVENTS = [
    event("s", occurred_at=BEGAN_AT + dt.timedelta(seconds=place), data={"place": place})
    for place in range(260)
]


@pytest.fixture
def twice(database: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database of 250 events: 200 that were stored twice and merged; then 50 again, with 50 new ones."""
    with ClickHouse(database) as clickhouse:
        for turn in range(2):
            _store(database, 0, 200, turn)
        clickhouse.command("OPTIMIZE TABLE event_index FINAL")
        clickhouse.command("SYSTEM STOP MERGES event_index")
        _store(database, 150, 250, 2)
    return database


def _store(config: ClickHouseConfig, first: int, end: int, turn: int) -> None:
    places = range(first, end)
    store(config, [Placed(EVENTS[place], 0, 1_000 * turn + place) for place in places])


def test_what_one_merged_part_holds_is_not_read(twice: ClickHouseConfig) -> None:
    """Nor is anything merged for it; a reader of one tenant has none of it."""
    statements: list[str] = []
    with AuditReader(config=twice) as reader:
        assert reader.count("tenant:nobody").value == 0
        watch_statements(lambda sql, _: statements.append(sql))
        counted = reader.count()
        watch_statements(None)
    assert (counted.value, counted.exact) == (250, True)
    assert not any("FROM events_by_time " in sql for sql in statements)
    with AuditReader("somebody", config=twice) as reader:
        assert reader.count().value == 0


@pytest.mark.parametrize("asked", [1, 2])
def test_a_merge_meanwhile_moves_no_count(twice: ClickHouseConfig, asked: int) -> None:
    """After the parts were asked for, and after their rows were: those that are gone are not counted by."""
    statements: list[str] = []
    with ClickHouse(twice) as clickhouse:

        def ask(sql: str, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
            rows = clickhouse.query(sql, values).rows
            statements.append(sql)
            if len(statements) == asked:
                clickhouse.command("SYSTEM START MERGES event_index")
                clickhouse.command("OPTIMIZE TABLE event_index FINAL")
            return rows

        assert count_by_parts(ask) == 250
    assert len(statements) > asked


def test_what_is_stored_meanwhile_is_counted_once_or_not_yet(twice: ClickHouseConfig) -> None:
    """Copies of events that are counted already count for nothing."""
    statements: list[str] = []
    with ClickHouse(twice) as clickhouse:

        def ask(sql: str, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
            rows = clickhouse.query(sql, values).rows
            statements.append(sql)
            if len(statements) == 1:
                _store(twice, 100, 260, 3)
            return rows

        counted = count_by_parts(ask)
        assert counted is not None
        assert 250 <= counted <= 260
        assert count_by_parts(ask) == 260


def test_a_row_that_was_taken_away_is_not_counted(twice: ClickHouseConfig) -> None:
    """A part keeps rows that are marked as gone until it is merged; they are no events."""
    with ClickHouse(twice) as clickhouse:
        first = min(
            int(us) for (us,) in clickhouse.query("SELECT occurred_us FROM event_index").rows
        )
        clickhouse.command(
            "SYSTEM START MERGES event_index"
        )  # which changes of parts wait for, too
        clickhouse.command(
            f"DELETE FROM event_index WHERE occurred_us < {first + 10_000_000} SETTINGS mutations_sync = 2"
        )
        assert clickhouse.query("SELECT count() FROM events_by_time").rows[0][0] == 240
    with AuditReader(config=twice) as reader:
        assert reader.count().value == 240
