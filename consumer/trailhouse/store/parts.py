"""How near the parts of our tables are to the number at which ClickHouse slows inserts down, and then refuses them."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from trailhouse.store.clickhouse import ClickHouse

SLOWED_AT, REFUSED_AT = "parts_to_delay_insert", "parts_to_throw_insert"
REFUSED_IN_ALL_AT = "max_parts_in_total"
LARGE_PARTS = "max_avg_part_size_for_too_many_parts"
"""Where parts are larger than this on average, ClickHouse counts them not; 0: it always does."""
_LIMITS = (SLOWED_AT, REFUSED_AT, REFUSED_IN_ALL_AT, LARGE_PARTS)

# Every table of the database that we may see counts: what a materialized view writes into refuses our inserts too.
_QUESTION = f"""
    WITH (
        SELECT mapFromArrays(groupArray(name), groupArray(toUInt64OrZero(value)))
        FROM system.merge_tree_settings WHERE name IN {_LIMITS}
    ) AS server
    SELECT
        table, max(parts), sum(parts), argMax(bytes / parts, parts),
        any(engine_full), server, getSetting('{SLOWED_AT}'), getSetting('{REFUSED_AT}')
    FROM (
        SELECT table, partition_id, count() AS parts, sum(bytes_on_disk) AS bytes
        FROM system.parts WHERE database = currentDatabase() AND active
        GROUP BY table, partition_id
    ) AS counted
    INNER JOIN (
        SELECT name AS table, engine_full FROM system.tables WHERE database = currentDatabase()
    ) AS made USING (table)
    GROUP BY table
"""  # noqa: S608 - no value in it


class FullestTable(NamedTuple):
    """The table that is nearest to its limit: how many active parts it has where they count, and the limit."""

    table: str
    parts: int
    limit: int
    """At so many parts ClickHouse begins to slow inserts down, or refuses them."""

    @property
    def share(self) -> float:
        """How near it is: 1 at the limit, and more beyond."""
        return self.parts / self.limit


NO_PARTS = FullestTable("", 0, 1)


class TableParts(NamedTuple):
    """What system.parts says of one table: its fullest partition, and all of it."""

    table: str
    in_fullest_partition: int
    in_all: int
    average_bytes: float
    """Of a part of the fullest partition."""


def fullest_table(storage: ClickHouse) -> FullestTable:
    """Return which of our tables is nearest to the number of parts at which its inserts suffer.

    Raises:
        StorageUnavailableError: Retriable.
        StorageRejectedError: Permanent; the grant ``SELECT ON system.parts`` may be missing.
    """
    found = [NO_PARTS]
    for *counted, engine, server, slowed_at, refused_at in storage.query(_QUESTION).rows:
        limits = limits_of(engine, server)
        # A profile's own limits go before a table's.
        limits |= {
            name: value
            for name, value in ((SLOWED_AT, slowed_at), (REFUSED_AT, refused_at))
            if value
        }
        found.append(nearest_limit(TableParts(*counted), limits))
    return max(found, key=lambda table: table.share)


def limits_of(engine: str, server: Mapping[str, int]) -> dict[str, int]:
    """Return the limits of a table with this *engine* clause, on a server with these limits."""
    own = (re.search(rf"\b{name} = '?(\d+)", engine) for name in _LIMITS)
    return {
        name: int(found[1]) if found else server.get(name, 0)
        for name, found in zip(_LIMITS, own, strict=True)
    }


def nearest_limit(parts: TableParts, limits: Mapping[str, int]) -> FullestTable:
    """Return how near a table is to the limit that is nearest; 0 stands for no limit."""
    found = [NO_PARTS._replace(table=parts.table)]
    if not 0 < limits[LARGE_PARTS] < parts.average_bytes:
        found += [
            FullestTable(parts.table, parts.in_fullest_partition, limits[name])
            for name in (SLOWED_AT, REFUSED_AT)
            if limits[name]
        ]
    if limits[REFUSED_IN_ALL_AT]:
        found.append(FullestTable(parts.table, parts.in_all, limits[REFUSED_IN_ALL_AT]))
    return max(found, key=lambda table: table.share)
