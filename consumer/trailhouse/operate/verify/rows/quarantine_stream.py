"""The rows of `event_quarantine` as they are stored, each with the hash of its record."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from trailhouse.broker.placeholder import KEPT_HEAD_BYTES, KEPT_TAIL_BYTES
from trailhouse.consumer.batch.rows import envelope_of
from trailhouse.operate.verify.leaves.place_sums import PartitionKey
from trailhouse.proof.leaf import LeafKind
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.native_read import NativeReader

_COLUMNS = (
    "kafka_cluster",
    "kafka_topic",
    "kafka_topic_id",
    "kafka_partition",
    "kafka_offset",
    "appended_ms",
    "last_offset",
    "size_bytes",
    "record_hash",
    "record",
    "is_batch",
)
_SETTINGS = {"max_block_size": "256", "preferred_block_size_bytes": "4194304", "max_threads": "1"}


class Quarantined(NamedTuple):
    """One row of quarantine: a record, or a part of a large one, or a range that nobody can read.

    `digest` is worked out from the record where all of it is kept, and else what the row says.
    """

    place: PartitionKey
    offset: int
    last_offset: int
    appended_ms: int
    digest: bytes
    kind: LeafKind
    is_whole: bool
    has_true_hash: bool
    is_event: bool
    is_batch: bool
    part_sha256: str = ""
    """Of what is kept, where that is a part alone; in hex."""

    @property
    def is_range(self) -> bool:
        """Whether it stands for offsets that nobody can read: none of them has a leaf."""
        return self.is_batch or self.last_offset > self.offset


def quarantined_rows(
    clickhouse: ClickHouse, condition: str, parameters: Mapping[str, Any]
) -> Iterator[Quarantined]:
    """Yield the rows that meet *condition*, copies and all, in no order.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    names = ", ".join(_COLUMNS).replace(
        "appended_ms", "toUInt64(toUnixTimestamp64Milli(appended_at)) AS appended_ms"
    )
    names = names.replace("is_batch", "startsWith(reason, 'batch: ') AS is_batch")
    sql = f"SELECT {names} FROM event_quarantine WHERE {condition}"  # noqa: S608 - names of ours
    reader = NativeReader(
        clickhouse.stream(sql, dict(parameters), format="Native", settings=_SETTINGS)
    )
    while (header := reader.block()) is not None:
        columns = [reader.values(name, header.row_count) for name in _COLUMNS]
        for row in zip(*columns, strict=True):
            yield _quarantined(row)


def _quarantined(row: tuple[Any, ...]) -> Quarantined:
    *texts, partition, offset, appended_ms, last, size_bytes, said, record, is_batch = row
    cluster, topic, topic_id = (text.decode(errors="replace") for text in texts)
    place = (cluster, topic, topic_id, partition)
    # Nothing is cut off a record that is not long: whoever shortened it hopes to pass for the worker.
    kept_bytes = KEPT_HEAD_BYTES + KEPT_TAIL_BYTES
    may_be_cut = bool(is_batch) or size_bytes > kept_bytes == len(record or b"")
    is_whole = len(record or b"") == size_bytes
    digest = record_hash(record or b"") if is_whole else said
    return Quarantined(
        place=place,
        offset=offset,
        last_offset=last,
        appended_ms=appended_ms,
        digest=digest,
        kind=LeafKind.NULL if record is None else LeafKind.RECORD,
        is_whole=is_whole,
        has_true_hash=digest == said and (is_whole or may_be_cut),
        is_event=is_whole and record is not None and _is_event(record),
        is_batch=bool(is_batch),
        part_sha256="" if is_whole or not record else record_hash(record).hex(),
    )


def _is_event(record: bytes) -> bool:
    try:
        envelope_of(record)
    except InvalidEventError:
        return False
    return True
