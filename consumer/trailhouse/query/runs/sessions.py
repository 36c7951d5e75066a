"""Sessions, newest first: how each stands, what ran in it, and what it cost by both books."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from trailhouse.query.answer import Page
from trailhouse.query.books import BOOKS_SQL, Books, books_of
from trailhouse.query.budget import Meter
from trailhouse.query.cursor import Cursors
from trailhouse.query.local_time import time_of
from trailhouse.query.run_status import (
    IS_ERROR,
    RUN_STATUS,
    RUN_STATUSES,
    SESSION_STATUS,
    SessionStatus,
)
from trailhouse.query.runs.group_filter import session_grouping, with_status
from trailhouse.query.runs.group_page import Asked, Counted, read_page
from trailhouse.query.runs.newest_first import Grouping
from trailhouse.query.runs.runs import RUN_KEY, in_portions, key_parameters, keys_condition
from trailhouse.store import ClickHouse

SESSION_KEY = ("session_id", "tenant_id")
SHOWN_NAMES = 20
_EVENTS_OF_A_SESSION = 200


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One session: all events of one session id of one tenant.

    Attributes:
        session_id: Its id.
        tenant_id: Its tenant; None for none.
        status: What its last event about the session itself says; None where there is none.
        started_at: When its earliest event happened.
        last_event_at: When its latest event happened.
        events: Its events, each once; a conflict counts as an event.
        runs: Its runs.
        runs_by_status: How many of its runs have each status, zeros included.
        agents: The agents that its events name, in order of their names, at most SHOWN_NAMES.
        providers: The providers, likewise.
        models: The models, likewise.
        tool_calls: Its events `tool_call_started`.
        error_events: Its events that tell of an error.
        books: Tokens and cost by both books, events that belong to no run included.
    """

    session_id: str
    tenant_id: str | None
    status: SessionStatus | None
    started_at: dt.datetime
    last_event_at: dt.datetime
    events: int
    runs: int
    runs_by_status: dict[str, int]
    agents: tuple[str, ...]
    providers: tuple[str, ...]
    models: tuple[str, ...]
    tool_calls: int
    error_events: int
    books: Books


def _names(column: str) -> str:
    # With a bound: who writes events may give each a name of its own.
    every = f"groupUniqArrayIf(10000)(toString({column}), {column} != '')"
    return f"arraySlice(arraySort({every}), 1, {SHOWN_NAMES})"


_SESSION_SQL = (
    "min(occurred_us)",
    "max(occurred_us)",
    SESSION_STATUS,
    "count()",
    _names("agent_id"),
    _names("provider"),
    _names("model"),
    "countIf(type = 'tool_call_started')",
    f"countIf({IS_ERROR})",
    *BOOKS_SQL,
)


def fetch_sessions(
    clickhouse: ClickHouse,
    keys: Sequence[tuple[str, ...]],
    meter: Meter,
    counted: Counted = ("true", {}),
) -> dict[tuple[str, ...], tuple[int, SessionSummary]]:
    """Return the sessions of *keys* (session, tenant) as they are now, each with its start in microseconds.

    Only events that *counted* holds are of them.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: dict[tuple[str, ...], tuple[int, SessionSummary]] = {}
    for some in in_portions(keys):
        values = key_parameters(SESSION_KEY, some) | counted[1]
        runs: dict[tuple[str, ...], dict[str, int]] = {}
        for session_id, tenant_id, status, count in clickhouse.query(
            statuses_sql(counted[0]), values, settings=meter.settings()
        ).rows:
            runs.setdefault((session_id, tenant_id), {})[status] = count
        for row in clickhouse.query(
            sessions_sql(counted[0]), values, settings=meter.settings()
        ).rows:
            key = tuple(row[:2])
            found[key] = (row[2], _session(row, runs.get(key, {})))
    return found


def sessions_sql(counted: str = "true") -> str:
    """Return the SELECT for all of a session but its runs."""
    key = ", ".join(SESSION_KEY)
    where = f"{keys_condition(SESSION_KEY)} AND {counted}"
    return f"SELECT {key}, {', '.join(_SESSION_SQL)} FROM events WHERE {where} GROUP BY {key}"  # noqa: S608 - names of ours


def statuses_sql(counted: str = "true") -> str:
    """Return the SELECT for how many runs of a session have each status."""
    key, run = ", ".join(SESSION_KEY), ", ".join(RUN_KEY)
    return f"""
        SELECT {key}, status, count() FROM (
            SELECT {key}, {RUN_STATUS} AS status FROM events
            WHERE {keys_condition(SESSION_KEY)} AND {counted} AND run_id != '' GROUP BY {run}
        ) GROUP BY {key}, status
    """  # noqa: S608 - names of ours


def _session(row: Sequence[Any], runs: dict[str, int]) -> SessionSummary:
    session_id, tenant_id, first_us, last_us, status, events, *rest = row
    agents, providers, models, tool_calls, error_events, *books = rest
    return SessionSummary(
        session_id=session_id,
        tenant_id=tenant_id or None,
        status=status or None,
        started_at=time_of(first_us),
        last_event_at=time_of(last_us),
        events=events,
        runs=sum(runs.values()),
        runs_by_status={name: runs.get(name, 0) for name in RUN_STATUSES},
        agents=tuple(agents),
        providers=tuple(providers),
        models=tuple(models),
        tool_calls=tool_calls,
        error_events=error_events,
        books=books_of(books),
    )


def read_sessions(
    clickhouse: ClickHouse, asked: Asked, cursors: Cursors, now: dt.datetime
) -> Page[SessionSummary]:
    """Return the page of sessions that *asked* describes.

    Raises:
        QueryError: The filter, the cursor or the limit is wrong. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    narrowed = session_grouping(
        Grouping(key=SESSION_KEY, events_of_each=_EVENTS_OF_A_SESSION),
        asked.wanted,
        asked.tenant_id,
    )
    grouping = with_status(narrowed, SESSION_STATUS, "session_", asked.statuses)
    return read_page(clickhouse, grouping, fetch_sessions, asked, cursors, now)
