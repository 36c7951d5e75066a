"""The index on the text of `data`, for those who pay for it: its name, its definition, and whether a database has it.

No migration makes it: `trailhouse init --text-index` does. It stands on the very expression by which readers look for
words, so that ClickHouse uses it wherever it is there, and no reader need know.
"""

from typing import NamedTuple

from trailhouse.store.clickhouse import ClickHouse

DATA = "JSONExtractRaw(record, 'data')"
"""ClickHouse writes `data` anew: one spelling, whatever the record's was."""
TABLE, NAME = "event_log", "by_text"
TYPE = "text(tokenizer = splitByNonAlpha)"
"""Of its words, in a quarter of the space of every three signs in a row; for a part of one all are gone through."""
ADD = (
    f"ALTER TABLE {TABLE} ADD INDEX IF NOT EXISTS {NAME} {DATA} TYPE {TYPE},"
    f" MATERIALIZE INDEX {NAME} SETTINGS alter_sync = 0, mutations_sync = 0"
)
"""Makes it and begins to fill it, which goes on in the server whatever becomes of the caller."""
REMOVE = f"ALTER TABLE {TABLE} DROP INDEX {NAME}"


class TextIndex(NamedTuple):
    """The index of that name as a database has it."""

    is_ours: bool
    """Whether it is on what readers ask for, and of the kind that `ADD` makes."""
    size_bytes: int
    """On disk, of the rows that it was filled with."""


class Filling(NamedTuple):
    """How far ClickHouse is with the rows that were there before the index."""

    parts_left: int
    failure: str
    """Why it could not be filled when it was last tried; "" where nothing was in its way."""


def text_index(clickhouse: ClickHouse) -> TextIndex | None:
    """Return the index as the database has it; None where it has none.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(
        "SELECT expr, type_full, data_compressed_bytes FROM system.data_skipping_indices"
        " WHERE database = {database:String} AND table = {table:String} AND name = {name:String}",
        {"database": clickhouse.config.database, "table": TABLE, "name": NAME},
        in_database=False,
    ).rows
    if not rows:
        return None
    expression, kind, size_bytes = rows[0]
    return TextIndex((expression, kind) == (DATA, TYPE), int(size_bytes))


def filling(clickhouse: ClickHouse) -> Filling | None:
    """Return how far it is filled with the rows that were there before; None where it has all of them.

    Raises:
        StorageError: As for `text_index`.
    """
    [(left, parts, failure)] = clickhouse.query(
        "SELECT count(), sum(parts_to_do), max(latest_fail_reason) FROM system.mutations"
        " WHERE database = {database:String} AND table = {table:String} AND NOT is_done"
        " AND command LIKE {command:String}",
        {
            "database": clickhouse.config.database,
            "table": TABLE,
            "command": f"%MATERIALIZE INDEX {NAME}%",
        },
        in_database=False,
    ).rows
    return Filling(int(parts), str(failure)) if left else None
