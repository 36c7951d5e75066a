"""How many events there are, in all and over time."""

import datetime as dt
import time
from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec

from trailhouse.query.answer import Answer, LeftOut
from trailhouse.query.budget import Meter, ReadBudget
from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.local_time import in_zone, with_whole_minutes, zone_named
from trailhouse.query.positions import stored_positions
from trailhouse.query.search.found import moment_of
from trailhouse.query.search.pages import events_ahead
from trailhouse.query.search.tally import Scope, tally, total, uncounted
from trailhouse.schemas.errors import QueryError, StorageLimitError
from trailhouse.store import ClickHouse

T = TypeVar("T")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_FIRST_US = (dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
BucketSize = Literal["minute", "hour", "day", "month"]
BUCKET_SIZES: tuple[BucketSize, ...] = ("minute", "hour", "day", "month")
MAX_BUCKETS = 1_500
"""Their starts travel in a statement's address; a day has 1,440 minutes."""
_BEFORE = -(2**63)
"""Stands for what happened before the first bucket."""


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """How many events happened from one time on, until the next bucket begins.

    Attributes:
        starts_at: When it begins, by the clock of the zone that was named.
        events: How many; 0 where nothing happened.
    """

    starts_at: dt.datetime
    events: int


def count(
    clickhouse: ClickHouse, wanted: SearchFilter, tenant_id: str | None, budget: ReadBudget
) -> Answer[int]:
    """Return how many events there are, each once, whatever their clocks say.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    as_of = stored_positions(clickhouse)
    found = total(clickhouse, Scope(wanted, tenant_id, now_us()), Meter(budget))
    return answer(found.events[None], found.reached, (), as_of)


def histogram(
    clickhouse: ClickHouse,
    wanted: SearchFilter,
    tenant_id: str | None,
    budget: ReadBudget,
    by: BucketSize,
    zone: str,
) -> Answer[tuple[Bucket, ...]]:
    """Return how many events happened in each minute, hour, day or month, with zeros.

    Raises:
        QueryError: The size or zone is unknown, or there would be too many buckets. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    if by not in BUCKET_SIZES:
        raise QueryError(f"by: must be one of {', '.join(BUCKET_SIZES)}")
    named_zone = zone_named(zone)
    meter, now = Meter(budget), now_us()
    as_of = stored_positions(clickhouse)
    edges = _edges(clickhouse, wanted, tenant_id, now, meter)
    if edges is None:
        return answer((), None, (), as_of)
    first_us, last_us = edges
    starts = bucket_starts(first_us, last_us, by, named_zone)
    if len(starts) > MAX_BUCKETS:
        if wanted.since is not None:
            raise QueryError(
                f"by: more than {MAX_BUCKETS} buckets; ask for a shorter time or larger buckets"
            )
        starts = starts[-MAX_BUCKETS:]
    within = Scope(wanted.narrowed(until=moment_of(last_us)), tenant_id, now)
    # What is before the first is counted apart.
    key = f"if(occurred_us < {{start:Int64}}, {_BEFORE}, roundDown(occurred_us, {{starts:Array(Int64)}}))"
    found = tally(clickhouse, within, meter, key, {"start": starts[0], "starts": starts})
    left_out = _outside(clickhouse, wanted, tenant_id, meter, now, found.events.pop(_BEFORE, 0))
    buckets = tuple(
        Bucket(starts_at=with_whole_minutes(in_zone(start, named_zone)), events=found.events[start])
        for start in starts
    )
    return answer(buckets, found.reached, left_out, as_of)


def now_us() -> int:
    """Return the time of now, in microseconds since 1970 UTC."""
    return int(time.time() * 1_000_000)


def answer(
    value: T, reached: int | None, left_out: tuple[LeftOut, ...], as_of: Mapping[str, int]
) -> Answer[T]:
    """Return *value* as the answer of a count that came as far as the time *reached*, None for all of it."""
    missing = (*uncounted(reached), *left_out)
    return Answer(
        value=value,
        exact=reached is None,
        complete=not missing,
        left_out=missing,
        searched_back_to=None if reached is None else moment_of(reached),
        as_of=as_of,
    )


def _edges(
    clickhouse: ClickHouse, wanted: SearchFilter, tenant_id: str | None, now: int, meter: Meter
) -> tuple[int, int] | None:
    """Return the times from which to which there are buckets; None where there is nothing to count."""
    first, last = wanted.since_us, wanted.until_us
    if last is None:
        last = now
    if first is not None:
        return (first, last) if first <= last else None
    condition, values = where(wanted, tenant_id=tenant_id)
    sql = f"""
        SELECT min(occurred_us), max(occurred_us), count() FROM events_by_time_as_stored
        WHERE occurred_us <= {{last_us:Int64}} AND {condition}
    """  # noqa: S608 - no value in it
    try:
        [(first, latest, events)] = clickhouse.query(
            sql, {**values, "last_us": last}, settings=meter.settings(0.5)
        ).rows
    except StorageLimitError as error:
        raise QueryError(
            "since: must be given: the budget does not suffice to look for the first event"
        ) from error
    if not events:
        return None
    return first, latest if wanted.until is None else last


def _outside(
    clickhouse: ClickHouse,
    wanted: SearchFilter,
    tenant_id: str | None,
    meter: Meter,
    now: int,
    before: int,
) -> tuple[LeftOut, ...]:
    found = (
        [] if wanted.until is not None else events_ahead(clickhouse, wanted, tenant_id, meter, now)
    )
    if before:
        why = f"there are {MAX_BUCKETS} buckets at most; since or larger buckets show them"
        found.append(LeftOut(what="events before the first bucket", how_many=before, why=why))
    return tuple(found)


def bucket_starts(first_us: int, last_us: int, by: BucketSize, zone: dt.tzinfo) -> list[int]:
    """Return when the buckets from *first_us* to *last_us* begin; of too many, one more than the last MAX_BUCKETS."""
    starts = [_floor(last_us, by, zone)]
    while starts[-1] > first_us and len(starts) <= MAX_BUCKETS:
        before = _floor(starts[-1] - 1, by, zone)
        if before >= starts[-1]:
            break
        starts.append(before)
    return starts[::-1]


def _floor(us: int, by: BucketSize, zone: dt.tzinfo) -> int:
    """Return when the minute, hour, day or month of *zone* began in which *us* lies."""
    if by == "minute":
        return us - us % 60_000_000
    local = in_zone(us, zone)
    start = local.replace(minute=0, second=0, microsecond=0)
    if by != "hour":
        start = start.replace(hour=0, day=local.day if by == "day" else 1, fold=0)
    try:
        found = (start.astimezone(dt.UTC) - _EPOCH) // _MICROSECOND
    except OverflowError:
        found = _FIRST_US  # the first month of all begins, by this zone's clock, before there is any time
    return min(found, us)
