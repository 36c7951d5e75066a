"""Leaves of many logs with `--quick`: ClickHouse hashes them, and the nodes over each 32 of which none is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from trailhouse.operate.verify.leaves.stream import HASH_OF_LEAF, hashes_in, numbers
from trailhouse.operate.verify.logs import LOGS_PER_STATEMENT, Bounds, LogId, in_groups
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.native_read import NativeReader

LEVEL = 5
BLOCK = 1 << LEVEL
"""Leaves under a root that ClickHouse makes; of more, checkpoints between them would leave few whole."""
LEAVES_AT_ONCE = 1 << 20
"""ClickHouse holds about 150 bytes of each."""
MOST_STATEMENTS = 1_000
"""Of a log whose offsets are further apart, as where 10^12 of them are holes, leaves come one by one."""


def _root(first: int, count: int) -> str:
    """Return the SQL of the root over *count* of `hashes`."""
    if count == 1:
        return f"hashes[{first}]"
    half = count // 2
    return f"SHA256(concat('\\x01', {_root(first, half)}, {_root(first + half, half)}))"


# Of a block that is not whole each leaf comes, in the order in which those come that are not hashed there.
_SQL = f"""
    SELECT kafka_partition, each.1 AS first_offset, if(is_whole, {BLOCK}, 1)::UInt8 AS leaves, each.5 AS hash
    FROM (
        SELECT kafka_partition,
            offsets = range(toUInt64(block * {BLOCK}), toUInt64((block + 1) * {BLOCK}))
                AND (kafka_partition, block) NOT IN (
                    SELECT kafka_partition, intDiv(size, {BLOCK}) FROM log_checkpoints
                    WHERE size % {BLOCK} != 0 AND {{signed}}
                ) AS is_whole,
            arrayJoin(if(is_whole,
                [(toUInt64(block * {BLOCK}), digests[1], times[1], kinds[1], {_root(1, BLOCK)})],
                arrayZip(offsets, digests, times, kinds, hashes))) AS each
        FROM (
            SELECT kafka_partition, intDiv(kafka_offset, {BLOCK}) AS block, groupArray(kafka_offset) AS offsets,
                groupArray(toFixedString({HASH_OF_LEAF}, 32)) AS hashes, groupArray(digest) AS digests,
                groupArray(appended_ms) AS times, groupArray(kind) AS kinds
            FROM (
                SELECT kafka_partition, kafka_offset, kind, appended_ms, digest FROM log_leaves WHERE {{stored}}
                ORDER BY kafka_partition, kafka_offset
            )
            GROUP BY kafka_partition, block
        )
    )
    ORDER BY kafka_partition, each
"""  # noqa: S608 - names of ours; every value is a bound parameter
_SETTINGS = {"max_block_size": "65536", "optimize_read_in_order": "1", "max_threads": "2"}


class Blocks(NamedTuple):
    """Hashes in the order of the offsets at which they begin: of one leaf each, or of `BLOCK` leaves each."""

    offsets: Sequence[int]
    hashes: Sequence[bytes]
    is_whole: bool


def blocks_of_logs(
    clickhouse: ClickHouse, bounds: Mapping[LogId, Bounds]
) -> Iterator[tuple[LogId, Blocks]]:
    """Yield what is stored of many logs, each log's in order; copies and contradictions are leaves by themselves.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    for some in windows(bounds):
        stored = in_groups(some)
        signed = in_groups(some, "size > {first} AND size < {end}")
        for group, checkpoints in zip(stored, signed, strict=True):
            sql = _SQL.format(stored=group.condition, signed=checkpoints.condition)
            pieces = clickhouse.stream(sql, group.parameters, format="Native", settings=_SETTINGS)
            for partition, blocks in _read(NativeReader(pieces)):
                yield group.by_partition[partition], blocks


def windows(bounds: Mapping[LogId, Bounds]) -> Iterator[dict[LogId, Bounds]]:
    """Yield *bounds* in parts that follow each other, each of a size that ClickHouse can hold. Pure."""
    starts = {log: first // BLOCK * BLOCK for log, (first, _) in bounds.items()}
    while starts:
        logs = min(len(starts), LOGS_PER_STATEMENT)
        width = LEAVES_AT_ONCE // logs // BLOCK * BLOCK
        yield {
            log: Bounds(max(bounds[log].first, at), min(bounds[log].end, at + width))
            for log, at in starts.items()
        }
        starts = {log: at + width for log, at in starts.items() if at + width < bounds[log].end}


def are_near(bounds: Bounds) -> bool:
    """Tell whether a log is read in few enough statements."""
    return bounds.end - bounds.first <= LEAVES_AT_ONCE * MOST_STATEMENTS


def _read(reader: NativeReader) -> Iterator[tuple[int, Blocks]]:
    while (header := reader.block()) is not None:
        rows = header.row_count
        partitions = reader.values("kafka_partition", rows)
        offsets = numbers(reader.column("first_offset", 8 * rows))
        leaves = bytes(reader.column("leaves", rows))
        hashes = hashes_in(reader.column("hash", 32 * rows))
        begin = 0
        for (partition, width), same in groupby(zip(partitions, leaves, strict=True)):
            end = begin + sum(1 for _ in same)
            yield partition, Blocks(offsets[begin:end], hashes[begin:end], width == BLOCK)
            begin = end
