"""Hold the tables that follow from the log against it: what they lack, have too much, or say otherwise.

Copies count once on either side. Day by day, count and digest of all columns are compared; only where they differ, rows
are. What a worker stores meanwhile reaches both tables, though not in the same moment: a day that differs is looked at
again.

A digest is quick where it finds what went wrong (`rebuild`, `reconcile`), and keyed where it must find what somebody
has fitted to it (`verify`): SipHash by a secret that is drawn after the rows were stored.
"""

import datetime as dt
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.derived_tables import DerivedTable, derived_tables

PATIENCE_SECONDS = 600.0
"""A statement reads a year."""
LOOKS = 3
PAUSE_SECONDS = 0.3
ROWS_PER_STATEMENT = 1_000_000
MAX_SLICES = 10_000
MAX_DAYS = 1_000
"""So many days are compared row by row; where more differ, all of the table is made anew anyway."""

DAY = "least(greatest(intDiv(occurred_us, 86400000000), 20088), 24106)"
"""Days since 1970, within the years that partitions are made of; others count with the nearest."""
_EPOCH = dt.date(1970, 1, 1)
_YEAR = f"toYear(toDate32({DAY}))"
_ONCE = "SETTINGS do_not_merge_across_partitions_select_final = 1"


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """A day of a table that does not follow from the log: how many events it lacks, has too much, or has otherwise.

    The first day of 2025 and the last of 2035 stand for all before and after. `rows` is what the day should have.
    """

    table: str
    date: dt.date
    rows: int
    missing: int
    extra: int
    altered: int

    @property
    def day(self) -> int:
        """The day as ClickHouse counts it, from 1970."""
        return (self.date - _EPOCH).days


class DerivedRows(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one table: the rows that it should have, and the days on which it differs.

    `unchecked_days` differ as well, by count or digest, and were too many to be looked at row by row.
    """

    table: str
    rows: int
    differing: tuple[Differing, ...]
    unchecked_days: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether every row is there, and no other."""
        return not self.differing and not self.unchecked_days


def patient(config: ClickHouseConfig) -> ClickHouseConfig:
    """Return these settings with the time that statements over all of the log take."""
    return msgspec.structs.replace(
        config, timeout_seconds=max(config.timeout_seconds, PATIENCE_SECONDS)
    )


def compare_derived(
    storage: ClickHouse,
    report: Callable[[str], None] = lambda step: None,
    *,
    secret: bytes = b"",
    within: str = "true",
) -> tuple[DerivedRows, ...]:
    """Hold every derived table against the log; nothing is changed, and a worker may run meanwhile.

    Without a secret it costs ClickHouse a microsecond an event. *storage* should be made with `patient` settings.

    Args:
        storage: The database.
        report: Told what is being done.
        secret: 16 bytes that nobody can have known when the rows were stored: then they are compared by a keyed hash.
        within: A condition on columns that the log and these tables have alike: which rows are compared.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    return tuple(
        compare_table(storage, table, table.name, report, secret=secret, within=within)
        for table in derived_tables()
    )


def compare_table(
    storage: ClickHouse,
    table: DerivedTable,
    name: str,
    report: Callable[[str], None] = lambda step: None,
    *,
    secret: bytes = b"",
    within: str = "true",
) -> DerivedRows:
    """Hold the table called *name*, which is made like *table*, against the log; *secret* and *within* as above.

    Raises:
        StorageError: As for `compare_derived`.
    """
    digest = _digest(table, secret)
    expected: dict[int, tuple[int, int]] = {}
    found: dict[int, tuple[int, int]] = {}
    for year in _years(storage, name):
        part = f"{_YEAR} = {year} AND ({within})"
        report(f"comparing {name} with the log: {year}")
        expected |= _days(storage, _wanted(table, part, final=True), digest)
        found |= _days(storage, _held(table, name, part, final=True), digest)
    suspects = sorted(
        day for day in expected.keys() | found.keys() if expected.get(day) != found.get(day)
    )
    looked_at = {day: expected.get(day, (0, 0))[0] for day in suspects[:MAX_DAYS]}
    return DerivedRows(
        table=name,
        rows=sum(rows for rows, _ in expected.values()),
        differing=tuple(_settled(storage, table, name, looked_at, digest, within)),
        unchecked_days=len(suspects) - len(looked_at),
    )


def add_missing(storage: ClickHouse, table: DerivedTable, name: str, day: int, rows: int) -> None:
    """Write into the table called *name* the rows of a day that it lacks; repeat it as you like.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    values = ", ".join(table.columns)
    for part in _parts(day, rows):
        storage.command(
            f"INSERT INTO {name} ({values}) SELECT {values} FROM ({_wanted(table, part)})"  # noqa: S608 - names of ours
            f" WHERE ({table.key}) NOT IN (SELECT {table.key} FROM {name} WHERE {part})"
        )


def contradicting_copies(
    storage: ClickHouse, table: DerivedTable, *, secret: bytes, within: str = "true"
) -> dict[dt.date, int]:
    """Return by day how many events have rows in *table* that say different things, as far as no merge has met them.

    Readers that take rows as they are stored see all of them; FINAL, the last. Copies of a row are alike.

    Raises:
        StorageError: As for `compare_derived`.
    """
    found: dict[dt.date, int] = {}
    digest = _digest(table, secret)
    for year in _years(storage, table.name):
        part = f"{_YEAR} = {year} AND ({within})"
        rows, once = (
            f"(SELECT count() FROM {table.name} {final} WHERE {part})"  # noqa: S608 - names and numbers of ours
            for final in ("", "FINAL")
        )
        if not storage.query(f"SELECT {rows} > {once} {_ONCE}").rows[0][0]:
            continue
        differing = storage.query(
            f"SELECT day, count() FROM (SELECT {table.key}, {DAY} AS day FROM {table.name} WHERE {part}"  # noqa: S608 - as above
            f" GROUP BY {table.key} HAVING min({digest}) != max({digest})) GROUP BY day"
            " SETTINGS optimize_aggregation_in_order = 1"
        ).rows
        found |= {_EPOCH + dt.timedelta(days=int(day)): int(count) for day, count in differing}
    return found


def session_slices(storage: ClickHouse) -> list[tuple[str, dict[str, str]]]:
    """Return conditions that hold all rows of the log between them, about as many each, with their parameters.

    Raises:
        StorageError: As for `compare_derived`.
    """
    rows = int(storage.query("SELECT count() FROM event_log").rows[0][0])
    borders = [""]
    if wanted := min(rows // ROWS_PER_STATEMENT, MAX_SLICES):
        # In hexadecimal: a session's id is any text.
        sql = f"SELECT arraySort(arrayDistinct(groupArraySample({wanted:d}, 1)(hex(session_id)))) FROM event_log"  # noqa: S608 - a number
        borders += storage.query(sql).rows[0][0]
    slices = []
    for first, until in zip(borders, [*borders[1:], None], strict=True):
        condition, parameters = "session_id >= unhex({first:String})", {"first": first}
        if until is not None:
            condition += " AND session_id < unhex({until:String})"
            parameters["until"] = until
        slices.append((condition, parameters))
    return slices


def _years(storage: ClickHouse, name: str) -> list[int]:
    rows = storage.query(
        f"SELECT DISTINCT year FROM (SELECT DISTINCT {_YEAR} AS year FROM event_log"  # noqa: S608 - names of ours
        f" UNION ALL SELECT DISTINCT {_YEAR} AS year FROM {name}) ORDER BY year"
    ).rows
    return [int(year) for (year,) in rows]


def _days(storage: ClickHouse, rows: str, digest: str) -> Mapping[int, tuple[int, int]]:
    sql = f"SELECT {DAY} AS day, count(), groupBitXor({digest}) FROM ({rows}) GROUP BY day {_ONCE}"  # noqa: S608 - names of ours
    return {int(day): (int(count), int(digest)) for day, count, digest in storage.query(sql).rows}


def _settled(
    storage: ClickHouse,
    table: DerivedTable,
    name: str,
    days: Mapping[int, int],
    digest: str,
    within: str,
) -> Iterator[Differing]:
    """Yield how *days*, each with the rows that it should have, differ; an insert under way is no difference."""
    left: Collection[int] = days.keys()
    found: dict[int, tuple[int, int, int]] = {}
    for look in range(LOOKS):
        if look and left:
            time.sleep(PAUSE_SECONDS)
        found = {
            day: _of_day(storage, table, name, _parts(day, days[day], within), digest)
            for day in left
        }
        left = [day for day, counts in found.items() if any(counts)]
    for day in left:
        missing, extra, altered = found[day]
        yield Differing(
            table=name,
            date=_EPOCH + dt.timedelta(days=day),
            rows=days[day],
            missing=missing,
            extra=extra,
            altered=altered,
        )


def _of_day(
    storage: ClickHouse, table: DerivedTable, name: str, parts: Iterable[str], digest: str
) -> tuple[int, int, int]:
    differing = [_difference(storage, table, name, part, digest) for part in parts]
    missing, extra, altered = (sum(counts) for counts in zip(*differing, strict=True))
    return missing, extra, altered


def _difference(
    storage: ClickHouse, table: DerivedTable, name: str, part: str, digest: str
) -> tuple[int, int, int]:
    row: tuple[Any, ...] = storage.query(
        f"""
        SELECT countIf(NOT is_held), countIf(NOT is_wanted), countIf(is_held AND is_wanted AND wanted != held)
        FROM (
            SELECT
                {table.key}, max(of_log) AS is_wanted, min(of_log) = 0 AS is_held,
                anyIf(digest, of_log) AS wanted, anyIf(digest, NOT of_log) AS held
            FROM (
                SELECT {table.key}, {digest} AS digest, true AS of_log FROM ({_wanted(table, part, final=True)})
                UNION ALL
                SELECT {table.key}, {digest} AS digest, false AS of_log FROM ({_held(table, name, part, final=True)})
            )
            GROUP BY {table.key}
        )
        {_ONCE}
        """  # noqa: S608 - names and numbers of ours
    ).rows[0]
    return int(row[0]), int(row[1]), int(row[2])


def _parts(day: int, rows: int, within: str = "true") -> Iterator[str]:
    """Yield conditions that hold the rows of a day between them, each no more than memory bears."""
    count = rows // ROWS_PER_STATEMENT + 1
    for number in range(count):
        part = f" AND cityHash64(record_key) % {count} = {number}" if count > 1 else ""
        yield f"{DAY} = {day}{part} AND ({within})"


def _wanted(table: DerivedTable, condition: str, *, final: bool = False) -> str:
    # With FINAL ClickHouse reads each record to tell its length, but for this name of the same number.
    values = ", ".join(table.values).replace("length(record)", "record.size")
    return (
        f"SELECT {values} FROM event_log {'FINAL' if final else ''}"  # noqa: S608 - names of ours
        f" WHERE ({table.condition}) AND {condition}"
    )


def _held(table: DerivedTable, name: str, condition: str, *, final: bool = False) -> str:
    return f"SELECT {', '.join(table.columns)} FROM {name} {'FINAL' if final else ''} WHERE {condition}"  # noqa: S608 - names of ours


def _digest(table: DerivedTable, secret: bytes = b"") -> str:
    if secret:
        # All values as one text, each with its length: the key is met before anything that somebody has chosen. In
        # bytes, for as text in decimals and with an argument a value it costs ClickHouse twice as much.
        types = {column.name: column.type for column in table.definition.columns}
        # Both sides as the table has them: `length` of the log is wider than the column that is made of it.
        values = ", ".join(
            name if "String" in types[name] else f"CAST({name}, '{types[name]}')"
            for name in table.columns
        )
        first, last = (int.from_bytes(part, "big") for part in (secret[:8], secret[8:16]))
        return f"sipHash64Keyed((toUInt64({first}), toUInt64({last})), formatRow('RowBinary', {values}))"
    # A NULL among the arguments would make the hash NULL, which no comparison sees; a tuple, or sipHash64, costs ten
    # times as much. It finds what went wrong, not what was fitted to it.
    unkeyed = (
        f"isNull({name}), ifNull({name}, 0)" if name in table.nullable else name
        for name in table.columns
    )
    return f"cityHash64({', '.join(unkeyed)})"
