"""What the ledger and the tables hold of a topic, as ranges of offsets; ClickHouse does the counting."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from trailhouse.broker.origin import Origin
from trailhouse.schemas.ranges import Range, Ranges
from trailhouse.store.clickhouse import ClickHouse

BUCKET_OFFSETS = 65_536
BUCKETS_PER_QUERY = 64
MAX_HOLES = 100_000
"""So many holes in one stretch are not told apart any more: the stretch is one."""

_OF_TOPIC = "kafka_cluster = {cluster:String} AND kafka_topic_id = {topic_id:String} AND kafka_topic = {topic:String}"
_OFFSETS = f"""
    SELECT kafka_partition, kafka_offset FROM event_log WHERE {_OF_TOPIC}
    UNION ALL SELECT kafka_partition, kafka_offset FROM event_quarantine WHERE {_OF_TOPIC}
"""  # noqa: S608 - names of ours; every value is a bound parameter


class OtherTopic(NamedTuple):
    """An earlier topic of the same name, as far as the ledger knows it."""

    topic_id: str
    batches: int
    last_written_at: dt.datetime


def held(storage: ClickHouse, origin: Origin, checked: Mapping[int, Range]) -> dict[int, Ranges]:
    """Return for each partition the offsets within *checked* whose records are in a table.

    Every offset counts that has a row, merged or not; one whose record stands at another offset
    too may have none.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    counts = _bucket_counts(storage, origin, checked)
    found: dict[int, Ranges] = {}
    for partition, within in checked.items():
        missing: list[Range] = []
        for stretch in _doubtful(partition, within, counts):
            missing += _holes(storage, origin, partition, stretch)
        found[partition] = Ranges([within]) - Ranges(missing)
        if missing:  # a row of quarantine may stand for many offsets
            wide = _wide(storage, origin, partition, within)
            found[partition] |= wide & Ranges([within])
    return found


def _wide(storage: ClickHouse, origin: Origin, partition: int, within: Range) -> Ranges:
    rows = storage.query(
        f"""
        SELECT kafka_offset, last_offset FROM event_quarantine
        WHERE {_OF_TOPIC} AND kafka_partition = {{partition:UInt16}} AND last_offset > kafka_offset
            AND kafka_offset <= {{last:UInt64}} AND last_offset >= {{first:UInt64}}
        """,  # noqa: S608 - as above
        origin._asdict() | {"partition": partition, "first": within.first, "last": within.last},
    ).rows
    return Ranges((first, last) for first, last in rows)


def expired(
    storage: ClickHouse, origin: Origin, since: dt.datetime | None
) -> dict[int, list[Range]]:
    """Return for each partition of this topic the offsets that a worker found gone, *since* then.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = storage.query(
        f"""
        SELECT kafka_partition, first_offset, last_offset, noticed_at FROM incidents
        WHERE {_OF_TOPIC} AND kind = 'expired' ORDER BY kafka_partition, first_offset
        """,  # noqa: S608 - as above
        origin._asdict(),
    ).rows
    found: dict[int, list[Range]] = {}
    for partition, first, last, noticed_at in rows:
        if since is None or noticed_at >= since:
            found.setdefault(partition, []).append(Range(first, last))
    return found


def other_topics(storage: ClickHouse, origin: Origin) -> list[OtherTopic]:
    """Return the earlier topics of this name in this cluster, the latest first.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found = storage.query(
        """
        SELECT kafka_topic_id, count(), max(written_at) AS at FROM batch_ledger
        WHERE kafka_cluster = {cluster:String} AND kafka_topic = {topic:String} AND kafka_topic_id != {topic_id:String}
        GROUP BY kafka_topic_id ORDER BY at DESC
        """,
        origin._asdict(),
    )
    return [OtherTopic(*row) for row in found.rows]


def _bucket_counts(
    storage: ClickHouse, origin: Origin, checked: Mapping[int, Range]
) -> dict[tuple[int, int], int]:
    """Count the different offsets in each bucket: one pass over the table, a bitmap a bucket."""
    width = max(checked, default=-1) + 1
    # An empty range for the partitions that are not checked.
    firsts = [checked[n].first if n in checked else 1 for n in range(width)]
    lasts = [checked[n].last if n in checked else 0 for n in range(width)]
    rows = storage.query(
        f"""
        SELECT kafka_partition, intDiv(kafka_offset, {BUCKET_OFFSETS}) AS bucket,
            groupBitmap(toUInt32(kafka_offset % {BUCKET_OFFSETS}))
        FROM ({_OFFSETS})
        WHERE kafka_offset >= {{firsts:Array(UInt64)}}[kafka_partition + 1]
            AND kafka_offset <= {{lasts:Array(UInt64)}}[kafka_partition + 1]
        GROUP BY kafka_partition, bucket
        """,  # noqa: S608 - as above
        origin._asdict() | {"firsts": firsts, "lasts": lasts},
    ).rows
    return {(partition, bucket): count for partition, bucket, count in rows}


def _doubtful(
    partition: int, within: Range, counts: Mapping[tuple[int, int], int]
) -> Iterator[Range]:
    """Yield the stretches in which some offset has no row, of a bounded length each."""
    stretch: Range | None = None
    for bucket in range(within.first // BUCKET_OFFSETS, within.last // BUCKET_OFFSETS + 1):
        part = Range(
            max(within.first, bucket * BUCKET_OFFSETS),
            min(within.last, (bucket + 1) * BUCKET_OFFSETS - 1),
        )
        # As many different offsets as fit into it: none is missing, and nothing of it need be fetched.
        is_whole = counts.get((partition, bucket), 0) == part.size
        is_long = stretch is not None and stretch.size >= BUCKETS_PER_QUERY * BUCKET_OFFSETS
        if stretch is not None and (is_whole or is_long):
            yield stretch
            stretch = None
        if not is_whole:
            stretch = Range(stretch.first if stretch else part.first, part.last)
    if stretch is not None:
        yield stretch


def _holes(storage: ClickHouse, origin: Origin, partition: int, within: Range) -> list[Range]:
    rows = storage.query(
        f"""
        SELECT before + 1, offset - 1
        FROM (
            SELECT offset, lagInFrame(offset, 1, toInt64({{first:Int64}} - 1)) OVER (
                ORDER BY offset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS before
            FROM (
                SELECT DISTINCT toInt64(kafka_offset) AS offset FROM ({_OFFSETS})
                WHERE kafka_partition = {{partition:UInt16}} AND offset BETWEEN {{first:Int64}} AND {{last:Int64}}
                UNION ALL SELECT toInt64({{last:Int64}} + 1)
            )
        )
        WHERE offset > before + 1
        ORDER BY offset LIMIT {MAX_HOLES + 1}
        """,  # noqa: S608 - as above
        origin._asdict() | {"partition": partition, "first": within.first, "last": within.last},
    ).rows
    # So many holes are told as one: whoever reads on finds out which of them have no row.
    if len(rows) > MAX_HOLES:
        return [Range(rows[0][0], within.last)]
    return [Range(first, last) for first, last in rows]
