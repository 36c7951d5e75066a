"""The most frequent values of fields, with how many events have them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from trailhouse.query.answer import Answer
from trailhouse.query.budget import Meter, ReadBudget
from trailhouse.query.filtering.conditions import OUTCOME
from trailhouse.query.filtering.filters import whole_number
from trailhouse.query.filtering.search_filter import FIELDS, OUTCOMES, SearchFilter, field_named
from trailhouse.query.positions import stored_positions
from trailhouse.query.search.tally import CountedRows, Scope, Source, go_over
from trailhouse.query.search.totals import answer, now_us
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouse

FACET_FIELDS = tuple(name for name, field in FIELDS.items() if field.kind in ("text", "outcome"))
"""The fields that have facets: all but numbers."""
DEFAULT_FIELDS = ("type", "agent", "tool", "tenant")
MAX_FIELDS = 10
DEFAULT_VALUES, MAX_VALUES = 10, 1_000


class FacetValue(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a field, and how many events have it.

    Attributes:
        value: The value; None stands for the events without the field.
        events: How many.
    """

    value: str | None
    events: int


class Facet(msgspec.Struct, frozen=True, kw_only=True):
    """The most frequent values of one field.

    Attributes:
        field: The field, by its name in a filter.
        values: Its most frequent values, the most frequent first; of equal ones in order of their bytes.
        other_values: How many more values there are.
        other_events: How many events have those.
    """

    field: str
    values: tuple[FacetValue, ...]
    other_values: int
    other_events: int


class _Found(NamedTuple):
    """One value of the field at `place`, its events, and how many values and events the field has in all."""

    place: int
    value: str
    events: int
    all_values: int
    all_events: int


def facets(
    clickhouse: ClickHouse,
    wanted: SearchFilter,
    tenant_id: str | None,
    budget: ReadBudget,
    fields: Sequence[str] = DEFAULT_FIELDS,
    limit: int = DEFAULT_VALUES,
) -> Answer[tuple[Facet, ...]]:
    """Return the most frequent values of each of *fields*, with how many events have them.

    Raises:
        QueryError: A field is unknown or a number, or the limit is out of range. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    if whole_number(limit) > MAX_VALUES:
        raise QueryError(f"limit: must be at most {MAX_VALUES}")
    names = _field_names(fields)
    as_of = stored_positions(clickhouse)
    scope = Scope(wanted, tenant_id, now_us())
    selected = CountedRows(clickhouse, scope)
    found: list[_Found] = []
    parts: dict[int, Counter[str]] = defaultdict(Counter)

    def look(first: int, last: int, settings: Mapping[str, str]) -> bool:
        is_whole = (first, last) == (scope.first_us, scope.last_us)
        most = limit if is_whole else None
        rows = _rows(clickhouse, selected, names, most, _Within(first, last, settings))
        if is_whole:
            found.extend(_Found._make(each[:-1]) for each in rows)
        else:
            for place, value, events, *_ in rows:
                parts[place][value] += events
        return False

    reached = go_over(clickhouse, scope, Meter(budget), look)
    found += _top(parts, limit)
    made = tuple(
        _facet(name, [each for each in found if each.place == place])
        for place, name in enumerate(names)
    )
    return answer(made, reached, (), as_of)


class _Within(NamedTuple):
    """The times from which to which is looked, both included, and the settings of a statement that does."""

    first_us: int
    last_us: int
    settings: Mapping[str, str]


def _rows(
    clickhouse: ClickHouse,
    selected: CountedRows,
    names: Sequence[str],
    limit: int | None,
    within: _Within,
) -> Sequence[tuple[Any, ...]]:
    """Return place, value and events of the most frequent values, with how many values and events there are."""
    bound = {**selected.values, "first_us": within.first_us, "last_us": within.last_us}
    rows: Sequence[tuple[Any, ...]] = ()
    for source in selected.sources(_columns(names), *within):
        sql = _top_sql(_groups_sql(names, source), limit)
        rows = clickhouse.query(sql, bound, settings=within.settings).rows
        # Every event is in each field's values: the rows that were read are those of any one.
        if source.holds(rows[0][-1] if rows else 0):
            break
    return rows


def _field_names(fields: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys([fields] if isinstance(fields, str) else fields))
    if not 0 < len(names) <= MAX_FIELDS:
        raise QueryError(f"fields: must be 1 to {MAX_FIELDS} fields")
    for name in names:
        field_named(name)  # an unknown one is refused as such
        if name not in FACET_FIELDS:
            raise QueryError(
                f"{name}: is a number and has no facets; these have: {', '.join(FACET_FIELDS)}"
            )
    return names


def _columns(names: Sequence[str]) -> str:
    """Return the columns that these fields are made of."""
    return ", ".join(dict.fromkeys(FIELDS[name].column for name in names))


def _groups_sql(names: Sequence[str], source: Source) -> str:
    """Return the SELECT of place, value, events and rows read of every value: all fields in one reading."""
    inner = ", ".join(f"{_expression(name)} AS f{place}" for place, name in enumerate(names))
    sets = ", ".join(f"(f{place})" for place in range(len(names)))
    # Of each row the one field that it is grouped by: the others are empty.
    place = "".join(f"grouping(f{place}) = 0, {place}, " for place in range(len(names)))
    value = ", ".join(f"toString(f{place})" for place in range(len(names)))
    return f"""
        SELECT multiIf({place} -1) AS place, [{value}][place + 1] AS value,
            count() AS events, sum(read) AS all_read
        FROM (SELECT {inner}, {source.copies} AS read FROM {source.rows})
        GROUP BY GROUPING SETS ({sets})
    """  # noqa: S608 - no value in it


def _top_sql(groups: str, limit: int | None) -> str:
    """Return the SELECT of the most frequent values of each field, with how many there are in all; None: of all."""
    most = "" if limit is None else f"LIMIT {limit} BY place"
    return f"""
        SELECT place, value, events, count() OVER of_field, sum(events) OVER of_field, sum(all_read) OVER of_field
        FROM ({groups})
        WINDOW of_field AS (PARTITION BY place)
        ORDER BY place, events DESC, value {most}
    """  # noqa: S608 - no value in it


def _expression(name: str) -> str:
    field = FIELDS[name]
    if field.kind == "text":
        return field.column
    known = ", ".join(f"'{outcome}'" for outcome in OUTCOMES)
    return f"if({OUTCOME} IN ({known}), {OUTCOME}, '')"


def _top(parts: Mapping[int, Counter[str]], limit: int) -> list[_Found]:
    found: list[_Found] = []
    for place, values in parts.items():
        ordered = sorted(values.items(), key=lambda pair: (-pair[1], pair[0].encode()))[:limit]
        found += [
            _Found(place, value, events, len(values), values.total()) for value, events in ordered
        ]
    return found


def _facet(name: str, found: Sequence[_Found]) -> Facet:
    all_values = found[0].all_values if found else 0
    all_events = found[0].all_events if found else 0
    return Facet(
        field=name,
        values=tuple(FacetValue(value=each.value or None, events=each.events) for each in found),
        other_values=all_values - len(found),
        other_events=all_events - sum(each.events for each in found),
    )
