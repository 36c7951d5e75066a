"""The stored events that are to be proven, and where in which log the leaf of each is."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from trailhouse.anchoring.stored_log import StoredLog
from trailhouse.proof.leaf import leaf_bytes
from trailhouse.proof.origin import generation_number
from trailhouse.proof.policy import BEFORE_PROOF
from trailhouse.store.clickhouse import ClickHouse

OFFSETS_AT_ONCE = 5_000
KEY_BYTES = 16
"""What `record_key` has of a record's SHA-256."""
AROUND_US = 2_000_000
"""How far an event may lie from the time in its id, to be found quickly."""
_PLACE = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition"
_OF_PLACE = (
    "kafka_cluster = {cluster:String} AND kafka_topic_id = {topic_id:String}"
    " AND kafka_topic = {topic:String} AND kafka_partition = {partition:UInt16}"
)


class PartitionId(NamedTuple):
    """A partition, whose logs are its generations."""

    cluster: str
    topic: str
    topic_id: str
    partition: int


class StoredEvent(NamedTuple):
    """One record as a row of `event_log` has it; copies of one record stand at other offsets.

    Attributes:
        record: None where it was erased: of its hash the row keeps the first half.
        key: The first 16 bytes of the record's SHA-256.
    """

    event_id: str
    tenant_id: str
    session_id: str
    record: bytes | None
    key: bytes
    place: PartitionId
    offset: int

    def is_of(self, digest: bytes) -> bool:
        """Return whether a leaf of *digest* is that of this record."""
        if self.record is None:
            return digest[:KEY_BYTES] == self.key
        return digest == sha256(self.record).digest()


class LoggedEvent(NamedTuple):
    """A record and its leaf in one log."""

    event: StoredEvent
    log: StoredLog
    offset: int
    leaf: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the record, as the leaf has it."""
        return self.leaf[-32:]


def events_of_session(
    clickhouse: ClickHouse,
    session_id: str,
    *,
    tenant_id: str | None = None,
    event_id: str | None = None,
) -> list[StoredEvent]:
    """Return the rows of a session, of all tenants or one, of all events or one; in the order of their places.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    wanted = {"session": session_id, "tenant": tenant_id or "", "event": event_id or ""}
    conditions = ["session_id = {session:String}"]
    if tenant_id is not None:
        conditions.append("tenant_id = {tenant:String}")
    if event_id is not None:
        conditions.append("event_id = {event:UUID}")
    else:
        wanted.pop("event")
    return _stored(clickhouse, " AND ".join(conditions), wanted)


def event_by_its_time(
    clickhouse: ClickHouse, event_id: str, tenant_id: str | None = None
) -> list[StoredEvent]:
    """Return the rows of an event that happened when its id was drawn, by one quick statement; none for another.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    try:
        wanted = uuid.UUID(event_id)
    except ValueError:
        return []
    if wanted.version != 7:
        return []
    drawn_us = (wanted.int >> 80) * 1_000
    between = "occurred_us BETWEEN {first_us:Int64} AND {last_us:Int64}"
    condition = (
        f"session_id IN (SELECT session_id FROM event_index WHERE {between})"  # noqa: S608 - names of ours
        f" AND {between} AND event_id = {{event:UUID}}"
    )
    parameters: dict[str, str | int] = {
        "event": str(wanted),
        "first_us": drawn_us - AROUND_US,
        "last_us": drawn_us + AROUND_US,
        "tenant": tenant_id or "",
    }
    if tenant_id is not None:
        condition += " AND tenant_id = {tenant:String}"
    return _stored(clickhouse, condition, parameters)


def _stored(
    clickhouse: ClickHouse, condition: str, parameters: Mapping[str, str | int]
) -> list[StoredEvent]:
    found = clickhouse.query(
        f"SELECT DISTINCT event_id, tenant_id, session_id, record, record_key, {_PLACE}, kafka_offset"  # noqa: S608 - names of ours
        f" FROM event_log WHERE {condition} ORDER BY {_PLACE}, kafka_offset",
        parameters,
        bytes_columns=("record", "record_key"),
    )
    return [
        StoredEvent(
            str(event),
            str(tenant),
            str(session),
            record or None,
            sha256(record).digest()[:KEY_BYTES] if record else key,
            PartitionId(*place),
            offset,
        )
        for event, tenant, session, record, key, *place, offset in found.rows
    ]


def logged(
    clickhouse: ClickHouse, events: Sequence[StoredEvent]
) -> tuple[list[LoggedEvent], list[StoredEvent]]:
    """Return *events* with the leaf of each, in the newest generation that has it; and those that have none.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: list[LoggedEvent] = []
    missing: list[StoredEvent] = []
    for place in dict.fromkeys(each.place for each in events):
        mine = [each for each in events if each.place == place]
        for part in _parts(mine):
            leaves = _leaves(clickhouse, place, [each.offset for each in part])
            for event in part:
                matching = leaves.get((event.offset, event.key))
                if matching is None or not event.is_of(matching[1][-32:]):
                    missing.append(event)
                else:
                    log, leaf = matching
                    found.append(LoggedEvent(event, log, event.offset, leaf))
    return found, missing


def copies_of(
    clickhouse: ClickHouse,
    log: StoredLog,
    by_digest: Mapping[bytes, StoredEvent],
    first: int,
    end: int,
) -> list[LoggedEvent]:
    """Return each leaf from *first* to without *end* that is of one of these: copies whose row was merged, too.

    It reads the digests of all those leaves.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: list[LoggedEvent] = []
    digests = list(by_digest)
    for start in range(0, len(digests), OFFSETS_AT_ONCE // 10):
        part = digests[start : start + OFFSETS_AT_ONCE // 10]
        rows = clickhouse.query(
            f"SELECT DISTINCT kafka_offset, kind, appended_ms, digest FROM log_leaves WHERE {log.condition}"  # noqa: S608 - names of ours
            " AND kafka_offset >= {first:UInt64} AND kafka_offset < {end:UInt64}"
            " AND digest IN (SELECT toFixedString(unhex(arrayJoin({digests:Array(String)})), 32))",
            {
                **log.parameters,
                "first": first,
                "end": end,
                "digests": [each.hex() for each in part],
            },
        ).rows
        found += [
            LoggedEvent(by_digest[digest], log, offset, leaf_bytes(kind, at_ms, digest))
            for offset, kind, at_ms, digest in rows
        ]
    return sorted(found, key=lambda each: each.offset)


def _leaves(
    clickhouse: ClickHouse, place: PartitionId, offsets: Sequence[int]
) -> dict[tuple[int, bytes], tuple[StoredLog, bytes]]:
    rows = clickhouse.query(
        f"SELECT DISTINCT generation, kafka_offset, kind, appended_ms, digest FROM log_leaves WHERE {_OF_PLACE}"  # noqa: S608 - names of ours
        " AND generation != {before:String} AND kafka_offset IN {offsets:Array(UInt64)}",
        {**place._asdict(), "before": BEFORE_PROOF, "offsets": list(offsets)},
    ).rows
    found: dict[tuple[int, bytes], tuple[StoredLog, bytes]] = {}
    for generation, offset, kind, at_ms, digest in sorted(
        rows, key=lambda row: generation_number(row[0])
    ):
        log = StoredLog(*place, generation)
        found[offset, digest[:KEY_BYTES]] = (
            log,
            leaf_bytes(kind, at_ms, digest),
        )  # the newest is the last
    return found


def _parts(events: Sequence[StoredEvent]) -> Iterator[Sequence[StoredEvent]]:
    for start in range(0, len(events), OFFSETS_AT_ONCE):
        yield events[start : start + OFFSETS_AT_ONCE]
