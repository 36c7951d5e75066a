"""Tokens and cost over all sessions, by both books, grouped by who, what and when."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from trailhouse.query.answer import Answer, LeftOut
from trailhouse.query.books import Books, added, books_of, exact, less
from trailhouse.query.budget import Meter
from trailhouse.query.local_time import start_of
from trailhouse.query.positions import stored_positions
from trailhouse.query.runs.usage_sql import (
    COLUMNS,
    Plan,
    UsageKey,
    UsageQuestion,
    costs_sql,
    plan_of,
    usage_sql,
)
from trailhouse.store import ClickHouse

MAX_GROUPS = 10_000
Report = TypeVar("Report")


class UsageGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What a group has in common; None where it is not grouped by that, or where its events name none.

    Attributes:
        agent: The agent's id.
        provider: The provider.
        model: The model.
        tenant: The tenant's id.
        actor_type: What kind of actor.
        actor: The actor's id.
        period_start: When the hour, day or month began, in the zone that was asked for.
    """

    agent: str | None = None
    provider: str | None = None
    model: str | None = None
    tenant: str | None = None
    actor_type: str | None = None
    actor: str | None = None
    period_start: dt.datetime | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and cost of one group.

    Attributes:
        group: What its events have in common.
        books: Both books.
    """

    group: UsageGroup
    books: Books


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and cost, group by group.

    Attributes:
        by: What it is grouped by.
        zone: The time zone of hours, days and months.
        groups: The groups, the latest period first, then by their names.
        total: All that was asked about, groups that are left out included.
    """

    by: tuple[UsageKey, ...]
    zone: str
    groups: tuple[Usage, ...]
    total: Books


class BookCosts(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of one group by both books, never added.

    Attributes:
        increments_usd: What was used step by step; None where no event of that book names a cost.
        totals_usd: What runs that completed say of themselves; likewise.
        difference_usd: Totals less increments; None where one of the two is unknown.
        increments_unpriced_events: Events of that book that name no cost.
        totals_unpriced_events: Likewise.
        runs: Runs with an event in one of the books, in this group.
        unmapped_runs: Those of them of which no event in this group names a cost.
    """

    increments_usd: Decimal | None
    totals_usd: Decimal | None
    difference_usd: Decimal | None
    increments_unpriced_events: int
    totals_unpriced_events: int
    runs: int
    unmapped_runs: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of one group.

    Attributes:
        group: What its events have in common.
        costs: By both books.
    """

    group: UsageGroup
    costs: BookCosts


class CostReport(msgspec.Struct, frozen=True, kw_only=True):
    """Costs, group by group.

    Attributes:
        by: What it is grouped by.
        zone: The time zone of hours, days and months.
        groups: The groups, the latest period first, then by their names.
        total: All that was asked about; a run that is in several groups counts once.
    """

    by: tuple[UsageKey, ...]
    zone: str
    groups: tuple[Cost, ...]
    total: BookCosts


def read_usage(
    clickhouse: ClickHouse, question: UsageQuestion, meter: Meter, limit: int = MAX_GROUPS
) -> Answer[UsageReport]:
    """Return tokens and cost of the events that *question* is of.

    Raises:
        QueryError: A key, the zone or the filter cannot be asked for. Permanent.
        StorageLimitError: The budget is spent. Retriable.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    as_of = stored_positions(clickhouse)
    plan = plan_of(clickhouse, question, meter)
    rows = _rows(clickhouse, usage_sql(plan, limit + 1), meter)
    width = len(plan.group_by)
    groups = [
        Usage(group=_group(plan, row[:width]), books=books_of(row[width:])) for row in rows[:limit]
    ]
    if len(rows) > limit:
        [total] = _rows(clickhouse, usage_sql(plan._replace(group_by={}), 1), meter)
        books = books_of(total)
    else:
        books = added(each.books for each in groups)
    report = UsageReport(by=plan.by, zone=question.zone, groups=tuple(groups), total=books)
    return _answer(report, is_cut=len(rows) > limit, limit=limit, as_of=as_of)


def read_costs(
    clickhouse: ClickHouse, question: UsageQuestion, meter: Meter, limit: int = MAX_GROUPS
) -> Answer[CostReport]:
    """Return the cost of the events that *question* is of, and how many runs have none.

    Raises:
        QueryError, StorageError: As for `read_usage`.
    """
    as_of = stored_positions(clickhouse)
    plan = plan_of(clickhouse, question, meter)
    rows = _rows(clickhouse, costs_sql(plan, limit + 1), meter)
    width = len(plan.group_by)
    groups = [
        Cost(group=_group(plan, row[:width]), costs=_costs(row[width:])) for row in rows[:limit]
    ]
    # Not a sum of the groups: a run may be in several.
    [total] = _rows(clickhouse, costs_sql(plan._replace(group_by={}), 1), meter)
    report = CostReport(by=plan.by, zone=question.zone, groups=tuple(groups), total=_costs(total))
    return _answer(report, is_cut=len(rows) > limit, limit=limit, as_of=as_of)


def _rows(
    clickhouse: ClickHouse, asked: tuple[str, dict[str, Any]], meter: Meter
) -> list[tuple[Any, ...]]:
    return clickhouse.query(*asked, settings=meter.settings()).rows


def _group(plan: Plan, values: Sequence[Any]) -> UsageGroup:
    of = dict(zip(plan.group_by, values, strict=True))
    names: dict[str, Any] = {}
    for key in plan.by:
        for column in COLUMNS.get(key, ()):
            field = column if column == "actor_type" else column.removesuffix("_id")
            names[field] = of[column] or None
    if plan.unit is not None:
        names["period_start"] = start_of(
            plan.unit, of["period"], plan.zone, of.get("period_offset", 0)
        )
    return UsageGroup(**names)


def _costs(values: Sequence[Any]) -> BookCosts:
    increments, totals, increments_unpriced, totals_unpriced, runs, unmapped = values
    return BookCosts(
        increments_usd=exact(increments),
        totals_usd=exact(totals),
        difference_usd=less(totals, increments),
        increments_unpriced_events=int(increments_unpriced),
        totals_unpriced_events=int(totals_unpriced),
        runs=int(runs),
        unmapped_runs=int(unmapped),
    )


def _answer(report: Report, *, is_cut: bool, limit: int, as_of: dict[str, int]) -> Answer[Report]:
    if not is_cut:
        return Answer(value=report, as_of=as_of)
    left_out = LeftOut(
        what="groups",
        why=f"there are more than {limit}; the total counts all; narrow by since, until or a field, or group by less",
    )
    return Answer(value=report, complete=False, left_out=(left_out,), as_of=as_of)
