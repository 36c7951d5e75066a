"""What is done while a run reads: a policy, an order of erasure, rows that are made blank, a rebuild, another leader.

Duties read at several moments. Who reads the orders first, and then a row that one of a moment later has made blank,
finds a row that nobody has ordered to be erased. Who reads which logs there are, and then a batch of a generation that
has just begun, holds it against the leaves of the one before. So what was found while something of this kind went on is
looked at once more, from the start; what is wrong is found then as well.
"""

import time
from typing import NamedTuple

from trailhouse.operate.verify.logs import LOG_COLUMNS
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store.clickhouse import ClickHouse

LOOKS = 3
"""So often at most: who would rather not be found could go on for ever."""
SETTLED_WITHIN_SECONDS = 60.0
PAUSE_SECONDS = 0.5
_TABLES = "SELECT name, toString(uuid) FROM system.tables WHERE database = {database:String} ORDER BY name"
_MUTATIONS = (
    "SELECT table, mutation_id, is_done FROM system.mutations WHERE database = {database:String}"
    " ORDER BY table, mutation_id"
)
_SAID = "SELECT 'policies', count() FROM log_policies UNION ALL SELECT 'orders', count() FROM log_erasures ORDER BY 1"
_LOGS = f"SELECT count() FROM (SELECT DISTINCT {LOG_COLUMNS} FROM log_checkpoints)"  # noqa: S608 - names of ours
"""A generation begins with its first checkpoint, before its first leaf."""

Rows = tuple[tuple[object, ...], ...]


class Doings(NamedTuple):
    """What has been done until now that duties may have read one half of."""

    tables: Rows
    mutations: Rows
    said: Rows
    logs: Rows

    @property
    def is_settled(self) -> bool:
        """Whether none of it is still going on."""
        return all(bool(is_done) for *_, is_done in self.mutations)


def doings(clickhouse: ClickHouse) -> Doings:
    """Return what has been done until now; nothing of what this user may not see.

    Raises:
        StorageUnavailableError: ClickHouse is away. Retriable.
    """
    return Doings(*(_rows(clickhouse, sql) for sql in (_TABLES, _MUTATIONS, _SAID, _LOGS)))


def settled_doings(clickhouse: ClickHouse) -> Doings:
    """Return the same once nothing of it is going on any more, or after a minute.

    Raises:
        StorageUnavailableError: As `doings`.
    """
    until = time.monotonic() + SETTLED_WITHIN_SECONDS
    while not (now := doings(clickhouse)).is_settled and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
    return now


def _rows(clickhouse: ClickHouse, sql: str) -> Rows:
    values = {"database": clickhouse.config.database}
    try:
        return tuple(tuple(row) for row in clickhouse.query(sql, values).rows)
    except StorageRejectedError:
        return ()
