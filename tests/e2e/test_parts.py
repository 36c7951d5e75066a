"""How many parts our tables have, asked of the real engine: it refuses just where we say that it will."""

from collections.abc import Iterator

import pytest

from stored import block_of, in_order, some_events
from trailhouse.schemas.errors import StorageOverloadedError
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.parts import FullestTable, fullest_table

pytestmark = pytest.mark.cluster


@pytest.fixture
def store(database: ClickHouseConfig) -> Iterator[ClickHouse]:
    """Return a connection to a fresh database that has every table, and in which no parts are merged."""
    with ClickHouse(database) as clickhouse:
        clickhouse.command("SYSTEM STOP MERGES event_log")
        yield clickhouse


def insert(store: ClickHouse, parts: int) -> None:
    """Have ClickHouse make *parts* parts."""
    for _ in range(parts):
        store.insert(block_of(in_order(some_events(1))))


def test_the_share_is_one_where_clickhouse_refuses(store: ClickHouse) -> None:
    """By the limits that hold for the table; a refusal is told from an outage, and ends with its cause."""
    assert fullest_table(store).share < 0.01
    migrations = fullest_table(store).parts  # a part each
    insert(store, migrations + 1)
    parts = fullest_table(store)
    assert parts.parts == migrations + 1
    assert parts.table != "schema_migrations"
    assert parts.share < 0.01, "expected the server's limits"

    limit = migrations + 2
    store.command(f"ALTER TABLE event_log MODIFY SETTING parts_to_throw_insert = {limit}")
    assert fullest_table(store) == FullestTable("event_log", limit - 1, limit)
    insert(store, 1)
    assert fullest_table(store).share == 1
    with pytest.raises(StorageOverloadedError, match=r"TOO_MANY_PARTS \(252\); its merges lag"):
        insert(store, 1)

    store.command("ALTER TABLE event_log RESET SETTING parts_to_throw_insert")
    insert(store, 1)
    limit += 1
    store.command(f"ALTER TABLE event_log MODIFY SETTING max_parts_in_total = {limit}")
    assert fullest_table(store) == FullestTable("event_log", limit, limit)
    with pytest.raises(StorageOverloadedError):
        insert(store, 1)
