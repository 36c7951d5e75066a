"""Databases with every table, for the tests: made once, emptied after a test, and lent to the next.

To make one takes the engine longer than many a test, and each that stays costs it work for good.
"""

from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4

from cluster import Cluster
from trailhouse.schemas.errors import StorageError, StorageUnavailableError
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate

_STATE = """
SELECT
    (SELECT cityHash64(arraySort(groupArray((name, replaceAll(create_table_query, '<name>', '')))))
     FROM system.tables WHERE database = '<name>'),
    (SELECT cityHash64(arraySort(groupUniqArray((number, name, sha256)))) FROM `<name>`.schema_migrations),
    (SELECT count() FROM system.mutations WHERE database = '<name>' AND NOT is_done),
    (SELECT count() FROM system.detached_parts WHERE database = '<name>'),
    (SELECT count() FROM system.processes WHERE current_database = '<name>'),
    (SELECT groupUniqArray(table) FROM system.parts
     WHERE database = '<name>' AND table != 'schema_migrations')
"""


class _State(NamedTuple):
    """What a database holds beside rows, and which of its tables have rows."""

    beside_rows: tuple[Any, ...]
    filled_tables: tuple[str, ...]


class Databases:
    """The databases of one engine; whoever borrows one finds it as `migrate` makes it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._clickhouse = ClickHouse(cluster.clickhouse_config("default"))
        self._not_ours = self._names()
        self._new: _State | None = None
        self._free: list[str] = []

    def borrow(self) -> ClickHouseConfig:
        """Return a database with every table and no row, and to nobody else until it is given back."""
        while self._free:
            name = self._free.pop(0)
            # Once more, for what was on its way when it was given back has arrived by now.
            if self._state(name) == self._new:
                return self._cluster.clickhouse_config(name)
            self._drop(name)
        made = self._cluster.clickhouse_config(f"trailhouse_{uuid4().hex[:12]}")
        migrate(made)
        if self._new is None:
            self._new = self._state(made.database)
        return made

    def give_back(self, config: ClickHouseConfig) -> None:
        """Empty a borrowed database; one whose tables were changed, or that is in use still, is dropped."""
        name = config.database
        try:
            state = self._state(name)
            if self._new is None or state.beside_rows != self._new.beside_rows:
                self._drop(name)
                return
            for table in state.filled_tables:
                # A test may have stopped them, and that outlives the rows.
                self._clickhouse.command(f"SYSTEM START MERGES `{name}`.`{table}`")
            if state.filled_tables:
                self._clickhouse.command(
                    f"TRUNCATE ALL TABLES FROM `{name}` NOT LIKE 'schema_migrations'"
                )
        except StorageError:  # the test dropped it, or one of its tables, or ended the engine
            return
        self._free.append(name)

    def drop_others(self) -> None:
        """Drop every database that is lent to nobody and is not kept for the next."""
        for name in sorted(self._names() - self._not_ours - set(self._free)):
            self._drop(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clickhouse.close()

    def _state(self, name: str) -> _State:
        *beside_rows, filled = self._rows(_STATE.replace("<name>", name))[0]
        return _State(tuple(beside_rows), tuple(filled))

    def _names(self) -> set[str]:
        return {str(name) for (name,) in self._rows("SELECT name FROM system.databases")}

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            return self._clickhouse.query(sql).rows
        except (
            StorageUnavailableError
        ):  # the engine was ended, and started again, since the last one
            return self._clickhouse.query(sql).rows

    def _drop(self, name: str) -> None:
        self._clickhouse.command(f"DROP DATABASE IF EXISTS `{name}` SYNC")
