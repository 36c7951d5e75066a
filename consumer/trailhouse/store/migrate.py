"""Bring a database to the newest migration: numbered, checksummed, each applied once.

The table `schema_migrations` says what was applied. A migration is recorded after its last
statement, and every statement of ours may be run again without harm (``CREATE … IF NOT EXISTS``,
``ADD COLUMN IF NOT EXISTS``): so a process that died half-way, or two processes at the same time,
end in the same tables as one that ran through. A test repeats and cuts off every migration.
"""

from collections.abc import Sequence

import msgspec

from trailhouse.schemas.errors import SchemaMismatchError, StorageRejectedError
from trailhouse.schemas.migrations import Migration, migrations
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.config import ClickHouseConfig

MIGRATION_COLUMNS = "number UInt32, name String, sha256 String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')"


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """One migration that a database holds, or will hold: its number, name and checksum."""

    number: int
    name: str
    sha256: str


def migrate(
    config: ClickHouseConfig, known: Sequence[Migration] | None = None
) -> tuple[Applied, ...]:
    """Apply what is missing, in order, and return it; empty when nothing was.

    Makes the database itself when there is none. Safe to repeat, and to run twice at a time.

    Args:
        config: Where ClickHouse is, and the database.
        known: The migrations to bring it to; those of this package if None.

    Raises:
        SchemaMismatchError: An applied one was edited, or the database is newer than this package: the two
            do not belong together. Permanent; nothing was changed.
        StorageRejectedError: ClickHouse refuses. Permanent; names the way out.
        StorageUnavailableError: Retriable; what was done stays, and the next call goes on.
    """
    with ClickHouse(config) as clickhouse:
        missing = _missing(clickhouse, known)
        if missing:
            clickhouse.command(
                f"CREATE DATABASE IF NOT EXISTS `{config.database}`", in_database=False
            )
            clickhouse.command(
                f"CREATE TABLE IF NOT EXISTS schema_migrations ({MIGRATION_COLUMNS}) ENGINE = ReplacingMergeTree"
                " ORDER BY (number, sha256) SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
            )
        for migration in missing:
            for statement in migration.statements:
                clickhouse.command(statement.replace("{database}", f"`{config.database}`"))
            # After its last statement: whoever is cut off before this does all of it again, which harms nothing.
            _record(clickhouse, migration)
    return tuple(_applied(migration) for migration in missing)


def plan(config: ClickHouseConfig, known: Sequence[Migration] | None = None) -> tuple[Applied, ...]:
    """Return what `migrate` would apply, and change nothing.

    Raises:
        StorageError: As for `migrate`.
    """
    with ClickHouse(config) as clickhouse:
        return plan_with(clickhouse, known)


def plan_with(
    clickhouse: ClickHouse, known: Sequence[Migration] | None = None
) -> tuple[Applied, ...]:
    """Do as `plan` does, over a connection that is there already."""
    return tuple(_applied(migration) for migration in _missing(clickhouse, known))


def check(config: ClickHouseConfig, known: Sequence[Migration] | None = None) -> None:
    """Return when the database is exactly what this package knows; call it before using the tables.

    Raises:
        SchemaMismatchError: It is newer, or was made by an edited migration. Permanent; says what to do.
        StorageRejectedError: It is older or not there. Permanent until `trailhouse init` mends that.
        StorageUnavailableError: Retriable; nothing is known.
    """
    with ClickHouse(config) as clickhouse:
        check_with(clickhouse, known)


def check_with(clickhouse: ClickHouse, known: Sequence[Migration] | None = None) -> None:
    """Do as `check` does, over a connection that is there already."""
    if missing := _missing(clickhouse, known):
        numbers = ", ".join(str(migration.number) for migration in missing)
        raise StorageRejectedError(
            f"{_place(clickhouse)} lacks migration {numbers}; run `trailhouse init`"
        )


def _missing(clickhouse: ClickHouse, known: Sequence[Migration] | None) -> tuple[Migration, ...]:
    ours = {migration.number: migration for migration in (migrations() if known is None else known)}
    applied = _read(clickhouse)
    newest = max((found.number for found in applied), default=0)
    if newest > max(ours, default=0):
        raise SchemaMismatchError(
            f"{_place(clickhouse)} needs trailhouse with migration {newest}, this one knows up to"
            f" {max(ours, default=0)}; install a newer trailhouse"
        )
    # Two processes of different versions may each have recorded one, so there may be two of a number.
    for found in applied:
        if found.sha256 != ours[found.number].sha256:
            raise SchemaMismatchError(
                f"{_place(clickhouse)} was made by another version of migration {found.number} ({found.name});"
                " a migration must not be edited: use the trailhouse that made it, or a new database"
            )
    return tuple(
        ours[number] for number in sorted(ours.keys() - {found.number for found in applied})
    )


def _read(clickhouse: ClickHouse) -> tuple[Applied, ...]:
    # Not asked of system.tables, which hides what one has no grant for: that is another answer than none.
    try:
        found = clickhouse.query(
            "SELECT DISTINCT number, name, sha256 FROM schema_migrations ORDER BY number, sha256"
        )
    except StorageRejectedError as error:
        if error.name in {"UNKNOWN_TABLE", "UNKNOWN_DATABASE"}:
            return ()
        raise
    return tuple(
        Applied(number=number, name=name, sha256=sha256) for number, name, sha256 in found.rows
    )


def _record(clickhouse: ClickHouse, migration: Migration) -> None:
    clickhouse.command(
        "INSERT INTO schema_migrations (number, name, sha256)"
        " SELECT {number:UInt32}, {name:String}, {sha256:String}",
        {"number": migration.number, "name": migration.name, "sha256": migration.sha256},
    )


def _applied(migration: Migration) -> Applied:
    return Applied(number=migration.number, name=migration.name, sha256=migration.sha256)


def _place(clickhouse: ClickHouse) -> str:
    return f"the database {clickhouse.config.database} of {clickhouse.config.url}"
