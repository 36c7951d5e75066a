"""What a session holds, in a few figures: what to suggest when a filter matches nothing in it."""

import datetime as dt

import msgspec

from trailhouse.query.filtering.conditions import (
    fleet_parameters,
    fleet_where,
    limit,
    scope,
    scope_parameters,
)
from trailhouse.query.filtering.filters import FleetFilter, SessionFilter
from trailhouse.store import ClickHouse

SHOWN_RUNS = 10
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class SessionOutline(msgspec.Struct, frozen=True, kw_only=True):
    """One session as one reader sees it: nothing of another tenant's is counted or named.

    Attributes:
        events: How many there are; 0 for a session that this reader does not see.
        by_type: Events of each type, the most frequent first.
        runs: Ids of its first runs, at most SHOWN_RUNS, in order of their first event.
        runs_total: How many runs there are.
        first_occurred_at: When its earliest event happened; None without events.
        last_occurred_at: When its latest event happened; None without events.
    """

    events: int
    by_type: dict[str, int]
    runs: tuple[str, ...]
    runs_total: int
    first_occurred_at: dt.datetime | None
    last_occurred_at: dt.datetime | None


EMPTY = SessionOutline(
    events=0, by_type={}, runs=(), runs_total=0, first_occurred_at=None, last_occurred_at=None
)


def read_outline(clickhouse: ClickHouse, wanted: SessionFilter) -> SessionOutline:
    """Return what the session of *wanted* holds, its other filters aside.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    of_session = f"FROM events WHERE {scope(wanted)}"
    parameters = scope_parameters(wanted)
    types = clickhouse.query(
        f"SELECT type, count(), min(occurred_us), max(occurred_us) {of_session}"
        " GROUP BY type ORDER BY count() DESC, type",
        parameters,
    ).rows
    # The window counts all runs, although the limit shows the first of them: one statement for both.
    runs = clickhouse.query(
        f"SELECT run_id, count() OVER () {of_session} AND run_id != ''"
        f" GROUP BY run_id ORDER BY min(occurred_us), run_id LIMIT {SHOWN_RUNS}",
        parameters,
    ).rows
    return SessionOutline(
        events=sum(row[1] for row in types),
        by_type={row[0]: row[1] for row in types},
        runs=tuple(row[0] for row in runs),
        runs_total=runs[0][1] if runs else 0,
        first_occurred_at=min((_time(row[2]) for row in types), default=None),
        last_occurred_at=max((_time(row[3]) for row in types), default=None),
    )


def _time(microseconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=microseconds)


class RecentSession(msgspec.Struct, frozen=True, kw_only=True):
    """One of the sessions that events were appended to last.

    Attributes:
        session_id: Its id.
        events: Its events that this reader sees, within the time that was asked for.
        last_type: The type of the one that was appended last.
        last_appended_at: When Kafka took that one.
    """

    session_id: str
    events: int
    last_type: str
    last_appended_at: dt.datetime


def read_recent_sessions(clickhouse: ClickHouse, wanted: FleetFilter) -> list[RecentSession]:
    """Return the sessions that events were appended to last, the latest first.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(
        "SELECT session_id, count(), argMax(type, (appended_at, kafka_topic_id, kafka_partition, kafka_offset)),"  # noqa: S608 - no value in it
        f" max(appended_at) AS last FROM events {fleet_where(wanted)} GROUP BY session_id"
        f" ORDER BY last DESC, session_id {limit(wanted)}",
        fleet_parameters(wanted),
    ).rows
    return [
        RecentSession(
            session_id=row[0],
            events=row[1],
            last_type=row[2],
            last_appended_at=row[3].replace(tzinfo=dt.UTC) if row[3].tzinfo is None else row[3],
        )
        for row in rows
    ]
