"""With `--quick`, what `place_sums` compares: ClickHouse hashes records and leaves, and adds up a keyed hash of each.

What comes here is a sum a bucket. Which rows are wrong where one differs is read again, and hashed here.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from trailhouse.operate.verify.leaves.place_sums import PartitionKey, PlaceSums
from trailhouse.store.clickhouse import ClickHouse

MOST_TOLD = 10_000
HASHED_AT_ONCE = 1_000
_OF_TOPIC = (
    "kafka_cluster = {cluster:String} AND kafka_topic = {topic:String} AND kafka_topic_id = {topic_id:String}"
    " AND has({partitions:Array(UInt16)}, kafka_partition)"
)
_BELOW = -1
_ABOVE = -2
_PLACED = """
    WITH transform(kafka_partition, {partitions:Array(UInt16)}, {firsts:Array(UInt64)}, toUInt64(0)) AS first_offset,
        transform(kafka_partition, {partitions:Array(UInt16)}, {ends:Array(UInt64)}, toUInt64(0)) AS end_offset,
        transform(kafka_partition, {partitions:Array(UInt16)}, {shifts:Array(UInt8)}, toUInt8(0)) AS shift
"""
_BUCKET = f"""
    multiIf(kafka_offset < first_offset, toInt64({_BELOW}), kafka_offset >= end_offset, toInt64({_ABOVE}),
        toInt64(bitShiftRight(kafka_offset - first_offset, shift)))
"""
# One text of one length, so that nothing but an entry is hashed like it, and the key is met before all of it.
_HASH = """
    sipHash64Keyed(({key_0:UInt64}, {key_1:UInt64}), concat(reinterpretAsFixedString(kafka_offset),
        reinterpretAsFixedString(appended_ms), digest, reinterpretAsFixedString(kind)))
"""
_LEAVES = f"""
    {_PLACED}
    SELECT kafka_partition, {_BUCKET} AS bucket, sum({_HASH}), count(), toUInt64(0) FROM log_leaves
    WHERE {_OF_TOPIC} AND kafka_offset >= first_offset AND kafka_offset < end_offset
        AND appended_ms BETWEEN {{since_ms:UInt64}} AND {{until_ms:UInt64}}
    GROUP BY kafka_partition, bucket
"""  # noqa: S608 - names of ours; every value is a bound parameter
_HASHED = """
    SELECT kafka_partition, kafka_offset, record_key, toUInt64(toUnixTimestamp64Milli(appended_at)) AS appended_ms,
        toFixedString(SHA256(record), 32) AS digest, toUInt8(1) AS kind
    FROM event_log WHERE record != '' AND {}
"""
_ROWS = f"""
    {_PLACED}
    SELECT kafka_partition, {_BUCKET} AS bucket, sum({_HASH}), count(),
        countIf(record_key != toFixedString(substring(digest, 1, 16), 16))
    FROM ({_HASHED.format(_OF_TOPIC + " AND {}")}) GROUP BY kafka_partition, bucket
"""  # noqa: S608 - as above
_WRONG_KEYS = f"""
    SELECT kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset FROM event_log
    WHERE record != '' AND record_key != toFixedString(substring(SHA256(record), 1, 16), 16) AND {{}}
    ORDER BY kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset LIMIT {MOST_TOLD}
"""  # noqa: S608 - as above
_ENTRIES = f"""
    SELECT arrayMap((kafka_offset, appended_ms, hex_digest, kind) ->
        {_HASH.replace("digest", "toFixedString(unhex(hex_digest), 32)")},
        {{offsets:Array(UInt64)}}, {{times:Array(UInt64)}}, {{digests:Array(String)}}, {{kinds:Array(UInt8)}})
"""


class Condition(NamedTuple):
    """Which rows of `event_log`, as SQL over parameters."""

    sql: str
    parameters: Mapping[str, Any]


class QuickRows(NamedTuple):
    """What was seen of the rows that were taken away.

    Attributes:
        before: By partition, how many stand below its first leaf.
        wrong_keys: Partition and offset of those whose `record_key` is not that of their record; of so many the first.
    """

    before: dict[PartitionKey, int]
    wrong_keys: list[tuple[PartitionKey, int]]


class QuickSums:
    """Adds the leaves of all partitions to *sums*, and takes their rows away; *secret* is this run's."""

    def __init__(
        self, clickhouse: ClickHouse, sums: Mapping[PartitionKey, PlaceSums], secret: bytes
    ) -> None:
        self._clickhouse = clickhouse
        self._sums = sums
        self._keys = {
            "key_0": int.from_bytes(secret[:8], "big"),
            "key_1": int.from_bytes(secret[8:16], "big"),
        }

    def add_leaves(self, since_ms: int, until_ms: int) -> None:
        """Add the leaves of these broker's times, copies and all.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        times = {"since_ms": since_ms, "until_ms": until_ms}
        for topic in self._topics():
            for place, bucket, total, _, _ in self._buckets(_LEAVES, topic, times):
                self._sums[place].left[bucket] += total

    def take_rows(self, which: Condition) -> QuickRows:
        """Take away those of *which* that have a record.

        Raises:
            StorageError: As `add_leaves`.
        """
        before: dict[PartitionKey, int] = {}
        wrong = 0
        for topic in self._topics():
            sql = _ROWS.replace("{}", which.sql)
            for place, bucket, total, count, wrong_keys in self._buckets(
                sql, topic, which.parameters
            ):
                wrong += wrong_keys
                if bucket >= 0:
                    self._sums[place].left[bucket] -= total
                elif bucket == _BELOW:
                    before[place] = before.get(place, 0) + count
        return QuickRows(before, self._wrong_keys(which) if wrong else [])

    def hashes(
        self,
        offsets: Sequence[int],
        appended_ms: Sequence[int],
        digests: Sequence[bytes],
        kinds: Sequence[int],
    ) -> list[int]:
        """Return the keyed hash of each entry whose digest is known here alone.

        Raises:
            StorageError: As `add_leaves`.
        """
        found: list[int] = []
        for begin in range(0, len(offsets), HASHED_AT_ONCE):
            part = slice(begin, begin + HASHED_AT_ONCE)
            values = {
                **self._keys,
                "offsets": list(offsets[part]),
                "times": list(appended_ms[part]),
                "digests": [digest.hex() for digest in digests[part]],
                "kinds": list(kinds[part]),
            }
            found += map(int, self._clickhouse.query(_ENTRIES, values).rows[0][0])
        return found

    def _topics(self) -> Iterator[list[PartitionKey]]:
        for _, places in groupby(sorted(self._sums), key=lambda place: place[:3]):
            yield list(places)

    def _buckets(
        self, sql: str, places: Sequence[PartitionKey], more: Mapping[str, Any]
    ) -> Iterator[tuple[PartitionKey, int, int, int, int]]:
        cluster, topic, topic_id, _ = places[0]
        sums = [self._sums[place] for place in places]
        values = {
            **more,
            **self._keys,
            "cluster": cluster,
            "topic": topic,
            "topic_id": topic_id,
            "partitions": [place[3] for place in places],
            "firsts": [each.first for each in sums],
            "ends": [each.end for each in sums],
            "shifts": [each.shift for each in sums],
        }
        for partition, *numbers in self._clickhouse.query(sql, values).rows:
            bucket, total, count, wrong = map(int, numbers)
            yield (cluster, topic, topic_id, int(partition)), bucket, total, count, wrong

    def _wrong_keys(self, which: Condition) -> list[tuple[PartitionKey, int]]:
        rows = self._clickhouse.query(_WRONG_KEYS.format(which.sql), which.parameters).rows
        return [
            ((str(cluster), str(topic), str(topic_id), int(partition)), int(offset))
            for cluster, topic, topic_id, partition, offset in rows
        ]
