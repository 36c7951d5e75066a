"""Make the tables anew that follow from the log, while workers and readers run.

A day that lacks rows is given them. What cannot be mended like that is made beside and exchanged for the old one in
one step: at no moment do readers see less than before, nor anything twice. Whatever ends this, the next call ends in
the same.
"""

import contextlib
from collections.abc import Callable, Collection
from typing import Literal

import msgspec

from trailhouse.operate.derived_rows import (
    DerivedRows,
    add_missing,
    compare_table,
    session_slices,
)
from trailhouse.schemas.errors import StorageError, StorageRejectedError, StorageUnavailableError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.derived_tables import DerivedTable, derived_tables

MENDED_DAYS = 10
"""To add what a day lacks reads the log's small columns once; to make all rows costs about ten such readings."""
TAKEN = "TABLE_ALREADY_EXISTS"
"""The name of the error where another call makes the same table anew."""
ROUNDS = 5
"""Who inserts so much at once that a table never comes to agree with the log in so many looks has another trouble."""
Report = Callable[[str], None]


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to one table: nothing, rows added, or all of it made anew; and how many rows it has now.

    `added` rows were missing, `removed` ones follow from no event, `corrected` ones said otherwise than the log.
    Where more days differed than are looked at row by row, they are of those days.
    """

    table: str
    action: Literal["kept", "mended", "remade"]
    rows: int
    added: int
    removed: int
    corrected: int


def rebuild(
    storage: ClickHouse,
    *,
    is_anew: bool = False,
    takes_over: bool = False,
    report: Report = lambda step: None,
) -> tuple[Rebuilt, ...]:
    """Bring every derived table to what follows from the log; when this returns it does.

    *storage* should be made with settings as `derived_rows.patient` gives them.

    Args:
        is_anew: Whether all of every table is made anew, whatever it holds: it costs its size on disk once more.
        takes_over: Whether to begin anew where another call was cut off. Only when it is not running any more.
        report: Told what is being done.

    Raises:
        StorageRejectedError: Another call makes the same table anew, or was killed meanwhile; or ClickHouse
            refuses. Permanent; says the way out.
        StorageUnavailableError: Retriable; what was done stays, and the next call goes on.
    """
    return tuple(
        rebuild_table(storage, table, is_anew=is_anew, takes_over=takes_over, report=report)
        for table in derived_tables()
    )


def unfilled(storage: ClickHouse, made: Collection[str]) -> tuple[DerivedTable, ...]:
    """Return the derived tables that lack what the log holds, by how they came about.

    Those are the ones of *made*, names of tables and views that were made just now, those that are empty, and
    those that somebody began to make anew.

    Raises:
        StorageError: As for `rebuild`.
    """
    if not _has_rows(storage, "event_log"):
        return ()
    return tuple(
        table
        for table in derived_tables()
        if not {table.name, table.view}.isdisjoint(made)
        or _uuid(storage, _beside(table)[0])
        or not _has_rows(storage, table.name)
    )


def rebuild_table(
    storage: ClickHouse,
    table: DerivedTable,
    *,
    is_anew: bool = False,
    takes_over: bool = False,
    report: Report = lambda step: None,
) -> Rebuilt:
    """Do as `rebuild` does, for one table."""
    if takes_over:
        _clear(storage, table)
    elif _uuid(storage, _beside(table)[0]):
        raise _taken(table)
    found = compare_table(storage, table, table.name, report)
    if found.is_sound and not is_anew:
        return _result(table, "kept", found, found)
    if not is_anew and _only_lacks(found):
        after = _mended(storage, table, table.name, found, report)
        if after.is_sound:
            return _result(table, "mended", found, after)
    _make_beside(storage, table, report)
    # What was on its way when the table beside began to be filled may be in the log alone.
    after = compare_table(storage, table, table.name, report)
    after = _mended(storage, table, table.name, after, report)
    if not after.is_sound:
        raise StorageUnavailableError(
            f"{table.name} was made anew and still differs from the log: run `trailhouse rebuild` again"
        )
    return _result(table, "remade", found, after)


def _only_lacks(found: DerivedRows) -> bool:
    """Tell whether adding rows is enough, and cheaper than making all of them."""
    return (
        not found.unchecked_days
        and len(found.differing) <= MENDED_DAYS
        and not any(each.extra or each.altered for each in found.differing)
    )


def _mended(
    storage: ClickHouse, table: DerivedTable, name: str, found: DerivedRows, report: Report
) -> DerivedRows:
    """Add what the table called *name* lacks, until it lacks nothing or that does not help."""
    for _ in range(ROUNDS):
        if found.is_sound or found.unchecked_days:
            break
        for number, each in enumerate(found.differing, 1):
            report(
                f"{name}: adding {each.missing} rows of {each.date}, {number} of {len(found.differing)} days"
            )
            add_missing(storage, table, name, each.day, each.rows)
        found = compare_table(storage, table, name, report)
    return found


def _make_beside(storage: ClickHouse, table: DerivedTable, report: Report) -> None:
    beside, filling = _beside(table)
    create_table, create_view = table.beside(beside, filling)
    try:
        # The table is the lock: of two calls at a time only one makes it.
        _run(storage, create_table)
    except StorageRejectedError as error:
        if error.name != TAKEN:
            raise
        raise _taken(table) from error
    ours = _uuid(storage, beside)
    try:
        # What comes from now on goes into both tables, before and after the exchange.
        _run(storage, create_view)
        _fill(storage, table, beside, ours, report)
        _make_complete(storage, table, beside, report)
        _require(storage, beside, ours)
        report(f"exchanging {table.name}")
        storage.command(f"EXCHANGE TABLES {table.name} AND {beside}")
    except BaseException:
        # Whatever ends it, an interrupt too; what cannot be removed now is named by the next call.
        with contextlib.suppress(StorageError):
            if _uuid(storage, beside) == ours:
                _clear(storage, table)
        raise
    _clear(storage, table)


def _fill(storage: ClickHouse, table: DerivedTable, beside: str, ours: str, report: Report) -> None:
    slices = session_slices(storage)
    values = ", ".join(table.columns)
    for number, (condition, parameters) in enumerate(slices, 1):
        report(f"making {table.name} anew: part {number} of {len(slices)}")
        _require(storage, beside, ours)
        storage.command(
            f"INSERT INTO {beside} ({values}) SELECT {', '.join(table.values)} FROM event_log"  # noqa: S608 - names of ours
            f" WHERE ({table.condition}) AND {condition}",
            parameters,
        )


def _make_complete(storage: ClickHouse, table: DerivedTable, beside: str, report: Report) -> None:
    """Return when the table beside lacks nothing, whatever was on its way while it was filled."""
    found = compare_table(storage, table, beside, report)
    if not _mended(storage, table, beside, found, report).is_sound:
        raise StorageUnavailableError(
            f"{table.name} cannot be made anew: what is made does not follow from the log;"
            " run `trailhouse reconcile --hashes`, and then this again"
        )


def _beside(table: DerivedTable) -> tuple[str, str]:
    return f"{table.name}_rebuilt", f"{table.name}_rebuilding"


def _clear(storage: ClickHouse, table: DerivedTable) -> None:
    beside, filling = _beside(table)
    # The view first: without its table each insert into the log would fail.
    storage.command(f"DROP VIEW IF EXISTS {filling} SYNC")
    storage.command(f"DROP TABLE IF EXISTS {beside} SYNC")


def _require(storage: ClickHouse, beside: str, ours: str) -> None:
    if _uuid(storage, beside) != ours:
        raise StorageRejectedError(
            f"another `trailhouse rebuild` has taken over {beside}", name=TAKEN
        )


def _uuid(storage: ClickHouse, name: str) -> str:
    rows = storage.query(
        "SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        {"name": name},
    ).rows
    return str(rows[0][0]) if rows else ""


def _has_rows(storage: ClickHouse, name: str) -> bool:
    return bool(storage.query(f"SELECT 1 FROM {name} LIMIT 1").rows)  # noqa: S608 - a name of ours


def _run(storage: ClickHouse, statement: str) -> None:
    storage.command(statement.replace("{database}", f"`{storage.config.database}`"))


def _result(
    table: DerivedTable,
    action: Literal["kept", "mended", "remade"],
    before: DerivedRows,
    after: DerivedRows,
) -> Rebuilt:
    return Rebuilt(
        table=table.name,
        action=action,
        rows=after.rows,
        added=sum(each.missing for each in before.differing),
        removed=sum(each.extra for each in before.differing),
        corrected=sum(each.altered for each in before.differing),
    )


def _taken(table: DerivedTable) -> StorageRejectedError:
    return StorageRejectedError(
        f"the table {_beside(table)[0]} is there: another `trailhouse rebuild` is running, or was killed;"
        " when it is not running any more, `trailhouse rebuild --take-over` begins anew",
        name=TAKEN,
    )
