"""The SELECTs behind usage and costs: which table, which events, and what to group them by."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

from trailhouse.query.books import BOOKS_SQL, CARRIES_USAGE, IN_INCREMENTS, IN_TOTALS
from trailhouse.query.budget import Meter
from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.search_filter import FIELDS, SearchFilter
from trailhouse.query.local_time import (
    DAY_US,
    HOUR_US,
    UNITS,
    Offsets,
    Unit,
    month_of,
    offsets_within,
    zone_named,
)
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouse

UsageKey = Literal["agent", "provider", "model", "tenant", "actor", "hour", "day", "month"]
USAGE_KEYS: tuple[UsageKey, ...] = get_args(UsageKey)
_MAX_ZONE_ENTRIES = 4_000
"""A statement's values travel in its address, which servers bound: so many offsets or months fit."""
COLUMNS = {
    "agent": ("agent_id",),
    "provider": ("provider",),
    "model": ("model",),
    "tenant": ("tenant_id",),
    "actor": ("actor_type", "actor_id"),
}
_IN_USAGE = {
    "occurred_us", "session_id", "tenant_id", "record_key", "type", "run_id", "agent_id", "actor_type", "actor_id",
    "provider", "model", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "duration_ms",
}  # fmt: skip


class UsageQuestion(NamedTuple):
    """What is asked: the filter, the one tenant that the reader sees (None: all), what to group by, and the zone."""

    wanted: SearchFilter
    tenant_id: str | None
    by: Sequence[UsageKey]
    zone: str


class Plan(NamedTuple):
    """A question as SQL: what to read, what to group by, and how to read a group back."""

    by: tuple[UsageKey, ...]
    unit: Unit | None
    zone: dt.tzinfo
    source: str
    condition: str
    group_by: dict[str, str]
    parameters: dict[str, Any]


def usage_keys(by: object) -> tuple[UsageKey, ...]:
    """Return *by*, one name or several, as what can be grouped by.

    Raises:
        QueryError: One is unknown or there twice, or there are two periods. Permanent.
    """
    several: object = (by,) if isinstance(by, str) else by
    names: tuple[Any, ...] | None = tuple(several) if isinstance(several, (list, tuple)) else None
    if names is None or any(name not in USAGE_KEYS for name in names):
        raise QueryError(f"by: each must be one of {', '.join(USAGE_KEYS)}")
    if len(set(names)) != len(names):
        raise QueryError("by: must not name the same twice")
    if len(set(names) & set(UNITS)) > 1:
        raise QueryError("by: must not name more than one of hour, day and month")
    return names


def plan_of(clickhouse: ClickHouse, question: UsageQuestion, meter: Meter) -> Plan:
    """Return how *question* is asked.

    Raises:
        QueryError: A key, the zone or the filter cannot be asked for. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    wanted, keys, zone = question.wanted, usage_keys(question.by), zone_named(question.zone)
    if wanted.words:
        raise QueryError(
            "text: usage is not searched for words; name a field, as agent:ID or session:ID; search for events by words"
        )
    condition, parameters = where(wanted, tenant_id=question.tenant_id)
    columns = {FIELDS[each.field].column for each in wanted.conditions}
    in_books = f"({IN_INCREMENTS} OR {IN_TOTALS} OR {CARRIES_USAGE})"
    # The small table holds these events and no others; what it has no column for is asked of the larger one.
    source, condition = (
        ("usage_by_time", condition)
        if columns <= _IN_USAGE
        else ("events_by_time", f"{condition} AND {in_books}")
    )
    unit: Unit | None = next((each for each in UNITS if each in keys), None)
    plan = Plan(keys, unit, zone, source, condition, {}, parameters)
    group_by = {column: column for key in keys for column in COLUMNS.get(key, ())}
    if unit is not None:
        periods, values = _period_sql(clickhouse, plan, unit, meter)
        group_by, parameters = periods | group_by, parameters | values
    return plan._replace(group_by=group_by, parameters=parameters)


def _period_sql(
    clickhouse: ClickHouse, plan: Plan, unit: Unit, meter: Meter
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what to group by to group by *unit* of the zone, and the values that it names."""
    days = [] if plan.zone is dt.UTC and unit != "month" else _days(clickhouse, plan, meter)
    offsets = offsets_within(plan.zone, days)
    months = sorted({month_of(day + step) for day in days for step in (-1, 0, 1)})
    if len(offsets.starts_us) > _MAX_ZONE_ENTRIES or (
        unit == "month" and len(months) > _MAX_ZONE_ENTRIES
    ):
        raise QueryError(
            f"by: {unit} in this zone over so many years is too much for one question; give since and until"
        )
    offset, values = _offset_sql(offsets)
    local = f"(occurred_us + {offset})"
    if unit == "hour":
        start = f"{local} - positiveModulo({local}, {HOUR_US})"
        return {"period": start, "period_offset": offset}, values
    day = f"intDiv({local} - positiveModulo({local}, {DAY_US}), {DAY_US})"
    if unit == "day":
        return {"period": f"{day} * {DAY_US}"}, values
    month = f"roundDown({day}, {{months:Array(Int64)}}) * {DAY_US}"
    return {"period": month}, values | {"months": months or [0]}


def _offset_sql(offsets: Offsets) -> tuple[str, dict[str, Any]]:
    if len(offsets.starts_us) == 1:
        return "{offset_us:Int64}", {"offset_us": offsets.offsets_us[0]}
    values = {"zone_starts": offsets.starts_us, "zone_offsets": offsets.offsets_us}
    return (
        "{zone_offsets:Array(Int64)}[indexOf({zone_starts:Array(Int64)},"
        " roundDown(occurred_us, {zone_starts:Array(Int64)}))]",
        values,
    )


def _days(clickhouse: ClickHouse, plan: Plan, meter: Meter) -> list[int]:
    """Return the UTC days, counted from 1970, on which something is wanted."""
    day = f"intDiv(occurred_us - positiveModulo(occurred_us, {DAY_US}), {DAY_US})"
    sql = f"SELECT DISTINCT {day} FROM {plan.source} WHERE {plan.condition}"  # noqa: S608 - names of ours
    return [
        row[0] for row in clickhouse.query(sql, plan.parameters, settings=meter.settings()).rows
    ]


def usage_sql(plan: Plan, limit: int) -> tuple[str, dict[str, Any]]:
    keys = _aliased(plan)
    sql = f"""
        SELECT {", ".join([*keys, *BOOKS_SQL])} FROM {plan.source} WHERE {plan.condition} {_end(plan, limit)}
    """  # noqa: S608 - names of ours; every value is a bound parameter
    return sql, plan.parameters


def costs_sql(plan: Plan, limit: int) -> tuple[str, dict[str, Any]]:
    """Return costs by run first, so that a run without any price shows."""
    names = [f"key_{place}" for place in range(len(plan.group_by))]
    run = "session_id, tenant_id, run_id"
    is_run = "run_id != '' AND booked > 0"
    sql = f"""
        SELECT {", ".join([*names, *_COSTS_OF_RUNS])}, countIf({is_run}), countIf({is_run} AND priced = 0)
        FROM (
            SELECT {", ".join([*_aliased(plan), *_COSTS_OF_EVENTS])}, {run}
            FROM {plan.source} WHERE {plan.condition} GROUP BY {", ".join([*names, run])}
        ) {_end(plan, limit)}
    """  # noqa: S608 - names of ours; every value is a bound parameter
    return sql, plan.parameters


_BOOKED = f"({IN_INCREMENTS} OR {IN_TOTALS})"
_COSTS_OF_EVENTS = (
    f"sumIf(toDecimal256(cost_usd, 18), {IN_INCREMENTS}) AS increments_usd",
    f"sumIf(toDecimal256(cost_usd, 18), {IN_TOTALS}) AS totals_usd",
    f"countIf({IN_INCREMENTS} AND isNull(cost_usd)) AS increments_unpriced",
    f"countIf({IN_TOTALS} AND isNull(cost_usd)) AS totals_unpriced",
    f"countIf({_BOOKED}) AS booked",
    f"countIf({_BOOKED} AND isNotNull(cost_usd)) AS priced",
)
_COSTS_OF_RUNS = tuple(
    f"sum({name})"
    for name in ("increments_usd", "totals_usd", "increments_unpriced", "totals_unpriced")
)


def _aliased(plan: Plan) -> list[str]:
    return [f"{sql} AS key_{place}" for place, sql in enumerate(plan.group_by.values())]


def _end(plan: Plan, limit: int) -> str:
    """Return the end of a SELECT of groups; without keys there is one group, even of no events."""
    names = [f"key_{place}" for place in range(len(plan.group_by))]
    if not names:
        return ""
    order = [
        # Of the two hours of one name the later one has the smaller offset.
        f"{name} DESC" if column == "period" else name
        for name, column in zip(names, plan.group_by, strict=True)
    ]
    return f"GROUP BY {', '.join(names)} ORDER BY {', '.join(order)} LIMIT {limit}"
