"""The leaves of one log as ClickHouse gives them: in order of offset, some thousands at a time."""

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trailhouse.operate.verify.logs import OF_GENERATION, LogId
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
_HASHED_SQL = f"""
    SELECT kafka_offset, toFixedString({HASH_OF_LEAF}, 32) AS hash FROM log_leaves
    WHERE {OF_GENERATION} AND kafka_offset >= {{first:UInt64}} AND kafka_offset < {{end:UInt64}}
    ORDER BY kafka_offset, digest, appended_ms, kind
"""  # noqa: S608 - as above
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
        first, count = self.offsets[0], len(self.offsets)
        if self.offsets[-1] - first + 1 != count:
            return False
        rising = array("Q", range(first, first + count))
        return (
            self.offsets == rising
            if isinstance(self.offsets, array)
            else [*self.offsets] == [*rising]
        )


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
        rows = header.row_count
        offsets = numbers(reader.column("kafka_offset", 8 * rows))
        kinds = bytes(reader.column("kind", rows))
        appended_ms = numbers(reader.column("appended_ms", 8 * rows))
        digests = [digest for (digest,) in _each_digest(reader.column("digest", 32 * rows))]
        if rows:
            yield Leaves(offsets, kinds, appended_ms, digests)


def hashed_leaves_of(clickhouse: ClickHouse, log: LogId, first: int, end: int) -> Iterator[Leaves]:
    """Yield what `leaves_of` does, with the hash of each leaf, made by ClickHouse, in the place of all that it says.

    Raises:
        StorageError: As `leaves_of`.
    """
    values = {**log.parameters, "first": first, "end": end}
    reader = NativeReader(
        clickhouse.stream(_HASHED_SQL, values, format="Native", settings=_SETTINGS)
    )
    while (header := reader.block()) is not None:
        if rows := header.row_count:
            offsets = numbers(reader.column("kafka_offset", 8 * rows))
            hashes = [each for (each,) in _each_digest(reader.column("hash", 32 * rows))]
            yield Leaves(offsets, bytes(rows), array("Q", bytes(8 * rows)), hashes)


def numbers(content: bytes | memoryview) -> "array[int]":
    """Return the unsigned 64-bit numbers that *content* holds."""
    found = array("Q", bytes(content))
    if sys.byteorder == "big":
        found.byteswap()
    return found
