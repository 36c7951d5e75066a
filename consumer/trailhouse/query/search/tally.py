"""Count events by anything: over everything at once, or slice by slice as far as the budget reaches."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from trailhouse.query.answer import LeftOut
from trailhouse.query.budget import Meter
from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.filtering.words import words_where
from trailhouse.query.search.found import KEY
from trailhouse.query.search.slices import FIRST_US, LAST_US, Look, Span, go_through, trimmed
from trailhouse.store import ClickHouse


class Tally(NamedTuple):
    """How many events there are of each key, and the first time that was not looked at; None when all was."""

    events: Counter[Any]
    reached: int | None


class Scope(NamedTuple):
    """Whose events of which times are counted, and against which clock."""

    wanted: SearchFilter
    tenant_id: str | None
    now_us: int

    @property
    def first_us(self) -> int:
        """The earliest time that is asked for."""
        return FIRST_US if self.wanted.since_us is None else self.wanted.since_us

    @property
    def last_us(self) -> int:
        """The latest time that is asked for: clocks that lie ahead count too."""
        return LAST_US if self.wanted.until_us is None else self.wanted.until_us


def tally(
    clickhouse: ClickHouse,
    scope: Scope,
    meter: Meter,
    key: str,
    values: Mapping[str, Any] | None = None,
) -> Tally:
    """Count the events of *scope* by the expression *key*, each once, the newest first.

    Args:
        clickhouse: Where they are.
        scope: Which events.
        meter: What it may still cost.
        key: What to count by, in SQL: names of ours; its values are bound.
        values: What *key* names.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    selected, bound = counted_rows(scope)
    bound |= values or {}
    sql = f"SELECT {key} AS counted, count() FROM {selected} GROUP BY counted"  # noqa: S608 - no value in it
    counted: Counter[Any] = Counter()

    def look(first: int, last: int, settings: Mapping[str, str]) -> bool:
        span = {"first_us": first, "last_us": last}
        counted.update(dict(clickhouse.query(sql, {**bound, **span}, settings=settings).rows))
        return False

    return Tally(counted, go_over(clickhouse, scope, meter, look))


def go_over(clickhouse: ClickHouse, scope: Scope, meter: Meter, look: Look) -> int | None:
    """Let *look* see all of *scope*, the newest first; return as `go_through`.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    span = Span(scope.first_us, scope.last_us)
    if not scope.wanted.words:
        return go_through(meter, span, look, now_us=scope.now_us)
    span, now = trimmed(clickhouse, span, scope.now_us)
    return go_through(meter, span, look, whole_first=False, now_us=now)


def counted_rows(scope: Scope) -> tuple[str, dict[str, Any]]:
    """Return what follows FROM for the events of *scope*, each once, within two bound times, and its values."""
    condition, bound = where(scope.wanted, tenant_id=scope.tenant_id)
    where_sql = (
        f"WHERE occurred_us BETWEEN {{first_us:Int64}} AND {{last_us:Int64}} AND {condition}"
    )
    if not scope.wanted.words:
        return f"events_by_time {where_sql}", bound
    # Words need the records, which are of the log; a copy of one is as good as the first.
    text, words = words_where(scope.wanted.words)
    selected = f"(SELECT * FROM events_as_stored {where_sql} AND {text} LIMIT 1 BY {KEY})"  # noqa: S608 - no value in it
    return selected, {**bound, **words}


def uncounted(reached: int | None) -> tuple[LeftOut, ...]:
    """Return what a count did not reach, as its answer says it."""
    if reached is None:
        return ()
    why = "the budget was spent before they were counted; ask for less, or give it a larger budget"
    return (LeftOut(what="older events", why=why),)
