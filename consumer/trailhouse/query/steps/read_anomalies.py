"""Look for what does not fit: each kind by itself, so that a spent budget costs no more than its kind."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from trailhouse.query.answer import Answer, LeftOut
from trailhouse.query.budget import BUDGET_WAY_OUT, Meter, ReadBudget
from trailhouse.query.filtering.by_standing import without_standing
from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.filters import whole_number
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.positions import stored_positions
from trailhouse.query.run_status import ENDS_RUN, LAST
from trailhouse.query.steps.anomalies import (
    Anomaly,
    AnomalyKind,
    AnomalyReport,
    AnomalyThresholds,
    ProducerClock,
    RunState,
    anomaly_of_call,
    by_kind,
    clock_anomalies,
    missing_anomalies,
    report_of,
    run_anomaly,
)
from trailhouse.query.steps.event_facts import moment
from trailhouse.schemas.errors import QueryError, StorageLimitError
from trailhouse.store import ClickHouse
from trailhouse.store.sequence_gaps import GapFinder
from trailhouse.store.sequences import SEQUENCED_FOR_READERS, settled_ranges
from trailhouse.store.tables import LATEST_MS

DEFAULT_ANOMALIES = 100
MAX_ANOMALIES = 1_000
MAX_PRODUCERS = 10_000
"""So many producers' clocks are looked at, those that are off by most."""
_ALWAYS_SECONDS = 100 * 366 * 86_400.0
_TOOL_TYPES = "type IN ('tool_call_started', 'tool_call_completed', 'tool_call_failed')"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_Found = dict[AnomalyKind, tuple[int, Sequence[Anomaly]]]


class _Search(NamedTuple):
    """What is looked for, and where."""

    clickhouse: ClickHouse
    meter: Meter
    is_narrowed: bool
    condition: str
    scope: str
    values: dict[str, Any]
    thresholds: AnomalyThresholds
    since: dt.datetime | None
    now_us: int
    limit: int

    def query(self, sql: str, **more: object) -> list[tuple[Any, ...]]:
        return self.clickhouse.query(sql, self.values | more, settings=self.meter.settings()).rows

    def within(self, columns: str, which: str) -> str:
        """Return that *columns* are those of an event that *which* and the filter select; anything without a filter."""
        if not self.is_narrowed:
            return self.scope
        found = f"SELECT {columns} FROM events_by_time_as_stored WHERE {which} AND {self.condition}"  # noqa: S608 - as below
        return f"{self.scope} AND ({columns}) IN ({found})"

    @property
    def idle_us(self) -> int:
        return self.now_us - round(self.thresholds.idle_seconds * 1_000_000)


_Part = tuple[str, Callable[[_Search], _Found]]
_NUMBERS_UNKNOWN = LeftOut(
    what="missing numbers",
    why="a producer numbers the events of all tenants, sessions and runs: ask without a filter, with a reader of"
    " all tenants",
)


def read_anomalies(
    clickhouse: ClickHouse,
    wanted: SearchFilter,
    *,
    tenant_id: str | None,
    thresholds: AnomalyThresholds,
    limit: int,
    budget: ReadBudget,
    now: dt.datetime,
) -> Answer[AnomalyReport]:
    """Return what does not fit of the runs, calls and events of which *wanted* finds an event.

    Raises:
        QueryError: The filter asks for words, or a number is wrong. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    limit = _checked(wanted, thresholds, limit)
    condition, values = where(wanted, tenant_id=tenant_id)
    counted = SearchFilter(conditions=without_standing(wanted)[1])
    scope, scoped = where(counted, tenant_id=tenant_id, prefix="s")
    search = _Search(
        clickhouse=clickhouse,
        meter=Meter(budget),
        is_narrowed=wanted != SearchFilter(),
        condition=condition,
        scope=scope,
        values=values | scoped,
        thresholds=thresholds,
        since=wanted.since,
        now_us=(now - _EPOCH) // dt.timedelta(microseconds=1),
        limit=limit,
    )
    parts: list[_Part] = [
        ("runs", _runs),
        ("tool calls", _calls),
        ("clocks and late arrivals", _clocks),
        ("conflicts", _conflicts),
    ]
    if tenant_id is not None or wanted.conditions:
        return _answer(search, parts, [_NUMBERS_UNKNOWN])
    return _answer(search, [*parts, ("missing numbers", _missing)], [])


def _checked(wanted: SearchFilter, thresholds: AnomalyThresholds, limit: int) -> int:
    limit = whole_number(limit)
    if limit > MAX_ANOMALIES:
        raise QueryError(f"limit: must be at most {MAX_ANOMALIES}")
    if wanted.words:
        raise QueryError(
            "text: anomalies are not searched for words; name a field, as session:ID or run:ID;"
            " search for events by words"
        )
    check_thresholds(thresholds)
    return limit


def _answer(
    search: _Search,
    parts: Sequence[_Part],
    left_out: list[LeftOut],
) -> Answer[AnomalyReport]:
    as_of = stored_positions(search.clickhouse)
    found: _Found = {}
    for what, look in parts:
        try:
            part = None if search.meter.is_spent else look(search)
        except StorageLimitError:
            part = None
        if part is None:
            left_out.append(LeftOut(what=what, why=f"the budget was spent; {BUDGET_WAY_OUT}"))
        else:
            found |= part
    left_out += _cut(found)
    return Answer(
        value=report_of(found, moment(search.now_us)),
        exact=not left_out,
        complete=not left_out,
        left_out=tuple(left_out),
        as_of=as_of,
    )


def check_thresholds(thresholds: AnomalyThresholds) -> None:
    """Check that each threshold is a number of seconds.

    Raises:
        QueryError: One is not from 0 to a hundred years. Permanent.
    """
    for name, value in msgspec.structs.asdict(thresholds).items():
        # True is an int to Python; NaN is not within anything.
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise QueryError(f"{name}: must be a number of seconds")
        if not 0 <= value <= _ALWAYS_SECONDS:
            raise QueryError(f"{name}: must be from 0 to {_ALWAYS_SECONDS:.0f} seconds")


def _cut(found: Mapping[AnomalyKind, tuple[int, Sequence[Anomaly]]]) -> Iterator[LeftOut]:
    for kind, (count, shown) in found.items():
        if count > len(shown):
            yield LeftOut(
                what=f"more of {kind}",
                how_many=count - len(shown),
                why="one answer holds so many of each kind; ask for a shorter time or for more at once",
            )


def _runs(search: _Search) -> _Found:
    within = search.within("tenant_id, session_id, run_id", "run_id != ''")
    rows = search.query(
        f"""
        SELECT *, countIf(ends = 0) OVER () AS open_runs, countIf(ends > 0) OVER () AS startless_runs
        FROM (
            SELECT tenant_id, session_id, run_id, argMinIf(agent_id, {LAST}, agent_id != '') AS agent,
                countIf(type = 'run_started') AS starts, countIf({ENDS_RUN}) AS ends,
                min(occurred_us) AS first_us, max(occurred_us) AS last_us
            FROM events_by_time_as_stored WHERE run_id != '' AND {within}
            GROUP BY tenant_id, session_id, run_id
            HAVING (ends = 0 AND last_us <= {{idle_us:Int64}}) OR (ends > 0 AND starts = 0)
        )
        ORDER BY last_us DESC, session_id, tenant_id, run_id LIMIT {{limit:UInt64}} BY ends = 0
        """,  # noqa: S608 - names of ours; every value is a bound parameter
        idle_us=search.idle_us,
        limit=search.limit,
    )
    names = RunState.__struct_fields__
    anomalies = [
        run_anomaly(
            RunState(**dict(zip(names, row[: len(names)], strict=True))),
            search.now_us,
            search.thresholds,
        )
        for row in rows
    ]
    shown = by_kind(
        ("run_without_end", "run_without_start"),
        [each for each in anomalies if each is not None],
        search.limit,
    )
    open_runs, startless_runs = rows[0][len(names) :] if rows else (0, 0)
    return {
        "run_without_end": (open_runs, shown["run_without_end"][1]),
        "run_without_start": (startless_runs, shown["run_without_start"][1]),
    }


def _calls(search: _Search) -> _Found:
    """Look into the view `tool_calls`, which pairs their events."""
    within = search.within("tenant_id, session_id, run_id, tool_call_id", _TOOL_TYPES)
    columns = "tenant_id, session_id, run_id, agent_id, tool_name, tool_call_id, first_us"
    # An event that names no call cannot be paired: nobody can say that its other half is missing.
    found = (
        f"SELECT {columns}, count() OVER () FROM tool_calls WHERE tool_call_id != '' AND {within}"  # noqa: S608 - as above
    )
    ended = (
        "SELECT tenant_id, session_id, run_id FROM events_by_time_as_stored"  # noqa: S608 - as above
        f" WHERE {ENDS_RUN} AND run_id != '' AND {search.scope}"
    )
    last = (
        "ORDER BY first_us DESC, session_id, tenant_id, run_id, tool_call_id, tool_name, agent_id"
        " LIMIT {limit:UInt64}"
    )
    unclosed = search.query(
        f"{found} AND status = 'open' AND (first_us <= {{idle_us:Int64}}"
        f" OR (tenant_id, session_id, run_id) IN ({ended})) {last}",
        idle_us=search.idle_us,
        limit=search.limit,
    )
    startless = search.query(f"{found} AND isNull(started_at) {last}", limit=search.limit)
    return {
        "tool_call_never_closed": (
            unclosed[0][7] if unclosed else 0,
            [anomaly_of_call(row[:7], "tool_call_never_closed") for row in unclosed],
        ),
        "tool_call_without_start": (
            startless[0][7] if startless else 0,
            [anomaly_of_call(row[:7], "tool_call_without_start") for row in startless],
        ),
    }


def _clocks(search: _Search) -> _Found:
    """Compare when events happened with when Kafka took them, by producer; a sender's own time says nothing."""
    rows = search.query(
        f"""
        SELECT tenant_id, producer_id, count(), countIf(is_ahead) AS ahead, countIf(is_late) AS late,
            min(lag_us), max(lag_us),
            argMin(session_id, (lag_us, session_id)), argMax(session_id, (lag_us, session_id)),
            minIf(occurred_us, is_ahead), maxIf(occurred_us, is_ahead),
            minIf(occurred_us, is_late), maxIf(occurred_us, is_late)
        FROM (
            SELECT tenant_id, producer_id, session_id, occurred_us,
                toUnixTimestamp64Milli(appended_at) * 1000 - occurred_us AS lag_us,
                lag_us < -{{ahead_us:Int64}} AS is_ahead, lag_us > {{late_us:Int64}} AS is_late
            FROM events WHERE {search.condition} AND toUnixTimestamp64Milli(appended_at) < {LATEST_MS}
        )
        GROUP BY tenant_id, producer_id HAVING ahead > 0 OR late > 0
        ORDER BY greatest(max(lag_us), -min(lag_us)) DESC, producer_id, tenant_id LIMIT {{most:UInt64}}
        """,  # noqa: S608 - as above
        ahead_us=round(search.thresholds.ahead_seconds * 1_000_000),
        late_us=round(search.thresholds.late_seconds * 1_000_000),
        most=MAX_PRODUCERS,
    )
    names = ProducerClock.__struct_fields__
    clocks = [ProducerClock(**dict(zip(names, row, strict=True))) for row in rows]
    found: _Found = {}
    found |= by_kind(
        ("clock_ahead", "clock_behind", "late_arrival"),
        [each for clock in clocks for each in clock_anomalies(clock)],
        search.limit,
    )
    return found


def _conflicts(search: _Search) -> _Found:
    """Look for one id with several records within tenant and session: copies are one record."""
    of_events = (
        f" AND event_id IN (SELECT event_id FROM events_as_stored WHERE {search.condition})"  # noqa: S608 - as above
        if search.is_narrowed
        else ""
    )
    rows = search.query(
        f"""
        SELECT tenant_id, session_id, id, records, first_us, last_us, count() OVER ()
        FROM (
            SELECT tenant_id, session_id, event_id AS id, uniqExact(record_key) AS records,
                min(occurred_us) AS first_us, max(occurred_us) AS last_us
            FROM events_as_stored WHERE {search.scope}{of_events}
            GROUP BY session_id, tenant_id, event_id HAVING min(record_key) != max(record_key)
            SETTINGS optimize_aggregation_in_order = 1
        )
        ORDER BY last_us DESC, session_id, tenant_id, id LIMIT {{limit:UInt64}}
        """,  # noqa: S608 - as above
        limit=search.limit,
    )
    anomalies = [
        Anomaly(
            kind="conflict",
            tenant_id=row[0] or None,
            session_id=row[1],
            event_id=row[2],
            count=row[3],
            first_at=moment(row[4]),
            last_at=moment(row[5]),
        )
        for row in rows
    ]
    return {"conflict": (rows[0][6] if rows else 0, anomalies)}


def _missing(search: _Search) -> _Found:
    """Look for holes in the numbers that producers gave, between what Kafka took since the filter's `since`."""
    since_seconds = _ALWAYS_SECONDS
    if search.since is not None:
        since_us = (search.since - _EPOCH) // dt.timedelta(microseconds=1)
        since_seconds = min(max((search.now_us - since_us) / 1_000_000, 0.0), _ALWAYS_SECONDS)
    between = settled_ranges(
        search.clickhouse,
        since_seconds=since_seconds,
        settle_seconds=search.thresholds.settle_seconds,
        sequenced_sql=SEQUENCED_FOR_READERS,
    )
    holes = GapFinder(search.clickhouse, SEQUENCED_FOR_READERS).holes(between)
    found: _Found = {}
    found |= by_kind(("missing_numbers",), missing_anomalies(holes), search.limit)
    return found
