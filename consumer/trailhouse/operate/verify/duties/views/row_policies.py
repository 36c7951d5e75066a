"""Row and masking policies: which of them bind whom on our tables and views; the migrations make none.

Who has no grant to see them is told so, unless the server can have none: it keeps its users in its own configuration
alone, and that has none of ours.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store.clickhouse import ClickHouse

Kind = Literal["row", "masking"]
_POLICIES = """
    SELECT short_name, database, table FROM system.{}_policies
    WHERE database IN ({{database:String}}, '') ORDER BY database, table, short_name
"""
_DIRECTORIES = "SELECT type, params FROM system.user_directories"
_NO_PARAMETERS = "{}"
"""Of the one directory that an engine has which was given no configuration: it takes no policy."""


class TablePolicy(NamedTuple):
    """A policy by its name, and the table or view that it is on; "" for each of the database."""

    name: str
    table: str


def policies_of(clickhouse: ClickHouse, kind: Kind) -> tuple[TablePolicy, ...] | None:
    """Return each on our database; None where this user may not see them, and there may be some.

    A ClickHouse that knows no masking policies has none.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    values = {"database": clickhouse.config.database}
    try:
        rows = clickhouse.query(_POLICIES.format(kind), values, in_database=False).rows
    except StorageRejectedError as error:
        if kind == "masking" and error.name == "UNKNOWN_TABLE":
            return ()
        if error.name != "ACCESS_DENIED":
            raise
        return () if can_have_no_users(clickhouse) else None
    return tuple(TablePolicy(str(name), _table(table)) for name, _, table in rows)


def _table(name: object) -> str:
    # `ON database.*` is shown without a table, or by the star, by version.
    return "" if name in ("*", "", None) else str(name)


def grant_line(user: str, what: str) -> str:
    """Return what to do so that *user* sees *what* he has no grant for: one statement."""
    name = user.replace("\\", "\\\\").replace("`", "\\`")
    return f"an administrator grants it by: GRANT {what} ON *.* TO `{name}`"


def can_have_no_users(clickhouse: ClickHouse) -> bool:
    """Tell whether the server keeps its users in one configuration that names none of anybody else's.

    Raises:
        StorageUnavailableError: ClickHouse is away. Retriable.
    """
    try:
        rows: Iterable[tuple[str, str]] = clickhouse.query(_DIRECTORIES, in_database=False).rows
    except StorageRejectedError:
        return False
    return [tuple(row) for row in rows] == [("users_xml", _NO_PARAMETERS)]
