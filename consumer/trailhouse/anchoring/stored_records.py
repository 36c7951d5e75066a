"""Hashes stored records again, byte for byte and in this process, and tells which leaves none of them bears out.

One flipped bit, signed and handed out, has ended a certificate transparency log: so nothing is anchored before this.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from hashlib import sha256
from typing import Any

from trailhouse.anchoring.log_growth import Growth
from trailhouse.anchoring.stored_log import StoredLog
from trailhouse.broker.placeholder import KEPT_HEAD_BYTES, KEPT_TAIL_BYTES
from trailhouse.proof.leaf import LeafKind
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.native_reader import read_blocks

KEY_BYTES = 16
KEPT_BYTES = KEPT_HEAD_BYTES + KEPT_TAIL_BYTES
"""Of a record that is too large to be kept whole: its hash is all that is left to compare."""
KEYS_AT_ONCE = 1_000
MOST_COPIES = 20_000
"""Leaves whose record is looked for under another offset, in one go; more of them are not anchored in this one."""
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
        missing = [dict(zip(g.leaves.offsets, _wanted(g), strict=True)) for g in growths]
        by_topic: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for place, growth in enumerate(growths):
            if growth.leaves.offsets:
                by_topic[growth.log[:3]].append(place)
        seen: set[bytes] = set()
        for places in by_topic.values():
            self._strike_out(
                [growths[place] for place in places], [missing[place] for place in places], seen
            )
        for each in missing:
            _strike_out_seen(each, seen)
        if any(missing):
            erased = self._erased()
            for each in missing:
                _strike_out_seen(each, erased)
        copies = {
            wanted[1]
            for each in missing
            for wanted in each.values()
            if wanted[0] == LeafKind.RECORD
        }
        seen = self._found_by_key(sorted(copies)[:MOST_COPIES])
        for each in missing:
            _strike_out_seen(each, seen)
        return [set(each) for each in missing]

    def _strike_out(
        self,
        growths: Sequence[Growth],
        missing: Sequence[dict[int, tuple[int, bytes]]],
        seen: set[bytes],
    ) -> None:
        """Take out of *missing* what a row at the leaf's own offset bears out; other rows' hashes go into *seen*."""
        by_partition: dict[int, list[dict[int, tuple[int, bytes]]]] = defaultdict(list)
        for growth, each in zip(growths, missing, strict=True):
            by_partition[growth.log.kafka_partition].append(each)
        for partition, offset, kind, digest in self._rows(growths):
            for each in by_partition[partition]:
                if each.get(offset) == (kind, digest):
                    del each[offset]
            seen.add(digest)

    def _rows(self, growths: Sequence[Growth]) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield partition, offset, kind and hash of the stored records within the offsets of *growths*."""
        ranges = " OR ".join(
            f"(kafka_partition = {int(each.log.kafka_partition)} AND kafka_offset"
            f" BETWEEN {each.leaves.offsets[0]} AND {each.leaves.offsets[-1]})"
            for each in growths
        )
        parameters: dict[str, Any] = _topic(growths[0].log) | {
            "first_ms": min(min(each.leaves.appended_ms) for each in growths),
            "last_ms": max(max(each.leaves.appended_ms) for each in growths),
        }
        hashed = sha256
        for partition, offset, record in self._read(_EVENTS + f"({ranges})", parameters):
            yield partition, offset, LeafKind.RECORD, hashed(record).digest()
        for row in self._read(_QUARANTINED + f"({ranges})", parameters):
            partition, offset, record, is_null, size_bytes, record_hash = row
            if is_null:
                yield partition, offset, LeafKind.NULL, _NOTHING
            elif len(record) == KEPT_BYTES < size_bytes:
                yield partition, offset, LeafKind.RECORD, record_hash
            else:
                yield partition, offset, LeafKind.RECORD, hashed(record).digest()

    def _found_by_key(self, digests: Sequence[bytes]) -> set[bytes]:
        """Return those of *digests* that a record has, wherever it is stored."""
        found: set[bytes] = set()
        for start in range(0, len(digests), KEYS_AT_ONCE):
            keys = ", ".join(
                f"unhex('{digest[:KEY_BYTES].hex()}')"
                for digest in digests[start : start + KEYS_AT_ONCE]
            )
            rows = self._read(_BY_KEY.replace("{keys}", keys), {})
            found.update(sha256(record).digest() for (record,) in rows)
        return found

    def _read(self, sql: str, parameters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        for columns in read_blocks(self._clickhouse, sql, parameters):
            yield from zip(*columns, strict=True)


def _wanted(growth: Growth) -> Iterator[tuple[int, bytes]]:
    return zip(growth.leaves.kinds, growth.leaves.digests, strict=True)


def _strike_out_seen(missing: dict[int, tuple[int, bytes]], seen: Container[bytes]) -> None:
    for offset, (kind, digest) in list(missing.items()):
        if kind == LeafKind.RECORD and digest in seen:
            del missing[offset]


def _topic(log: StoredLog) -> dict[str, str]:
    return {
        "kafka_cluster": log.kafka_cluster,
        "kafka_topic": log.kafka_topic,
        "kafka_topic_id": log.kafka_topic_id,
    }
