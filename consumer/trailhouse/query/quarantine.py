"""The records that are not events: where they stood, why they were refused, what became of them."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from trailhouse.query.filtering.filters import microseconds
from trailhouse.schemas.codec import decode_envelope
from trailhouse.schemas.errors import InvalidEventError, QueryError
from trailhouse.schemas.record_hash import RECORD_KEY_BYTES
from trailhouse.store import ClickHouse

RECORDS_PER_QUERY = 50
"""A record may be of a megabyte: so many are in memory at a time."""

Headers = tuple[tuple[str, bytes | None], ...]
_IDENTITY = "kafka_cluster, kafka_topic_id, kafka_partition, kafka_offset"


class Coordinates(NamedTuple):
    """Where Kafka held a record of the topic."""

    cluster: str
    topic_id: str
    partition: int
    offset: int


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """One record in quarantine, byte for byte; or what is kept of one, or of a range that nobody can read.

    Attributes:
        at: Where it stood; the first of a range.
        last_offset: That of a range's last record; else the same offset.
        size_bytes: How large it was, whatever is kept of it.
        is_whole: Whether all of it is kept.
        appended_at: When Kafka took it.
        quarantined_at: When a worker set it aside.
        reason: Field and rule, never a value.
        key: Its Kafka key.
        record: Its bytes, or those kept: beginning and end of a large record, the beginning of a batch as it
            lies in Kafka's log. None for a Kafka record without a value.
        headers: Its Kafka headers, in order.
        worker_version: The version that refused it.
        refusal: Why this version refuses it too; None when it decodes today.
        is_stored: Whether the same bytes are stored as an event by now.
    """

    at: Coordinates
    last_offset: int
    size_bytes: int
    is_whole: bool
    appended_at: dt.datetime
    quarantined_at: dt.datetime
    reason: str
    key: bytes | None
    record: bytes | None
    headers: Headers
    worker_version: str
    refusal: str | None
    is_stored: bool


class _Raw(NamedTuple):
    """A row as it is selected, and what it holds."""

    row: tuple[Any, ...]
    session_id: str | None
    event_id: str | None
    refusal: str | None


class Quarantine:
    """The quarantine of one topic. Reads only; safe to share between threads."""

    def __init__(self, clickhouse: ClickHouse, topic: str) -> None:
        self._clickhouse = clickhouse
        self._topic = topic

    def find(
        self,
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        reason: str | None = None,
        limit: int | None = None,
        is_newest_first: bool = False,
    ) -> list[Coordinates]:
        """Return where the wanted records stood, in append order.

        Args:
            since: Taken by Kafka then or later.
            until: Taken by Kafka then or earlier.
            reason: A text that the reason holds, in any case.
            limit: At most so many.
            is_newest_first: Backwards, so that a limit keeps the last.

        Raises:
            QueryError: A time is naive. Permanent.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        conditions = ["kafka_topic = {topic:String}"]
        values: dict[str, Any] = {"topic": self._topic}
        for name, moment, sign in (("since", since, ">="), ("until", until, "<=")):
            if moment is not None:
                conditions.append(
                    f"toUnixTimestamp64Micro(toDateTime64(appended_at, 6, 'UTC')) {sign} {{{name}:Int64}}"
                )
                values[name] = microseconds(moment, name)
        if reason is not None:
            conditions.append("positionCaseInsensitiveUTF8(reason, {reason:String}) > 0")
            values["reason"] = reason
        order = "DESC" if is_newest_first else "ASC"
        sql = (
            f"SELECT {_IDENTITY} FROM quarantine WHERE {' AND '.join(conditions)}"  # noqa: S608 - names of ours
            f" ORDER BY appended_at {order}, kafka_cluster {order}, kafka_topic_id {order}, kafka_partition {order},"
            f" kafka_offset {order}"
        )
        if limit is not None:
            sql += " LIMIT {limit:UInt64}"
            values["limit"] = limit
        return [Coordinates(*row) for row in self._clickhouse.query(sql, values).rows]

    def locate(self, partition: int, offset: int, topic_id: str | None = None) -> Coordinates:
        """Return the full coordinates of one record.

        Raises:
            QueryError: There is none in quarantine, or several topics of this name had one there.
                Permanent.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        rows = self._clickhouse.query(
            f"SELECT {_IDENTITY} FROM quarantine WHERE kafka_topic = {{topic:String}}"  # noqa: S608 - names of ours
            " AND kafka_partition = {partition:UInt16} AND kafka_offset = {offset:UInt64}",
            {"topic": self._topic, "partition": partition, "offset": offset},
        ).rows
        found = [Coordinates(*row) for row in rows]
        chosen = [each for each in found if topic_id in {None, each.topic_id}]
        if not chosen:
            raise QueryError(
                f"topic {self._topic} has no record in quarantine from partition {partition}, offset {offset}"
                + (f", topic id {topic_id}" if topic_id else "")
            )
        if len(chosen) > 1:
            ids = ", ".join(each.topic_id for each in chosen)
            raise QueryError(
                f"{partition}:{offset} was in several topics of this name: choose one with --topic-id: {ids}"
            )
        return chosen[0]

    def fetch(self, places: Sequence[Coordinates]) -> Iterator[Quarantined]:
        """Yield the records at *places*, in that order, some in memory at a time.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        for begin in range(0, len(places), RECORDS_PER_QUERY):
            part = places[begin : begin + RECORDS_PER_QUERY]
            found = self._select(part)
            stored = self._stored([found[place] for place in part if place in found])
            for place in part:
                if place in found:
                    yield _quarantined(place, found[place], stored)

    def _select(self, places: Sequence[Coordinates]) -> dict[Coordinates, _Raw]:
        # Conditions on the key's columns, so that the records of no other rows are read.
        rows = self._clickhouse.query(
            f"""
            SELECT {_IDENTITY}, last_offset, size_bytes, record_hash, appended_at, quarantined_at, reason,
                key, record, worker_version,
                arrayMap(header -> (header.1, isNull(header.2), hex(ifNull(header.2, ''))), headers)
            FROM quarantine
            WHERE kafka_cluster IN {{clusters:Array(String)}} AND kafka_topic_id IN {{topic_ids:Array(String)}}
                AND kafka_topic = {{topic:String}} AND kafka_partition IN {{partitions:Array(UInt16)}}
                AND kafka_offset IN {{offsets:Array(UInt64)}}
            """,  # noqa: S608 - names of ours; every value is a bound parameter
            {
                "topic": self._topic,
                "clusters": list({place.cluster for place in places}),
                "topic_ids": list({place.topic_id for place in places}),
                "partitions": list({place.partition for place in places}),
                "offsets": list({place.offset for place in places}),
            },
            bytes_columns=("key", "record"),
        ).rows
        wanted = set(places)
        # The conditions are four lists, whose combinations are more than the places.
        return {place: _raw(row[4:]) for row in rows if (place := Coordinates(*row[:4])) in wanted}

    def _stored(self, found: Sequence[_Raw]) -> set[bytes]:
        known = [each for each in found if each.session_id is not None]
        if not known:
            return set()
        # Session and id lead the sorting key; a hash alone would read the whole table.
        rows = self._clickhouse.query(
            "SELECT DISTINCT record_key FROM events"
            " WHERE session_id IN {sessions:Array(String)} AND event_id IN {events:Array(UUID)}",
            {
                "sessions": list({each.session_id for each in known}),
                "events": list({each.event_id for each in known}),
            },
        ).rows
        return {digest for (digest,) in rows}


def _raw(row: tuple[Any, ...]) -> _Raw:
    record: bytes | None = row[7]
    if record is None:
        return _Raw(row, None, None, "record: is null")
    if not _is_whole(row):
        return _Raw(row, None, None, "record: only a part of it is kept")
    try:
        envelope = decode_envelope(record).envelope
    except InvalidEventError as error:
        return _Raw(row, None, None, str(error))
    except Exception as error:  # noqa: BLE001 - whatever bytes do to a decoder, it is an answer here
        return _Raw(row, None, None, f"record: cannot be decoded ({type(error).__name__})")
    return _Raw(row, envelope.session_id, envelope.event_id, None)


def _is_whole(row: tuple[Any, ...]) -> bool:
    # The size is that of the whole record, however much of it is kept.
    return len(row[7] or b"") == int(row[1])


def _quarantined(place: Coordinates, raw: _Raw, stored: set[bytes]) -> Quarantined:
    last_offset, size_bytes, digest, *rest = raw.row
    appended_at, quarantined_at, reason, key, record, worker_version, headers = rest
    return Quarantined(
        at=place,
        last_offset=last_offset,
        size_bytes=size_bytes,
        is_whole=_is_whole(raw.row),
        appended_at=appended_at,
        quarantined_at=quarantined_at,
        reason=reason,
        key=key,
        record=record,
        headers=tuple(
            (name, None if is_null else bytes.fromhex(value)) for name, is_null, value in headers
        ),
        worker_version=worker_version,
        refusal=raw.refusal,
        is_stored=raw.refusal is None and digest[:RECORD_KEY_BYTES] in stored,
    )
