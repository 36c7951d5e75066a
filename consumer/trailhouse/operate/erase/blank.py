"""Rows made blank by mutation, in the log, in the tables that follow from it, and in quarantine; waited for."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from trailhouse.consumer.batch.blank_rows import BLANKS
from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.derived_tables import derived_tables

KEYS_PER_STATEMENT = 1_000
"""A mutation's text is kept by ClickHouse, and may be of 256 KiB."""
Report = Callable[[str], None]


class Blanked(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were made blank, by table."""

    rows: Mapping[str, int]

    @property
    def total(self) -> int:
        """In all tables."""
        return sum(self.rows.values())


def blank(
    storage: ClickHouse, digests: Sequence[bytes], report: Report = lambda step: None
) -> Blanked:
    """Make every row blank that holds a record of *digests*, by SHA-256; on return none is left that is not.

    Safe to repeat. *storage* should be made with `derived_rows.patient` settings.

    Raises:
        StorageUnavailableError: ClickHouse is away, or a row came back meanwhile: repeat it. Retriable.
        StorageRejectedError: It refuses. Permanent.
    """
    rows: dict[str, int] = {}
    for number, chunk in enumerate(_chunks(digests)):
        report(f"blanking records {number * KEYS_PER_STATEMENT + 1} and following")
        for table, assignments, condition in _tables(chunk):
            rows[table] = rows.get(table, 0) + _mutate(storage, table, assignments, condition)
    left = sum(
        _count(storage, table, condition)
        for chunk in _chunks(digests)
        for table, _, condition in _tables(chunk)
    )
    if left:
        raise StorageUnavailableError(
            f"{left} rows that are ordered to be erased were stored again meanwhile: repeat it"
        )
    return Blanked(rows=rows)


def _tables(digests: Sequence[bytes]) -> Iterator[tuple[str, str, str]]:
    """Yield each table, what is set in it (nothing: the row goes), and which rows are not blank yet."""
    keys = "record_key IN (" + ", ".join(f"unhex('{each[:16].hex()}')" for each in digests) + ")"
    hashes = "record_hash IN (" + ", ".join(f"unhex('{each.hex()}')" for each in digests) + ")"
    yield "event_log", _assignments(list(BLANKS)), f"{keys} AND record != ''"
    yield (
        "event_quarantine",
        "record = '', key = NULL, headers = []",
        f"{hashes} AND (record != '' OR isNotNull(key) OR notEmpty(headers))",
    )
    for table in derived_tables():
        own = [name for name in table.columns if name in BLANKS]
        assignments, is_left = _assignments(own), _not_blank(own)
        if "record_bytes" in table.columns:
            # Of an event that has none of these columns it is all that is left.
            assignments, is_left = (
                f"{assignments}, record_bytes = 0",
                f"{is_left} OR record_bytes != 0",
            )
        if table.condition != "true":
            # A blank row of the log has no numbers: what is there by them alone goes.
            yield table.name, "", f"{keys} AND NOT ({_by_type(table.condition)})"
        yield table.name, assignments, f"{keys} AND ({is_left})"


def _by_type(condition: str) -> str:
    """Return the part of a derived table's condition that a blank row still fulfils."""
    return condition.partition(" OR ")[0].strip()


def _assignments(names: Sequence[str]) -> str:
    return ", ".join(f"{name} = {_literal(name)}" for name in names)


def _literal(name: str) -> str:
    return "NULL" if BLANKS[name] is None else "''"


def _not_blank(names: Sequence[str]) -> str:
    return " OR ".join(
        f"isNotNull({name})" if BLANKS[name] is None else f"{name} != ''" for name in names
    )


def _mutate(storage: ClickHouse, table: str, assignments: str, condition: str) -> int:
    count = _count(storage, table, condition)
    if count:
        what = f"UPDATE {assignments}" if assignments else "DELETE"
        storage.command(f"ALTER TABLE {table} {what} WHERE {condition} SETTINGS mutations_sync = 2")
    return count


def _count(storage: ClickHouse, table: str, condition: str) -> int:
    sql = f"SELECT count() FROM {table} WHERE {condition}"  # noqa: S608 - names and hashes alone
    return int(storage.query(sql).rows[0][0])


def _chunks(digests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for begin in range(0, len(digests), KEYS_PER_STATEMENT):
        yield digests[begin : begin + KEYS_PER_STATEMENT]
