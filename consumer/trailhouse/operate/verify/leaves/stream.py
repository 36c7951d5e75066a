"""The leaves of one log as ClickHouse gives them: in order of offset, some thousands at a time."""

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from trailhouse.operate.verify.leaves.gapless import are_gapless
from trailhouse.operate.verify.logs import OF_GENERATION, Bounds, LogId, in_groups
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.native_read import NativeReader

HASH_OF_LEAF = (
    "SHA256(concat('\\0', reinterpretAsFixedString(kind),"
    " reinterpretAsFixedString(byteSwap(appended_ms)), digest))"
)
"""What `hash_of_leaf` makes of a row, made by ClickHouse."""
_SQL = f"""
    SELECT kafka_offset, kind, appended_ms, digest FROM log_leaves
    WHERE {OF_GENERATION} AND kafka_offset >= {{first:UInt64}} AND kafka_offset < {{end:UInt64}}
    ORDER BY kafka_offset, digest, appended_ms, kind
"""  # noqa: S608 - names of ours; every value is a bound parameter
_DIGESTS_SQL = _SQL.replace("kind, appended_ms, digest FROM", "digest FROM")
_IN_ORDER = "ORDER BY kafka_partition, kafka_offset, digest, appended_ms, kind"
_SQL_OF_LOGS = f"""
    SELECT kafka_partition, kafka_offset, kind, appended_ms, digest FROM log_leaves WHERE {{}} {_IN_ORDER}
"""  # noqa: S608 - as above
_HASHED_SQL = f"""
    SELECT kafka_partition, kafka_offset, toFixedString({HASH_OF_LEAF}, 32) AS hash FROM log_leaves
    WHERE {{}} {_IN_ORDER}
"""  # noqa: S608 - as above
MAX_JUMP = 2**62
"""No offset of Kafka's is beyond it, and sums of such sizes still are sizes."""
_SETTINGS = {"max_block_size": "65536", "optimize_read_in_order": "1", "max_threads": "2"}
_each_digest = struct.Struct("32s").iter_unpack


class Leaves(NamedTuple):
    """Leaves in order; a value a leaf in each."""

    offsets: Sequence[int]
    kinds: bytes
    appended_ms: Sequence[int]
    digests: Sequence[bytes]

    def part(self, begin: int, end: int) -> "Leaves":
        """Return those from place *begin* up to and without *end*."""
        offsets, kinds, appended_ms, digests = self
        return Leaves(
            offsets[begin:end], kinds[begin:end], appended_ms[begin:end], digests[begin:end]
        )

    def only(self, places: Sequence[int]) -> "Leaves":
        """Return those at *places*."""
        return Leaves(
            [self.offsets[place] for place in places],
            bytes(self.kinds[place] for place in places),
            [self.appended_ms[place] for place in places],
            [self.digests[place] for place in places],
        )

    @property
    def is_gapless(self) -> bool:
        """Whether each has the offset after that of the one before."""
        return are_gapless(self.offsets)


def leaves_of(clickhouse: ClickHouse, log: LogId, first: int, end: int) -> Iterator[Leaves]:
    """Yield the stored leaves of *log* from offset *first* up to and without *end*, copies and contradictions included.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    pieces = clickhouse.stream(
        _SQL,
        {**log.parameters, "first": first, "end": end},
        format="Native",
        settings=_SETTINGS,
    )
    reader = NativeReader(pieces)
    while (header := reader.block()) is not None:
        if header.row_count:
            yield _block(reader, header.row_count)


def digests_of(
    clickhouse: ClickHouse, log: LogId, first: int, end: int
) -> Iterator[tuple["array[int]", bytes]]:
    """Yield offsets and digests of what `leaves_of` does: 32 bytes of each, one behind the other.

    Raises:
        StorageError: As `leaves_of`.
    """
    values = {**log.parameters, "first": first, "end": end}
    reader = NativeReader(
        clickhouse.stream(_DIGESTS_SQL, values, format="Native", settings=_SETTINGS)
    )
    while (header := reader.block()) is not None:
        if rows := header.row_count:
            offsets = numbers(reader.column("kafka_offset", 8 * rows))
            yield offsets, bytes(reader.column("digest", 32 * rows))


def leaves_of_logs(
    clickhouse: ClickHouse, bounds: Mapping[LogId, Bounds], *, is_hashed: bool = False
) -> Iterator[tuple[LogId, Leaves]]:
    """Yield what `leaves_of` does of many logs, one after the other, each with its log: a statement for many.

    Where *is_hashed*, with the hash of each leaf, made by ClickHouse, in the place of all that it says.

    Raises:
        StorageError: As `leaves_of`.
    """
    sql, take = (_HASHED_SQL, _hashed_block) if is_hashed else (_SQL_OF_LOGS, _block)
    for group in in_groups(bounds):
        reader = NativeReader(
            clickhouse.stream(
                sql.format(group.condition), group.parameters, format="Native", settings=_SETTINGS
            )
        )
        while (header := reader.block()) is not None:
            rows = header.row_count
            partitions = reader.values("kafka_partition", rows)
            leaves = take(reader, rows)
            begin = 0
            while begin < rows:
                end = bisect_right(partitions, partitions[begin], begin)
                is_all = end - begin == rows
                yield (
                    group.by_partition[partitions[begin]],
                    leaves if is_all else leaves.part(begin, end),
                )
                begin = end


def _block(reader: NativeReader, rows: int) -> Leaves:
    offsets = numbers(reader.column("kafka_offset", 8 * rows))
    kinds = bytes(reader.column("kind", rows))
    appended_ms = numbers(reader.column("appended_ms", 8 * rows))
    digests = [digest for (digest,) in _each_digest(reader.column("digest", 32 * rows))]
    return Leaves(offsets, kinds, appended_ms, digests)


def _hashed_block(reader: NativeReader, rows: int) -> Leaves:
    offsets = numbers(reader.column("kafka_offset", 8 * rows))
    return hashed_leaves(offsets, hashes_in(reader.column("hash", 32 * rows)))


def hashes_in(content: memoryview) -> list[bytes]:
    """Return the hashes that *content* holds, one behind the other."""
    return [each for (each,) in _each_digest(content)]


def hashed_leaves(offsets: Sequence[int], hashes: Sequence[bytes]) -> Leaves:
    """Return leaves of which nothing is known but where they are, and their hashes: in the place of digests."""
    return Leaves(offsets, bytes(len(offsets)), array("Q", bytes(8 * len(offsets))), hashes)


def stored_bounds(clickhouse: ClickHouse, firsts: Mapping[LogId, int]) -> dict[LogId, Bounds]:
    """Return the first offset, from *firsts* on, and the one after the last of each log that has such leaves.

    Raises:
        StorageError: As `leaves_of`.
    """
    found: dict[LogId, Bounds] = {}
    bounds = {log: Bounds(first, 0) for log, first in firsts.items()}
    for group in in_groups(bounds, "kafka_offset >= {first}"):
        rows = clickhouse.query(
            "SELECT kafka_partition, min(kafka_offset), max(kafka_offset) FROM log_leaves"  # noqa: S608 - names of ours
            f" WHERE {group.condition} GROUP BY kafka_partition",
            group.parameters,
        ).rows
        for partition, lowest, highest in rows:
            end = min(int(highest), MAX_JUMP) + 1
            found[group.by_partition[int(partition)]] = Bounds(int(lowest), end)
    return found


def numbers(content: bytes | memoryview) -> "array[int]":
    """Return the unsigned 64-bit numbers that *content* holds."""
    found = array("Q", bytes(content))
    if sys.byteorder == "big":
        found.byteswap()
    return found
