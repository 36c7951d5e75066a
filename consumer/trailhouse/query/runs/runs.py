"""Runs, newest first: how each ended, what it did, and what it cost by both books."""

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
    ENDED_US,
    ENDS_RUN,
    IS_ERROR,
    LAST,
    RUN_STATUS,
    RunStatus,
)
from trailhouse.query.runs.group_filter import run_grouping, with_status
from trailhouse.query.runs.group_page import Asked, Counted, read_page
from trailhouse.query.runs.newest_first import Grouping
from trailhouse.store import ClickHouse

RUN_KEY = ("session_id", "tenant_id", "run_id")
SHOWN_ERRORS = 20
_EVENTS_OF_A_RUN = 40
_KEYS_PER_QUERY_BYTES = 60_000
"""A statement's values travel in its address, which servers bound."""


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One run: all events of one run id within one session of one tenant.

    Attributes:
        session_id: Its session.
        tenant_id: Its tenant; None for none.
        run_id: Its id.
        agent_id: The agent that the first event with one names; None where none does.
        parent_run_id: The run that started it, likewise.
        status: That of its last ending event; ``running`` without one.
        started_at: When its earliest event happened.
        ended_at: When its last ending event happened; None while it is running.
        last_event_at: When its latest event happened.
        duration_seconds: From `started_at` to `ended_at`; below 0 where clocks lie apart; None while it is running.
        events: Its events, each once; a conflict counts as an event.
        tool_calls: Its events `tool_call_started`.
        error_events: Its events that tell of an error.
        errors: How many of them have each code ("" for none), the most frequent first, at most SHOWN_ERRORS codes.
        ending_events: Its events that end a run: 0 while it is running, 2 or more where they may contradict.
        ending_event_id: The last of them, which `status` is of; None while it is running.
        ending_error_code: The error code of that one; None where it has none.
        books: Tokens and cost by both books.
    """

    session_id: str
    tenant_id: str | None
    run_id: str
    agent_id: str | None
    parent_run_id: str | None
    status: RunStatus
    started_at: dt.datetime
    ended_at: dt.datetime | None
    last_event_at: dt.datetime
    duration_seconds: float | None
    events: int
    tool_calls: int
    error_events: int
    errors: dict[str, int]
    ending_events: int
    ending_event_id: str | None
    ending_error_code: str | None
    books: Books


def _first(column: str) -> str:
    return f"argMinIf({column}, {LAST}, {column} != '')"


ERRORS_SQL = (
    f"countIf({IS_ERROR})",
    "arraySlice(arraySort(each -> (-toInt64(each.2), each.1), arrayZip("
    f"sumMapIf([toString(error_code)], [toUInt64(1)], {IS_ERROR}).1,"
    f" sumMapIf([toString(error_code)], [toUInt64(1)], {IS_ERROR}).2)), 1, {SHOWN_ERRORS})",
)
_RUN_SQL = (
    "min(occurred_us)",
    "max(occurred_us)",
    ENDED_US,
    _first("agent_id"),
    _first("parent_run_id"),
    RUN_STATUS,
    "count()",
    "countIf(type = 'tool_call_started')",
    *ERRORS_SQL,
    f"countIf({ENDS_RUN})",
    f"argMaxIf(event_id, {LAST}, {ENDS_RUN})",
    f"argMaxIf(error_code, {LAST}, {ENDS_RUN})",
    *BOOKS_SQL,
)


def fetch_runs(
    clickhouse: ClickHouse,
    keys: Sequence[tuple[str, ...]],
    meter: Meter,
    counted: Counted = ("true", {}),
) -> dict[tuple[str, ...], tuple[int, RunSummary]]:
    """Return the runs of *keys* (session, tenant, run) as they are now, each with its start in microseconds.

    Only events that *counted* holds are of them.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: dict[tuple[str, ...], tuple[int, RunSummary]] = {}
    for some in in_portions(keys):
        for row in clickhouse.query(
            runs_sql(counted[0]),
            key_parameters(RUN_KEY, some) | counted[1],
            settings=meter.settings(),
        ).rows:
            run = _run(row)
            found[tuple(row[:3])] = (row[3], run)
    return found


def runs_sql(counted: str = "true") -> str:
    """Return the SELECT behind `fetch_runs`; its values are those of `key_parameters`."""
    key = ", ".join(RUN_KEY)
    where = f"{keys_condition(RUN_KEY)} AND {counted}"
    return f"SELECT {key}, {', '.join(_RUN_SQL)} FROM events WHERE {where} GROUP BY {key}"  # noqa: S608 - names of ours


def keys_condition(key: Sequence[str]) -> str:
    """Return the condition that holds the events of given keys, the session first."""
    arrays = ", ".join(f"{{keys_{name}:Array(String)}}" for name in key)
    columns = ", ".join(f"each.{place}" for place in range(1, len(key) + 1))
    # The session by itself too: it is what ClickHouse's index is asked for.
    return (
        f"session_id IN {{keys_session_id:Array(String)}} AND ({', '.join(key)}) IN"  # noqa: S608 - names of ours
        f" (SELECT {columns} FROM (SELECT arrayJoin(arrayZip({arrays})) AS each))"
    )


def key_parameters(key: Sequence[str], keys: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """Return the values that `keys_condition` names."""
    return {f"keys_{name}": [each[place] for each in keys] for place, name in enumerate(key)}


def in_portions(keys: Sequence[tuple[str, ...]]) -> list[list[tuple[str, ...]]]:
    """Return *keys* in lists that a statement can carry each."""
    portions: list[list[tuple[str, ...]]] = []
    room = 0
    for key in keys:
        size = 3 * sum(len(text.encode()) for text in key)
        if size > room or not portions:
            portions.append([])
            room = _KEYS_PER_QUERY_BYTES
        portions[-1].append(key)
        room -= size
    return portions


def _run(row: Sequence[Any]) -> RunSummary:
    session_id, tenant_id, run_id, first_us, last_us, ended_us, agent_id, parent, status, *rest = (
        row
    )
    events, tool_calls, error_events, errors, endings, ending_id, ending_code, *books = rest
    is_running = status == "running"
    return RunSummary(
        session_id=session_id,
        tenant_id=tenant_id or None,
        run_id=run_id,
        agent_id=agent_id or None,
        parent_run_id=parent or None,
        status=status,
        started_at=time_of(first_us),
        ended_at=None if is_running else time_of(ended_us),
        last_event_at=time_of(last_us),
        duration_seconds=None if is_running else (ended_us - first_us) / 1_000_000,
        events=events,
        tool_calls=tool_calls,
        error_events=error_events,
        errors=dict(errors),
        ending_events=endings,
        ending_event_id=None if is_running else str(ending_id),
        ending_error_code=ending_code or None,
        books=books_of(books),
    )


def read_runs(
    clickhouse: ClickHouse, asked: Asked, cursors: Cursors, now: dt.datetime
) -> Page[RunSummary]:
    """Return the page of runs that *asked* describes.

    Raises:
        QueryError: The filter, the cursor or the limit is wrong. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    every = Grouping(key=RUN_KEY, events_of_each=_EVENTS_OF_A_RUN, of_each=("run_id != ''",))
    narrowed = run_grouping(every, asked.wanted, asked.tenant_id)
    grouping = with_status(narrowed, RUN_STATUS, "run_", asked.statuses)
    return read_page(clickhouse, grouping, fetch_runs, asked, cursors, now)
