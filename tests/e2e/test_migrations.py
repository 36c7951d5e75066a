"""Migrations against the real engine: applied once, whatever happens on the way."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from stored import block_of, count, in_order, some_events
from trailhouse.schemas.errors import SchemaMismatchError, StorageRejectedError
from trailhouse.schemas.migrations import Migration, migrations
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import check, migrate, plan
from trailhouse.store.restore import missing_objects, restore

pytestmark = pytest.mark.cluster

LAST = migrations()[-1].number


def extra(number: int, *statements: str, name: str = "extra") -> Migration:
    """Return a migration after those of the package."""
    return Migration(number=number, name=name, sha256=uuid.uuid4().hex, statements=statements)


def tables(config: ClickHouseConfig) -> list[tuple[Any, ...]]:
    """Return name and definition of everything in the database."""
    with ClickHouse(config) as clickhouse:
        sql = "SELECT name, create_table_query FROM system.tables WHERE database = {database:String} ORDER BY name"
        return clickhouse.query(sql, {"database": config.database}, in_database=False).rows


def test_a_migration_is_applied_once(clickhouse: ClickHouseConfig) -> None:
    """The plan says what will be done, the first call does it, the next does nothing."""
    with pytest.raises(StorageRejectedError, match=r"lacks migration 1.*; run `trailhouse init`"):
        check(clickhouse)
    planned = plan(clickhouse)
    assert tables(clickhouse) == []
    assert migrate(clickhouse) == planned
    assert [applied.number for applied in planned] == [
        migration.number for migration in migrations()
    ]
    assert plan(clickhouse) == ()
    assert migrate(clickhouse) == ()
    check(clickhouse)


def test_later_migrations_follow(database: ClickHouseConfig) -> None:
    """What was applied stays; what is new comes after it, in order."""
    known = [
        *migrations(),
        extra(
            LAST + 1,
            "CREATE TABLE IF NOT EXISTS {database}.two (n UInt8) ENGINE = MergeTree ORDER BY n",
        ),
        extra(LAST + 2, "ALTER TABLE {database}.two ADD COLUMN IF NOT EXISTS m UInt8"),
    ]
    assert [applied.number for applied in migrate(database, known)] == [LAST + 1, LAST + 2]
    assert migrate(database, known) == ()


@pytest.mark.long
def test_every_migration_survives_being_cut_off_and_repeated(clickhouse: ClickHouseConfig) -> None:
    """A process may die after each statement: the next changes nothing up to there, and ends in the same tables."""
    whole = msgspec.structs.replace(clickhouse, database=f"{clickhouse.database}_whole")
    migrate(whole)
    expected = [
        (name, sql.replace(whole.database, clickhouse.database)) for name, sql in tables(whole)
    ]
    with ClickHouse(clickhouse) as store:
        store.command(f"CREATE DATABASE {clickhouse.database}", in_database=False)
        for place, migration in enumerate(migrations()):
            for done, statement in enumerate(migration.statements, 1):
                store.command(statement.replace("{database}", clickhouse.database))
                found = tables(clickhouse)
                # It is recorded after its last statement: whoever comes next begins with its first.
                for again in migration.statements[:done]:
                    store.command(again.replace("{database}", clickhouse.database))
                assert tables(clickhouse) == found, (
                    f"after {done} statements of migration {migration.number}"
                )
            migrate(clickhouse, migrations()[: place + 1])
    assert tables(clickhouse) == expected
    check(clickhouse)


@pytest.mark.parametrize(
    "dropped",
    [
        ["view events"],
        ["table batch_ledger", "view quarantine"],
        ["table event_log", "column event_log.producer_id", "column event_log.seq"],
        ["view incidents", "column event_log.seq"],
    ],
    ids=lambda names: names[0],
)
def test_what_was_dropped_is_made_anew(database: ClickHouseConfig, dropped: list[str]) -> None:
    """A view, a table or a column that is gone is named, made as it was, and nothing else is touched."""
    expected = tables(database)
    with ClickHouse(database) as clickhouse:
        clickhouse.insert(block_of(in_order(some_events(3))))
        for name in dropped:
            kind, _, what = name.partition(" ")
            table, _, column = what.partition(".")
            if kind != "column":
                clickhouse.command(f"DROP {kind} {what} SYNC")
            elif "table event_log" not in dropped:
                clickhouse.command(f"ALTER TABLE {table} DROP COLUMN {column}")
    assert sorted(missing_objects(database)) == sorted(dropped)
    assert sorted(restore(database)) == sorted(dropped)
    assert restore(database) == ()
    assert tables(database) == expected
    with ClickHouse(database) as clickhouse:
        assert count(clickhouse, "events") == (0 if "table event_log" in dropped else 3)


def test_nothing_is_missing_where_nothing_was_made(clickhouse: ClickHouseConfig) -> None:
    """What no migration has made yet is not missing: `migrate` makes it."""
    assert missing_objects(clickhouse) == ()
    assert restore(clickhouse) == ()
    migrate(clickhouse, migrations()[:1])
    assert missing_objects(clickhouse) == ()


def test_two_processes_may_migrate_at_the_same_time(clickhouse: ClickHouseConfig) -> None:
    """Both return, and the tables and the ledger are as if there had been one."""
    barrier = threading.Barrier(4)

    def run(_: int) -> None:
        barrier.wait(120)
        migrate(clickhouse)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(4)))
    check(clickhouse)
    with ClickHouse(clickhouse) as store:
        assert store.query("SELECT number FROM schema_migrations FINAL ORDER BY number").rows == [
            (m.number,) for m in migrations()
        ]


def test_an_edited_migration_is_refused(database: ClickHouseConfig) -> None:
    """What was applied is what the files say, or nothing starts; one line names the migration."""
    first, *others = migrations()
    edited = [msgspec.structs.replace(first, sha256="0" * 64), *others]
    for act in (migrate, plan, check):
        with pytest.raises(
            SchemaMismatchError, match=r"was made by another version of migration 1 \(event_log\)"
        ) as caught:
            act(database, edited)
        assert "\n" not in str(caught.value)


def test_a_newer_database_is_refused(database: ClickHouseConfig) -> None:
    """An older trailhouse says which one the database needs, and touches nothing."""
    migrate(
        database,
        [
            *migrations(),
            extra(
                LAST + 1,
                "CREATE VIEW IF NOT EXISTS {database}.two AS SELECT 1",
                name="from_the_future",
            ),
        ],
    )
    before = tables(database)
    for act in (migrate, plan, check):
        with pytest.raises(
            SchemaMismatchError,
            match=f"needs trailhouse with migration {LAST + 1}, this one knows up to {LAST}",
        ):
            act(database)
    assert tables(database) == before


def test_a_failed_migration_is_not_recorded(database: ClickHouseConfig) -> None:
    """When a statement fails the next run starts there again."""
    broken = [
        *migrations(),
        extra(
            LAST + 1,
            "CREATE VIEW IF NOT EXISTS {database}.two AS SELECT 1",
            "DROP TABLE {database}.nothing",
        ),
    ]
    with pytest.raises(StorageRejectedError, match="UNKNOWN_TABLE"):
        migrate(database, broken)
    assert [applied.number for applied in plan(database, broken)] == [LAST + 1]


def test_a_database_of_a_difficult_name_is_made(clickhouse: ClickHouseConfig) -> None:
    """A word of SQL is a legal name."""
    config = msgspec.structs.replace(clickhouse, database="select")
    migrate(config)
    check(config)
    with ClickHouse(config) as store:
        store.insert(block_of(in_order(some_events(3))))
        assert count(store, "events") == 3
        store.command("DROP DATABASE `select`", in_database=False)
