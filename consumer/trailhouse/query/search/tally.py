"""Count events by anything: over everything at once, or slice by slice as far as the budget reaches."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trailhouse.query.answer import LeftOut
from trailhouse.query.budget import Meter
from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.filtering.words import words_where
from trailhouse.query.search.count_by_parts import count_by_parts
from trailhouse.query.search.found import KEY
from trailhouse.query.search.slices import FIRST_US, LAST_US, Look, Span, go_through, trimmed
from trailhouse.store import ClickHouse

FEW_ROWS = 500_000
"""A merge while reading costs the same for few rows as for all, and four times as much as to read them; to tell so
many rows apart by their keys takes less, whatever parts they stand in."""

ROWS_AT_ONCE = 16_000
"""To read so many in vain, where more are found, costs the engine 20 to 40 ms of CPU; of four times as many it is twice
that. Where no more are found it saves to count them, a tenth to a quarter of the answer, and more of a larger log."""


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
    rows = CountedRows(clickhouse, scope)
    counted: Counter[Any] = Counter()

    def groups(source: Source) -> str:
        return f"SELECT {key} AS counted, count(), sum({source.copies}) FROM {source.rows} GROUP BY counted"  # noqa: S608 - no value in it

    def look(first: int, last: int, settings: Mapping[str, str]) -> bool:
        bound = {**rows.values, **(values or {}), "first_us": first, "last_us": last}
        for source in rows.sources("occurred_us", first, last, settings):
            found = clickhouse.query(groups(source), bound, settings=settings).rows
            if source.holds(sum(read for _, _, read in found)):
                counted.update({each: events for each, events, _ in found})
                break
        return False

    return Tally(counted, go_over(clickhouse, scope, meter, look))


def total(clickhouse: ClickHouse, scope: Scope, meter: Meter) -> Tally:
    """Count all events of *scope*, each once, the newest first; their one key is None.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = CountedRows(clickhouse, scope)
    counted: Counter[Any] = Counter()

    def look(first: int, last: int, settings: Mapping[str, str]) -> bool:
        counted[None] += rows.number(first, last, settings)
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


ANY = 2**63
"""Of a source that takes all rows."""


class Source(NamedTuple):
    """What follows FROM for each event once: what counts the rows that were read for one, and how many it can take."""

    rows: str
    copies: str
    most_rows: int

    def holds(self, rows: int) -> bool:
        """Tell whether all events are in it, if *rows* rows were read for them."""
        return rows <= self.most_rows


class CountedRows:
    """What follows FROM for the events of *scope*, each once, within two bound times."""

    def __init__(self, clickhouse: ClickHouse, scope: Scope) -> None:
        self._clickhouse = clickhouse
        self._scope = scope
        _, bound = where(scope.wanted, tenant_id=scope.tenant_id)
        self._is_narrowed = bool(scope.wanted.conditions) or scope.tenant_id is not None
        # Words need the records, which are of the log; a copy of one is as good as the first.
        self._words, words = words_where(scope.wanted.words) if scope.wanted.words else ("", {})
        self.values: dict[str, Any] = {**bound, **words}

    def sources(
        self, columns: str, first: int, last: int, settings: Mapping[str, str]
    ) -> Iterator[Source]:
        """Yield where to read *columns* of each event once, in the order to try: what `holds` is whole.

        Of a question that is narrowed there may be very few rows: they are told apart while they are found, which saves
        to look twice. More than that are counted first: few are told apart by their keys, many by a merge.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        stored = self._from("events_by_time_as_stored", first, last)
        if self._is_narrowed and not self._words:
            found = f"(SELECT {columns}, record_key FROM {stored} LIMIT {ROWS_AT_ONCE + 1})"  # noqa: S608 - no value in it
            once = ", ".join(f"any({each}) AS {each}" for each in columns.split(", "))
            yield Source(
                f"(SELECT {once}, count() AS copies FROM {found} GROUP BY record_key)",  # noqa: S608 - likewise
                "copies",
                ROWS_AT_ONCE,
            )
            [(rows,)] = self._asked(f"SELECT count() FROM {stored}", first, last, settings)  # noqa: S608 - likewise
            if rows <= FEW_ROWS:
                yield Source(f"(SELECT * FROM {stored} LIMIT 1 BY record_key)", "0", ANY)  # noqa: S608 - likewise
                return
        yield Source(self._whole(first, last), "0", ANY)

    def _whole(self, first: int, last: int) -> str:
        if self._words:
            stored = f"{self._from('events_as_stored', first, last)} AND {self._words}"
            return f"(SELECT * FROM {stored} LIMIT 1 BY {KEY})"  # noqa: S608 - no value in it
        return self._from("events_by_time", first, last)

    def _from(self, view: str, first: int, last: int) -> str:
        """Return *view* and the condition that holds the events of the times from *first* to *last*."""
        # Of all times none is asked for: to read them for it costs up to a third of a count.
        is_all = (first, last) == (FIRST_US, LAST_US)
        times = "" if is_all else "occurred_us BETWEEN {first_us:Int64} AND {last_us:Int64}"
        condition, _ = where(self._scope.wanted, tenant_id=self._scope.tenant_id, within=times)
        return f"{view} WHERE {' AND '.join([*([times] if times else []), condition])}"

    def number(self, first: int, last: int, settings: Mapping[str, str]) -> int:
        """Return how many events there are in the times from *first* to *last*.

        Few rows are told apart by their keys while they are found, which saves to look twice; more than that are not
        read on, and merged. All events are counted by the index's parts, where these hardly overlap.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        if self._is_narrowed and not self._words:
            stored = self._from("events_by_time_as_stored", first, last)
            few = f"SELECT record_key FROM {stored} LIMIT {FEW_ROWS + 1}"  # noqa: S608 - no value in it
            sql = f"SELECT count(), uniqExact(reinterpretAsUInt128(record_key)) FROM ({few})"  # noqa: S608 - likewise
            [(rows, events)] = self._asked(sql, first, last, settings)
            if rows <= FEW_ROWS:
                return int(events)
        elif (first, last) == (FIRST_US, LAST_US) and not self._words:
            counted = count_by_parts(
                lambda sql, values: self._clickhouse.query(sql, values, settings=settings).rows
            )
            if counted is not None:
                return counted
        sql = f"SELECT count() FROM {self._whole(first, last)}"  # noqa: S608 - likewise
        [(events,)] = self._asked(sql, first, last, settings)
        return int(events)

    def _asked(
        self, sql: str, first: int, last: int, settings: Mapping[str, str]
    ) -> Sequence[tuple[Any, ...]]:
        bound = {**self.values, "first_us": first, "last_us": last}
        return self._clickhouse.query(sql, bound, settings=settings).rows


def uncounted(reached: int | None) -> tuple[LeftOut, ...]:
    """Return what a count did not reach, as its answer says it."""
    if reached is None:
        return ()
    why = "the budget was spent before they were counted; ask for less, or give it a larger budget"
    return (LeftOut(what="older events", why=why),)
