"""Hashes stored records again, byte for byte and in this process, and tells which leaves none of them bears out.

One flipped bit, signed and handed out, has ended a certificate transparency log: so nothing is anchored before this.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import repeat
from typing import Any

from trailhouse.anchoring.log_growth import Growth
from trailhouse.anchoring.stored_log import StoredLog
from trailhouse.broker.placeholder import KEPT_HEAD_BYTES, KEPT_TAIL_BYTES
from trailhouse.proof.leaf import LeafKind
from trailhouse.schemas.record_hash import record_hashes
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.native_reader import Columns, read_blocks

KEY_BYTES = 16
KEPT_BYTES = KEPT_HEAD_BYTES + KEPT_TAIL_BYTES
"""Of a record that is too large to be kept whole: its hash is all that is left to compare."""
KEYS_AT_ONCE = 1_000
MOST_COPIES = 20_000
"""Leaves whose record is looked for under another offset, in one go; more of them are not anchored in this one."""
LeafValues = tuple[int, int, int, bytes]
"""Partition, offset, kind and hash of a leaf of one topic."""
_NOTHING = sha256(b"").digest()
_PLACE = (
    "kafka_cluster = {kafka_cluster:String} AND kafka_topic_id = {kafka_topic_id:String}"
    " AND kafka_topic = {kafka_topic:String}"
)
_EVENTS = (
    "SELECT kafka_partition, kafka_offset, record FROM event_log"  # noqa: S608 names of ours; every value is a number or bound
    f" WHERE {_PLACE} AND appended_at BETWEEN fromUnixTimestamp64Milli({{first_ms:Int64}}, 'UTC')"
    " AND fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC') AND "
)
_QUARANTINED = (
    "SELECT kafka_partition, kafka_offset, ifNull(record, ''), record IS NULL, size_bytes, record_hash"  # noqa: S608 names of ours; every value is a number or bound
    f" FROM event_quarantine WHERE {_PLACE} AND "
)
_BY_KEY = "SELECT record FROM event_log WHERE record_key IN ({keys})"


class StoredRecords:
    """Reads what is stored of one topic, and says which leaves it bears out; see `unbacked`."""

    def __init__(
        self, clickhouse: ClickHouse, erased: Callable[[], Container[bytes]] = frozenset
    ) -> None:
        """Read from *clickhouse*; *erased* returns the hashes of records that an operator's order has had erased."""
        self._clickhouse = clickhouse
        self._erased = erased

    def unbacked(self, growths: Sequence[Growth]) -> list[set[int]]:
        """Return of each of *growths* the offsets whose leaf no stored record has the hash of.

        A record that was sent twice has two leaves and may be one row, with the offset of the first: so a leaf is
        borne out by any row of its bytes.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        by_topic: dict[tuple[str, str, str], list[Growth]] = defaultdict(list)
        for growth in growths:
            if growth.leaves.offsets:
                by_topic[growth.log[:3]].append(growth)
        seen: set[bytes] = set()
        left = {topic: self._left_of(some, seen) for topic, some in by_topic.items()}
        _strike_out(left.values(), seen)
        if any(left.values()):
            _strike_out(left.values(), self._erased())
        copies = {
            digest
            for each in left.values()
            for _, _, kind, digest in each
            if kind == LeafKind.RECORD
        }
        _strike_out(left.values(), self._found_by_key(sorted(copies)[:MOST_COPIES]))
        return [_offsets_in(left.get(growth.log[:3]), growth) for growth in growths]

    def _left_of(self, growths: Sequence[Growth], seen: set[bytes]) -> set[LeafValues]:
        """Return the leaves of *growths*, of one topic, that no row at their own offset bears out.

        The hashes of all rows there go into *seen*.
        """
        left: set[LeafValues] = set().union(*map(_leaves_of, growths))
        ranges = " OR ".join(
            f"(kafka_partition = {int(each.log.kafka_partition)} AND kafka_offset"
            f" BETWEEN {each.leaves.offsets[0]} AND {each.leaves.offsets[-1]})"
            for each in growths
        )
        parameters: dict[str, Any] = _topic(growths[0].log) | {
            "first_ms": min(min(each.leaves.appended_ms) for each in growths),
            "last_ms": max(max(each.leaves.appended_ms) for each in growths),
        }
        # Whole columns at once: row by row, all of this takes a quarter longer.
        for partitions, offsets, records in self._blocks(_EVENTS + f"({ranges})", parameters):
            digests = record_hashes(records)
            kinds = repeat(LeafKind.RECORD, len(digests))
            left.difference_update(zip(partitions, offsets, kinds, digests, strict=True))
            seen.update(digests)
        for columns in self._blocks(_QUARANTINED + f"({ranges})", parameters):
            for partition, offset, *stored in zip(*columns, strict=True):
                kind, digest = _quarantined(*stored)
                left.discard((partition, offset, kind, digest))
                seen.add(digest)
        return left

    def _found_by_key(self, digests: Sequence[bytes]) -> set[bytes]:
        """Return those of *digests* that a record has, wherever it is stored."""
        found: set[bytes] = set()
        for start in range(0, len(digests), KEYS_AT_ONCE):
            keys = ", ".join(
                f"unhex('{digest[:KEY_BYTES].hex()}')"
                for digest in digests[start : start + KEYS_AT_ONCE]
            )
            for (records,) in self._blocks(_BY_KEY.replace("{keys}", keys), {}):
                found.update(record_hashes(records))
        return found

    def _blocks(self, sql: str, parameters: dict[str, Any]) -> Iterator[Columns]:
        return read_blocks(self._clickhouse, sql, parameters)


def _leaves_of(growth: Growth) -> Iterator[LeafValues]:
    leaves = growth.leaves
    partition = repeat(growth.log.kafka_partition, len(leaves.offsets))
    return zip(partition, leaves.offsets, leaves.kinds, leaves.digests, strict=True)


def _quarantined(
    record: bytes, is_null: int, size_bytes: int, record_hash: bytes
) -> tuple[int, bytes]:
    """Return kind and hash of a bad record."""
    if is_null:
        return LeafKind.NULL, _NOTHING
    if len(record) == KEPT_BYTES < size_bytes:
        return LeafKind.RECORD, record_hash
    return LeafKind.RECORD, sha256(record).digest()


def _strike_out(left: Iterable[set[LeafValues]], digests: Container[bytes]) -> None:
    """Take out of each of *left* the leaves of records whose hash is among *digests*."""
    for each in left:
        each.difference_update(
            [leaf for leaf in each if leaf[2] == LeafKind.RECORD and leaf[3] in digests]
        )


def _offsets_in(left: set[LeafValues] | None, growth: Growth) -> set[int]:
    """Return at which offsets *growth* has a leaf that is *left*."""
    return {leaf[1] for leaf in left.intersection(_leaves_of(growth))} if left else set()


def _topic(log: StoredLog) -> dict[str, str]:
    return {
        "kafka_cluster": log.kafka_cluster,
        "kafka_topic": log.kafka_topic,
        "kafka_topic_id": log.kafka_topic_id,
    }
