"""Manifests of finished days: made from leaves and rows, stored, and given to anchors.

A day of a log is finished when the log has, below its last checkpoint, a record of a later one. What is made is a
function of leaves and rows: whoever makes it again, from the same, makes the same.
"""

import datetime as dt
import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice
from typing import Any, NamedTuple

from trailhouse.anchoring.listed_days import FirstRecord, ListedDay, listed_days
from trailhouse.anchoring.stored_log import StoredLog, stored_logs
from trailhouse.proof.anchor import Anchor, ManifestRoot
from trailhouse.proof.leaf import hashes_of_leaves
from trailhouse.proof.manifest import (
    DAY_MS,
    Entry,
    Header,
    Manifest,
    SessionLeaves,
    session_key,
)
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.native_reader import read_blocks
from trailhouse.store.tables import LATEST_MS, SESSION_MANIFEST_ENTRIES, SESSION_MANIFESTS

ENTRIES_AT_ONCE = 100_000
COPIES_AT_ONCE = 5_000
OFFSETS_TOGETHER = 250_000
"""Days are read together that have so few: 72 bytes a session are held, and what is sorted is little."""
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

    @property
    def listed(self) -> ListedDay:
        """Which day it is of, and which offsets."""
        return ListedDay(self.day, self.first_offset, self.end_offset)

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
        after = stored[-1].listed if stored else None
        for days in together(finished_days(clickhouse, log, today, after)):
            for manifest in made_manifests(clickhouse, log, str(log.origin(log_name)), days):
                _store(clickhouse, log, manifest)
                made.append(manifest.as_anchored)
    return made


def finished_days(
    clickhouse: ClickHouse, log: StoredLog, today: str, after: ListedDay | None = None
) -> Iterator[ListedDay]:
    """Yield each day of *log* that is finished and before *today*; one statement, however many there are.

    Args:
        clickhouse: Where the log is.
        log: Which.
        today: In UTC.
        after: The day before the first that is wanted; all days of the log without.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found = clickhouse.query(
        f"SELECT min(kafka_offset), min(appended_ms) FROM log_leaves WHERE {log.condition}"  # noqa: S608 - names of ours
        " AND kafka_offset >= {first:UInt64} AND appended_ms < {latest:UInt64}"
        f" AND kafka_offset < (SELECT max(size) FROM log_checkpoints WHERE {log.condition})"
        " GROUP BY intDiv(appended_ms, {day:UInt64})",
        {
            **log.parameters,
            "first": 0 if after is None else after.end_offset,
            "latest": LATEST_MS,
            "day": DAY_MS,
        },
    )
    return listed_days((FirstRecord(*map(int, row)) for row in found.rows), today, after)


def made_manifest(
    clickhouse: ClickHouse, log: StoredLog, origin: str, day: str, first: int, end: int
) -> Manifest:
    """Return the manifest of *day*, the offsets from *first* to without *end*, as leaves and rows have it now.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    [made] = made_manifests(clickhouse, log, origin, [ListedDay(day, first, end)])
    return made


def made_manifests(
    clickhouse: ClickHouse, log: StoredLog, origin: str, days: Sequence[ListedDay]
) -> list[Manifest]:
    """Return the manifest of each of *days*, which follow each other, as leaves and rows have it now.

    They are read together, and all of their entries are held: `together` says of how many days that is little.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    entries: dict[str, list[Entry]] = {day.day: [] for day in days}
    first, end = days[0].first_offset, days[-1].end_offset
    some = [day for day in days if day.first_offset < day.end_offset]
    ends = [day.end_offset for day in some]
    rows: Iterable[Row] = ()
    if some:
        rows = _by_session(clickhouse, log, {**log.parameters, "first": first, "end": end})
    for (tenant, session), leaves in groupby(rows, key=lambda row: row[:2]):
        for place, mine in groupby(leaves, key=lambda row: bisect_right(ends, row[2])):
            day = some[place].day
            entries[day].append(_entry(session_key(origin, day, tenant, session), mine))
    return [
        Manifest(Header(origin, *day, sessions=len(entries[day.day])), entries[day.day])
        for day in days
    ]


def together(days: Iterable[ListedDay]) -> Iterator[list[ListedDay]]:
    """Yield *days* in their order, so many of those that follow each other together as have few offsets."""
    some: list[ListedDay] = []
    for day in days:
        if some and (
            day.first_offset != some[-1].end_offset
            or day.end_offset - some[0].first_offset > OFFSETS_TOGETHER
        ):
            yield some
            some = []
        some.append(day)
    if some:
        yield some


def stored_days(clickhouse: ClickHouse, log: StoredLog) -> list[StoredDay]:
    """Return the manifests of *log* that are stored, by day.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found = clickhouse.query(
        f"SELECT DISTINCT day, first_offset, end_offset, sessions, root FROM session_manifests WHERE {log.condition}"  # noqa: S608 - names of ours
        " ORDER BY day, first_offset, end_offset, root",
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
    entries = stored_entries(clickhouse, log, day.day, day.day).get(day.day, [])
    return Manifest(day.header(origin), entries)


def stored_entries(
    clickhouse: ClickHouse, log: StoredLog, first_day: str, last_day: str
) -> dict[str, list[Entry]]:
    """Return the stored entries of *log* by day, from *first_day* to *last_day*; nothing of a day that has none.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found = clickhouse.query(
        f"SELECT DISTINCT toString(day), session_key, leaves, root FROM session_manifest_entries WHERE {log.condition}"  # noqa: S608 - names of ours
        " AND day >= {first:String} AND day <= {last:String} ORDER BY day, session_key",
        {**log.parameters, "first": first_day, "last": last_day},
    )
    entries: dict[str, list[Entry]] = {}
    for day, *entry in found.rows:
        entries.setdefault(day, []).append(Entry(*entry))
    return entries


def days_with_entries(clickhouse: ClickHouse, log: StoredLog) -> set[str]:
    """Return the days of which any entry of *log* is stored.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found = clickhouse.query(
        f"SELECT DISTINCT toString(day) FROM session_manifest_entries WHERE {log.condition}",  # noqa: S608 - names of ours
        log.parameters,
    )
    return {str(day) for (day,) in found.rows}


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


def _store(clickhouse: ClickHouse, log: StoredLog, manifest: Manifest) -> None:
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
    }
    clickhouse.insert(SESSION_MANIFESTS.block({name: [value] for name, value in row.items()}))
