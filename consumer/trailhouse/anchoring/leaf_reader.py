"""Reads leaves as they are stored, in the order of their offsets."""

from bisect import bisect_left
from typing import Any

from trailhouse.anchoring.log_growth import Leaves
from trailhouse.anchoring.stored_log import StoredLog
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.native_reader import read_blocks


def read_leaves(
    clickhouse: ClickHouse, log: StoredLog, *, first: int, end: int, limit: int
) -> tuple[Leaves, int]:
    """Return the leaves of *log* from offset *first* up to and without *end*, about *limit* at most, each row once.

    Returns:
        The leaves, and the offset up to which, and without it, these are all: *end*, or less where the limit cut.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    sql = (
        f"SELECT DISTINCT kafka_offset, kind, appended_ms, digest FROM log_leaves WHERE {log.condition}"  # noqa: S608 names of ours; every value is a number or bound
        " AND kafka_offset >= {first:UInt64} AND kafka_offset < {end:UInt64}"
        " ORDER BY kafka_offset LIMIT {limit:UInt32}"
    )
    leaves = Leaves([], [], [], [])
    columns: tuple[list[Any], ...] = leaves
    parameters = {**log.parameters, "first": first, "end": end, "limit": limit}
    for block in read_blocks(clickhouse, sql, parameters):
        for column, values in zip(columns, block, strict=True):
            column.extend(values)
    if len(leaves.offsets) < limit or leaves.offsets[0] == leaves.offsets[-1]:
        return leaves, end
    # More rows may claim the last offset than the limit left room for: it is the next one's.
    last = leaves.offsets[-1]
    count = bisect_left(leaves.offsets, last)
    for column in columns:
        del column[count:]
    return leaves, last
