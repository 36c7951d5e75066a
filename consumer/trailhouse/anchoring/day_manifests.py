"""Manifests of finished days: made from leaves and rows, stored, and given to anchors.

A day of a log is finished when the log has, below its last checkpoint, a record of a later one. What is made is a
function of leaves and rows: whoever makes it again, from the same, makes the same.
"""

import datetime as dt
import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice
from typing import Any, NamedTuple

from trailhouse.anchoring.stored_log import StoredLog, stored_logs
from trailhouse.proof.anchor import Anchor, ManifestRoot
from trailhouse.proof.leaf import hashes_of_leaves
from trailhouse.proof.manifest import (
    DAY_MS,
    Entry,
    Header,
    Manifest,
    SessionLeaves,
    day_of,
    first_ms,
    next_listed,
    session_key,
)
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.native_reader import read_blocks
from trailhouse.store.tables import LATEST_MS, SESSION_MANIFEST_ENTRIES, SESSION_MANIFESTS

ENTRIES_AT_ONCE = 100_000
COPIES_AT_ONCE = 5_000
LEAVES_AT_ONCE = 4_096
_SPILLING = {
    "join_algorithm": "full_sorting_merge",
    "join_use_nulls": "0",
    "max_bytes_before_external_sort": "268435456",
}
"""A day of any size is joined and sorted in bounded memory."""
_RANGE = " AND kafka_offset >= {first:UInt64} AND kafka_offset < {end:UInt64}"
_OF_PLACE = (
    "kafka_cluster = {kafka_cluster:String} AND kafka_topic_id = {kafka_topic_id:String}"
    " AND kafka_topic = {kafka_topic:String} AND kafka_partition = {kafka_partition:UInt16}"
)


class StoredDay(NamedTuple):
    """A row of `session_manifests`."""

    day: str
    first_offset: int
    end_offset: int
    sessions: int
    root: bytes
    written_ms: int

    def header(self, origin: str) -> Header:
        """Return it as the header of a manifest of *origin*."""
        return Header(origin, self.day, self.first_offset, self.end_offset, self.sessions)


def make_finished_days(
    clickhouse: ClickHouse, log_name: str, now: Callable[[], dt.datetime]
) -> list[ManifestRoot]:
    """Make and store the manifest of each day of each log that is finished and has none; return them.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    made: list[ManifestRoot] = []
    today = now().date().isoformat()
    for log in stored_logs(clickhouse):
        stored = stored_days(clickhouse, log)
        after = stored[-1] if stored else None
        for day, first, end in finished_days(clickhouse, log, today, after):
            manifest = made_manifest(clickhouse, log, str(log.origin(log_name)), day, first, end)
            _store(clickhouse, log, manifest, now())
            made.append(manifest.as_anchored)
    return made


def finished_days(
    clickhouse: ClickHouse, log: StoredLog, today: str, after: StoredDay | None = None
) -> Iterator[tuple[str, int, int]]:
    """Yield each day of *log* that is finished and before *today*, with its first offset and the one after its last.

    Args:
        clickhouse: Where the log is.
        log: Which.
        today: In UTC.
        after: The day before the first that is wanted; all days of the log without.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    size = _size(clickhouse, log)
    first = 0
    day = _first_day(clickhouse, log, size)
    if after is not None:
        first, day = after.end_offset, _following(clickhouse, log, after.day, after.end_offset)
    while day is not None and day < today:
        end = _first_of_day(clickhouse, log, first, size, _after(day))
        if end is None:
            return
        yield day, first, end
        first, day = end, _following(clickhouse, log, day, end)


def _following(clickhouse: ClickHouse, log: StoredLog, day: str, end: int) -> str:
    """Return the day whose manifest follows that of *day*, after which the record at offset *end* comes."""
    found = clickhouse.query(
        f"SELECT max(appended_ms) FROM log_leaves WHERE {log.condition} AND kafka_offset = {{end:UInt64}}",  # noqa: S608 - names of ours
        {**log.parameters, "end": end},
    ).rows
    return next_listed(day, day_of(min(int(found[0][0]), LATEST_MS)))


def made_manifest(
    clickhouse: ClickHouse, log: StoredLog, origin: str, day: str, first: int, end: int
) -> Manifest:
    """Return the manifest of *day*, the offsets from *first* to without *end*, as leaves and rows have it now.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    bounds = {**log.parameters, "first": first, "end": end}
    rows = _by_session(clickhouse, log, bounds)
    entries: list[Entry] = []
    for (tenant, session), leaves in groupby(rows, key=lambda row: row[:2]):
        entries.append(_entry(session_key(origin, day, tenant, session), leaves))
    return Manifest(Header(origin, day, first, end, len(entries)), entries)


def stored_days(clickhouse: ClickHouse, log: StoredLog) -> list[StoredDay]:
    """Return the manifests of *log* that are stored, by day.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found = clickhouse.query(
        "SELECT day, first_offset, end_offset, sessions, root, toInt64(min(toUnixTimestamp64Milli(written_at)))"  # noqa: S608 - names of ours
        f" FROM session_manifests WHERE {log.condition}"
        " GROUP BY day, first_offset, end_offset, sessions, root ORDER BY day, first_offset, end_offset, root",
        log.parameters,
    )
    return [StoredDay(*row) for row in found.rows]


def stored_manifest(
    clickhouse: ClickHouse, log: StoredLog, origin: str, day: StoredDay
) -> Manifest:
    """Return the manifest of *day* from its stored entries.

    Raises:
        ProofError: They are not those of its header. Permanent: `trailhouse verify`.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found = clickhouse.query(
        f"SELECT DISTINCT session_key, leaves, root FROM session_manifest_entries WHERE {log.condition}"  # noqa: S608 - names of ours
        " AND day = {day:String} ORDER BY session_key",
        {**log.parameters, "day": day.day},
    )
    return Manifest(day.header(origin), [Entry(*row) for row in found.rows])


def not_anchored_yet(
    clickhouse: ClickHouse, log_name: str
) -> Callable[[Anchor | None], list[ManifestRoot]]:
    """Return what tells, of the anchor before, the manifests that the next one names.

    Of each log those of the newest day that the one before has, and of all days since: so none is left out, and an
    anchor by itself tells up to which day a log's sessions are listed.
    """

    def manifests(before: Anchor | None) -> list[ManifestRoot]:
        newest = {each.origin: each.day for each in sorted(before.manifests if before else ())}
        found: list[ManifestRoot] = []
        for log in stored_logs(clickhouse):
            origin = str(log.origin(log_name))
            found += [
                ManifestRoot(each.day, origin, each.sessions, each.root)
                for each in stored_days(clickhouse, log)
                if each.day >= newest.get(origin, "")
            ]
        return found

    return manifests


def due_manifests(
    clickhouse: ClickHouse, log_name: str
) -> Callable[[Anchor | None], list[ManifestRoot]]:
    """As `not_anchored_yet`, and what is told makes first those of the days that have finished since."""
    due = not_anchored_yet(clickhouse, log_name)

    def manifests(before: Anchor | None) -> list[ManifestRoot]:
        make_finished_days(clickhouse, log_name, lambda: dt.datetime.now(dt.UTC))
        return due(before)

    return manifests


Row = tuple[bytes, bytes, int, int, int, bytes]
"""Tenant, session, offset, and what the leaf is made of."""


def _by_session(clickhouse: ClickHouse, log: StoredLog, bounds: Mapping[str, Any]) -> Iterator[Row]:
    """Return the leaves of events, sorted by tenant, session and offset.

    A leaf without a row at its offset comes first: it is no event's, or a copy's whose row was merged into an earlier
    one. All come of one statement, so that a merge that happens meanwhile takes none away.
    """
    blocks = read_blocks(clickhouse, _with_rows(log), bounds, settings=_SPILLING)
    unmatched: list[Row] = []
    matched: Iterable[Row] = ()
    for is_there, *columns in blocks:
        first = bisect_left(is_there, 1)
        unmatched += zip(*(column[:first] for column in columns), strict=True)
        if first < len(is_there):
            matched = zip(*(column[first:] for column in columns), strict=True)
            break
    rest = chain.from_iterable(zip(*columns, strict=True) for _, *columns in blocks)
    copies = sorted(_of_copies(clickhouse, unmatched))
    leaves = chain(matched, rest)
    return heapq.merge(leaves, copies) if copies else leaves


def _with_rows(log: StoredLog) -> str:
    return (
        "SELECT r.is_there, r.tenant, r.session, l.kafka_offset, l.kind, l.appended_ms, l.digest FROM"  # noqa: S608 - names of ours
        " (SELECT DISTINCT kafka_offset, kind, appended_ms, digest,"
        " toFixedString(substring(digest, 1, 16), 16) AS record_key FROM log_leaves"
        f" WHERE {log.condition}{_RANGE}) AS l LEFT JOIN"
        " (SELECT DISTINCT toUInt8(1) AS is_there, CAST(tenant_id, 'String') AS tenant, session_id AS session,"
        f" kafka_offset, record_key FROM event_log WHERE {_OF_PLACE}{_RANGE}) AS r"
        " ON l.kafka_offset = r.kafka_offset AND l.record_key = r.record_key"
        " ORDER BY r.is_there, r.tenant, r.session, l.kafka_offset"
    )


def _of_copies(clickhouse: ClickHouse, leaves: Sequence[Row]) -> Iterator[Row]:
    """Yield those of *leaves* whose record is an event's that stands at another offset, with its session."""
    for start in range(0, len(leaves), COPIES_AT_ONCE):
        part = leaves[start : start + COPIES_AT_ONCE]
        # IN (SELECT …) makes of a FixedString a String without the zero bytes at its end: both sides must be one type
        known = clickhouse.query(
            "SELECT DISTINCT record_key, CAST(tenant_id, 'String') AS tenant, session_id FROM event_log"
            " WHERE record_key IN (SELECT toFixedString(unhex(arrayJoin({keys:Array(String)})), 16))",
            {"keys": [digest[:16].hex() for *_, digest in part]},
            bytes_columns=("tenant", "session_id"),
        ).rows
        sessions = {key: (tenant, session) for key, tenant, session in known}
        for _, _, offset, kind, at_ms, digest in part:
            if (named := sessions.get(digest[:16])) is not None:
                yield (*named, offset, kind, at_ms, digest)


def _entry(key: bytes, rows: Iterable[Row]) -> Entry:
    session = SessionLeaves()
    each = iter(rows)
    while part := list(islice(each, LEAVES_AT_ONCE)):
        _, _, _, kinds, times, digests = zip(*part, strict=True)
        session.extend(hashes_of_leaves(kinds, times, digests))
    return session.entry(key)


def _size(clickhouse: ClickHouse, log: StoredLog) -> int:
    found = clickhouse.query(
        f"SELECT max(size) FROM log_checkpoints WHERE {log.condition}",  # noqa: S608 - names of ours
        log.parameters,
    )
    return int(found.rows[0][0])


def _first_day(clickhouse: ClickHouse, log: StoredLog, size: int) -> str | None:
    found = clickhouse.query(
        f"SELECT appended_ms FROM log_leaves WHERE {log.condition}"  # noqa: S608 - names of ours
        " AND kafka_offset < {size:UInt64} AND appended_ms < {latest:UInt64} ORDER BY kafka_offset LIMIT 1",
        {**log.parameters, "size": size, "latest": LATEST_MS},
    )
    return day_of(found.rows[0][0]) if found.rows else None


def _first_of_day(
    clickhouse: ClickHouse, log: StoredLog, first: int, size: int, day: str
) -> int | None:
    """Return the first offset, from *first*, whose record is of *day* or later; None where there is none yet."""
    found = clickhouse.query(
        f"SELECT kafka_offset FROM log_leaves WHERE {log.condition}"  # noqa: S608 - names of ours
        " AND kafka_offset >= {first:UInt64} AND kafka_offset < {size:UInt64}"
        " AND appended_ms >= {at:UInt64} AND appended_ms < {latest:UInt64} ORDER BY kafka_offset LIMIT 1",
        {
            **log.parameters,
            "first": first,
            "size": size,
            "at": first_ms(day),
            "latest": LATEST_MS,
        },
    )
    return int(found.rows[0][0]) if found.rows else None


def _after(day: str) -> str:
    return day_of(first_ms(day) + DAY_MS)


def _store(clickhouse: ClickHouse, log: StoredLog, manifest: Manifest, now: dt.datetime) -> None:
    """Store *manifest*: its entries first, so that who finds the day finds all of them."""
    header = manifest.header
    for start in range(0, len(manifest.entries), ENTRIES_AT_ONCE):
        part = manifest.entries[start : start + ENTRIES_AT_ONCE]
        columns = {name: [value] * len(part) for name, value in log.parameters.items()}
        columns |= {
            "day": [header.day] * len(part),
            "session_key": [each.key for each in part],
            "leaves": [each.leaves for each in part],
            "root": [each.root for each in part],
        }
        clickhouse.insert(SESSION_MANIFEST_ENTRIES.block(columns))
    row = {
        **log.parameters,
        "day": header.day,
        "first_offset": header.first_offset,
        "end_offset": header.end_offset,
        "sessions": header.sessions,
        "root": manifest.root,
        "written_at": round(now.timestamp() * 1000),
    }
    clickhouse.insert(SESSION_MANIFESTS.block({name: [value] for name, value in row.items()}))
