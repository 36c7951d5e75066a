"""Which sequence numbers of producers ClickHouse holds, and what stands beside them: it does the counting.

A producer numbers its events 0, 1, 2 … without a hole, so a number that nobody has seen below one
that somebody has is an event that is missing.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

from trailhouse.schemas.ranges import Range
from trailhouse.store.clickhouse import ClickHouse

PRODUCERS_PER_QUERY = 300

# Our encoder sorts keys, so that these two stand side by side; what is no JSON at all can show them.
SEQ_PATTERN = r'"producer_id":"([^"\\]{1,256})","seq":([0-9]{1,19})[,}]'
SESSION_PATTERN = r'"session_id":"([^"\\]{1,256})"'


def _sql(pattern: str) -> str:
    return pattern.replace("\\", "\\\\")


def sequenced(events: str, quarantine: str) -> str:
    """Return the SELECT of every number that is in these two, each a table of ours or a view of it."""
    return f"""
    SELECT producer_id, assumeNotNull(seq) AS number, appended_at, 0 AS is_bad, session_id
    FROM {events} WHERE producer_id != '' AND isNotNull(seq)
    UNION ALL
    SELECT found[1] AS producer_id, toUInt64OrZero(found[2]) AS number, appended_at, 1 AS is_bad, session_id
    FROM (
        SELECT extractGroups(ifNull(record, ''), '{_sql(SEQ_PATTERN)}') AS found, appended_at,
            extract(ifNull(record, ''), '{_sql(SESSION_PATTERN)}') AS session_id
        FROM {quarantine}
    )
    WHERE notEmpty(found)
    """  # noqa: S608 - no value in it


SEQUENCED = sequenced("event_log", "event_quarantine")
SEQUENCED_FOR_READERS = sequenced("events_as_stored", "quarantine")
"""The same from what a reader may see: copies are of the same number."""


class Held(NamedTuple):
    """What ClickHouse holds of one producer: its lowest and highest number, how many different ones."""

    producer_id: str
    first: int
    last: int
    seqs: int
    stored: int


class Neighbour(NamedTuple):
    """What an event beside a hole tells about it."""

    session_id: str
    service: str
    host: str
    appended_at: dt.datetime


def held_seqs(
    storage: ClickHouse, since: dt.datetime | None = None, session_id: str | None = None
) -> list[Held]:
    """Return what is stored or quarantined of each producer.

    Args:
        storage: Where to ask.
        since: Only what Kafka took then or later.
        session_id: Only events of this session.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    # So that there is always something after WHERE.
    conditions, values = ["true"], dict[str, Any]()
    if since is not None:
        conditions.append("appended_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')")
        values["since_ms"] = milliseconds(since)
    if session_id is not None:
        conditions.append("session_id = {session_id:String}")
        values["session_id"] = session_id
    rows = storage.query(
        f"""
        SELECT producer_id, min(number), max(number), groupBitmap(number), groupBitmapIf(number, NOT is_bad)
        FROM ({SEQUENCED}) WHERE {" AND ".join(conditions)} GROUP BY producer_id
        """,  # noqa: S608 - names of ours; every value is a bound parameter
        values,
    ).rows
    return [Held(*row) for row in rows]


def settled_ranges(
    storage: ClickHouse,
    *,
    since_seconds: float,
    settle_seconds: float,
    sequenced_sql: str = SEQUENCED,
) -> dict[str, Range]:
    """Return the numbers between which something is missing, of what Kafka took not long ago.

    From a producer's lowest number of the last `since_seconds` to its highest that is older than
    `settle_seconds`; those without a hole are left out.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = storage.query(
        f"""
        SELECT producer_id, min(number) AS first, maxIf(number, appended_at <= settled) AS last
        FROM (
            SELECT *, now64(3) - toIntervalMillisecond({{settle_ms:Int64}}) AS settled FROM ({sequenced_sql})
            WHERE appended_at >= now64(3) - toIntervalMillisecond({{since_ms:Int64}})
        )
        GROUP BY producer_id
        HAVING max(number) - min(number) != groupBitmap(number) - 1 AND last > first
        """,  # noqa: S608 - names of ours; every value is a bound parameter
        {"since_ms": round(since_seconds * 1_000), "settle_ms": round(settle_seconds * 1_000)},
    ).rows
    return {name: Range(first, last) for name, first, last in rows}


def neighbours(
    storage: ClickHouse, wanted: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], Neighbour]:
    """Return what is stored under these numbers.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: dict[tuple[str, int], Neighbour] = {}
    pairs = sorted(set(wanted))
    for begin in range(0, len(pairs), PRODUCERS_PER_QUERY):
        part = pairs[begin : begin + PRODUCERS_PER_QUERY]
        rows = storage.query(
            """
            SELECT producer_id, assumeNotNull(seq), any(session_id),
                any(JSONExtractString(record, 'source', 'service')),
                any(JSONExtractString(record, 'source', 'host')), min(appended_at)
            FROM event_log
            WHERE producer_id IN {ids:Array(String)} AND seq IN {numbers:Array(UInt64)}
            GROUP BY producer_id, seq
            """,
            {
                "ids": list({name for name, _ in part}),
                "numbers": list({number for _, number in part}),
            },
        ).rows
        found |= {(name, number): Neighbour(*rest) for name, number, *rest in rows}
    return found


def unnumbered(
    storage: ClickHouse, since: dt.datetime | None = None, session_id: str | None = None
) -> int:
    """Return how many stored events carry no number: nobody can say whether one is missing.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    conditions, values = ["(producer_id = '' OR isNull(seq))"], dict[str, Any]()
    if since is not None:
        conditions.append("appended_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')")
        values["since_ms"] = milliseconds(since)
    if session_id is not None:
        conditions.append("session_id = {session_id:String}")
        values["session_id"] = session_id
    sql = f"SELECT count() FROM events WHERE {' AND '.join(conditions)}"  # noqa: S608 - as above
    return int(storage.query(sql, values).rows[0][0])


def milliseconds(moment: dt.datetime) -> int:
    """Return *moment* as milliseconds since 1970 UTC."""
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
