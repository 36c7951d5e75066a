"""Make anew what an applied migration made and somebody has dropped; what is there is never touched.

Every statement of a migration may be run again without harm, so what is missing is made by the very
statements that made it, in their order. A table comes back empty: what was in it is in Kafka, or lost.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from trailhouse.schemas.migrations import Migration, migrations
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.migrate import plan_with
from trailhouse.store.tables import WRITTEN_TABLES

_TARGET = re.compile(
    r"(?:CREATE|CREATE OR REPLACE|ALTER) (TABLE|VIEW|MATERIALIZED VIEW) (?:IF NOT EXISTS )?\{database\}\.(\w+)"
)
_KINDS = {"View": "view", "MaterializedView": "materialized view"}
_ADDED = re.compile(r"ADD COLUMN IF NOT EXISTS (\w+)")


def missing_objects(
    config: ClickHouseConfig, known: Sequence[Migration] | None = None
) -> tuple[str, ...]:
    """Return what applied migrations made and the database lacks, such as ``view events``.

    Raises:
        StorageError: As for `migrate`.
    """
    with ClickHouse(config) as clickhouse:
        return _missing(clickhouse, _applied(clickhouse, known))


def restore(config: ClickHouseConfig, known: Sequence[Migration] | None = None) -> tuple[str, ...]:
    """Make what is missing, and return it; safe to repeat, and to run twice at a time.

    Raises:
        StorageError: As for `migrate`.
    """
    with ClickHouse(config) as clickhouse:
        applied = _applied(clickhouse, known)
        missing = _missing(clickhouse, applied)
        # In their order: a later one changes what an earlier one made.
        for migration in applied if missing else ():
            for statement in migration.statements:
                if not set(missing).isdisjoint(objects_of(statement)):
                    clickhouse.command(statement.replace("{database}", f"`{config.database}`"))
    return missing


def lacking_columns(config: ClickHouseConfig) -> dict[str, tuple[str, ...]]:
    """Return by table the columns that the worker writes, and that somebody has dropped or renamed.

    Those no migration brings back: what was in them is for a backup to give, or for a replay.

    Raises:
        StorageError: As for `migrate`.
    """
    with ClickHouse(config) as clickhouse:
        there = set(_there(clickhouse))
    lacking = {
        table.name: tuple(
            column for column in table.columns if f"column {table.name}.{column}" not in there
        )
        for table in WRITTEN_TABLES
        if f"table {table.name}" in there
    }
    return {name: columns for name, columns in lacking.items() if columns}


def _applied(clickhouse: ClickHouse, known: Sequence[Migration] | None) -> list[Migration]:
    ours = migrations() if known is None else known
    pending = {migration.number for migration in plan_with(clickhouse, ours)}
    return [migration for migration in ours if migration.number not in pending]


def _missing(clickhouse: ClickHouse, applied: Iterable[Migration]) -> tuple[str, ...]:
    wanted = dict.fromkeys(
        name
        for migration in applied
        for statement in migration.statements
        for name in objects_of(statement)
    )
    if not wanted:
        return ()
    there = set(_there(clickhouse))
    return tuple(name for name in wanted if name not in there)


def _there(clickhouse: ClickHouse) -> Iterator[str]:
    database = {"database": clickhouse.config.database}
    tables = clickhouse.query(
        "SELECT name, engine FROM system.tables WHERE database = {database:String}",
        database,
        in_database=False,
    ).rows
    for name, engine in tables:
        yield f"{_KINDS.get(engine, 'table')} {name}"
    columns = clickhouse.query(
        "SELECT table, name FROM system.columns WHERE database = {database:String}",
        database,
        in_database=False,
    ).rows
    for table, name in columns:
        yield f"column {table}.{name}"


def objects_of(statement: str) -> list[str]:
    """Return what *statement* makes: a table or a view, or columns of one, such as ``view events``."""
    if (found := _TARGET.match(statement)) is None:
        return []
    kind, name = found[1].lower(), found[2]
    columns = [f"column {name}.{column}" for column in _ADDED.findall(statement)]
    return columns if statement.startswith("ALTER") else [f"{kind} {name}"]
