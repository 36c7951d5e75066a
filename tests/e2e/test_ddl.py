"""What the package knows of its tables, against what ClickHouse has made of the migrations."""

from collections.abc import Iterator

import pytest

from trailhouse.broker.origin import ORIGIN_COLUMNS
from trailhouse.consumer.batch.rows import EVENT_COLUMNS
from trailhouse.schemas.ddl import table_definitions
from trailhouse.store import EVENT_LOG, ClickHouse, ClickHouseConfig
from trailhouse.store.derived_tables import derived_tables

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def storage(database_of_module: ClickHouseConfig) -> Iterator[ClickHouse]:
    """Return a database with every table."""
    with ClickHouse(database_of_module) as clickhouse:
        yield clickhouse


def made(storage: ClickHouse, table: str) -> str:
    """Return the statement that ClickHouse keeps of *table*."""
    [[statement]] = storage.query(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    ).rows
    return str(statement)


def test_every_table_is_described(storage: ClickHouse) -> None:
    """No table of the database is without a description, and none is described that is not there."""
    found = storage.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    ).rows
    assert {name for (name,) in found} == {*table_definitions(), "schema_migrations"}


@pytest.mark.parametrize("name", sorted(table_definitions()))
def test_a_description_makes_the_same_table(storage: ClickHouse, name: str) -> None:
    """Made from its description under another name a table is the same: columns, codecs, comments, order, settings."""
    storage.command(table_definitions()[name].statement("copied").replace("{database}.", ""))
    try:
        assert made(storage, "copied").replace(".copied", f".{name}", 1) == made(storage, name)
    finally:
        storage.command("DROP TABLE copied SYNC")


def test_what_is_written_is_what_the_table_takes(storage: ClickHouse) -> None:
    """The worker's columns are those of its table that ClickHouse does not work out, with their types."""
    for name, definition in table_definitions().items():
        columns = storage.query(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {name:String}"
            " AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') ORDER BY position",
            {"name": name},
        ).rows
        assert list(definition.written.items()) == columns
    assert {*EVENT_COLUMNS, *ORIGIN_COLUMNS} == set(EVENT_LOG.columns)


def test_what_follows_from_the_log_has_a_value_for_each_column() -> None:
    """What fills a derived table names all of its columns, in their order."""
    for table in derived_tables():
        assert table.columns == tuple(table.definition.written)
        assert set(table.key.split(", ")) < set(table.columns)
