"""Where workers saw partitions end: unsigned leaves above, and said to have been there long before, were added.

A worker that is killed leaves leaves that nobody has signed. The next one stores them again, and notes in
`partition_ends` where the partition ended when it asked Kafka. What stands at or above that end, and is said to have
been appended long before that question, is in no Kafka: no worker will ever come to it.
"""

from trailhouse.operate.verify.logs import OF_GENERATION, OF_LOG, LogId
from trailhouse.operate.verify.rows.rows_above import CLOCKS_DIFFER_MS
from trailhouse.store.clickhouse import ClickHouse

SHOWN = "a worker saw the partition end before them, long after they are said to have been appended"
_AHEAD_MINUTES = 15
"""A note of a later time is no worker's."""
_NEWEST = f"""
    SELECT argMax(end_offset, asked_at), toUnixTimestamp64Milli(max(asked_at)) FROM partition_ends
    WHERE {OF_LOG} AND asked_at <= now64(3) + INTERVAL {_AHEAD_MINUTES} MINUTE
    HAVING count() > 0
"""  # noqa: S608 - names and a number of ours; every value is a bound parameter
_OLDER = f"""
    SELECT count() FROM log_leaves
    WHERE {OF_GENERATION} AND kafka_offset >= {{first:UInt64}} AND kafka_offset < {{end:UInt64}}
        AND appended_ms + {CLOCKS_DIFFER_MS} < {{asked_ms:UInt64}}
"""  # noqa: S608 - as above


def ends_before_leaves(clickhouse: ClickHouse, log: LogId, first: int, end: int) -> bool:
    """Tell whether leaves of *log* from *first* up to and without *end* stand above where its partition ended.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    for end_offset, asked_ms in clickhouse.query(_NEWEST, log.parameters).rows:
        above = {"first": max(first, int(end_offset)), "end": end, "asked_ms": int(asked_ms)}
        [(count,)] = clickhouse.query(_OLDER, {**log.parameters, **above}).rows
        return int(count) > 0
    return False
