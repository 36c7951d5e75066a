"""Filters as SQL: names of ours in the statement, every value of a caller's a bound parameter. Pure."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from trailhouse.query.filtering.by_standing import STANDING, standing_sql
from trailhouse.query.filtering.filters import (
    EventFilter,
    FleetFilter,
    SessionFilter,
    can_be_stored,
)
from trailhouse.query.filtering.search_filter import (
    FIELDS,
    OUTCOMES,
    Condition,
    Field,
    SearchFilter,
)

_CONDITIONS = {
    "run_id": "run_id = {run_id:String}",
    "types": "type IN {types:Array(String)}",
    "since_us": "occurred_us >= {since_us:Int64}",
    "until_us": "occurred_us <= {until_us:Int64}",
}
_OF_SESSION = "session_id = {session_id:String}"
_OF_TENANT = (
    " AND tenant_id = {tenant_id:String}"
    # The same once more, for the index: a session of another tenant is then one of nobody, and nothing of it is read.
    " AND concat(tenant_id, '/', session_id) = {tenant_session:String}"
)


def scope(wanted: SessionFilter) -> str:
    """Return the condition on the key that holds the rows of this session which the reader may see."""
    return f"{_OF_SESSION}{'' if wanted.tenant_id is None else _OF_TENANT}"


def scope_parameters(wanted: SessionFilter) -> dict[str, Any]:
    """Return the values that `scope` names."""
    found = {"session_id": wanted.session_id}
    if wanted.tenant_id is not None:
        found["tenant_id"] = wanted.tenant_id
        found["tenant_session"] = f"{wanted.tenant_id}/{wanted.session_id}"
    return found


def narrowing(wanted: EventFilter) -> list[str]:
    """Return the conditions beside session and tenant; `EventFilter.narrowing` has their values."""
    # `limit` narrows as well, but is no condition: it stands at the end of the statement.
    found = [_CONDITIONS[name] for name in wanted.narrowing if name in _CONDITIONS]
    if isinstance(wanted, SessionFilter) and wanted.standings is not None:
        found.append(of_standing(wanted, _OF_SESSION))
    return found


def of_standing(wanted: SessionFilter, events: str) -> str:
    """Return the condition that holds the events of the standings that *wanted* names; true where it names none.

    *events* is a condition on the index that holds all that are read.
    """
    if wanted.standings is None:
        return "true"
    within = f"occurred_us IN (SELECT occurred_us FROM events_by_time_as_stored WHERE {events})"  # noqa: S608 - names of ours
    return standing_sql(wanted.standings, lambda _, kind: f"{{standings:{kind}}}", within=within)


def limit(wanted: EventFilter) -> str:
    """Return the end of a SELECT that returns no more than was asked for."""
    return "" if wanted.limit is None else "LIMIT {limit:UInt64}"


def fleet_where(wanted: FleetFilter) -> str:
    """Return the WHERE that holds what is wanted of all sessions, empty for everything."""
    # Text without a UTF-8 form could not even be bound as a parameter.
    if wanted.is_hopeless:
        return "WHERE false"
    of_tenant = [] if wanted.tenant_id is None else ["tenant_id = {tenant_id:String}"]
    conditions = [*of_tenant, *narrowing(wanted)]
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def fleet_parameters(wanted: FleetFilter) -> dict[str, Any]:
    """Return the values that `fleet_where` and `limit` name."""
    tenant = {} if wanted.tenant_id is None else {"tenant_id": wanted.tenant_id}
    return wanted.narrowing if wanted.is_hopeless else tenant | wanted.narrowing


def where(
    wanted: SearchFilter,
    *,
    tenant_id: str | None = None,
    prefix: str = "f",
    within: str = "",
) -> tuple[str, dict[str, Any]]:
    """Return the condition that holds what *wanted* asks of fields and time, and the values that it names.

    Words in `data` are not of it: they need the record. What no event can carry, such as text without a UTF-8
    form, is equal to nothing.

    Args:
        wanted: What is asked for.
        tenant_id: The one tenant that the reader sees; None sees all.
        prefix: What the names of the values begin with.
        within: What is known of the time of the events, as a condition: it narrows what a standing is looked for in.
    """
    parts: list[str] = []
    values: dict[str, Any] = {}
    by_tenant: str | None = None

    def bound(value: object, kind: str) -> str:
        name = f"{prefix}{len(values)}"
        values[name] = value
        return f"{{{name}:{kind}}}"

    if tenant_id is not None:
        if can_be_stored(tenant_id):
            parts.append(f"tenant_id = {bound(tenant_id, 'String')}")
            by_tenant = tenant_id
        else:
            parts.append("false")
    times: list[str] = []
    if wanted.since_us is not None:
        times.append(f"occurred_us >= {bound(wanted.since_us, 'Int64')}")
    if wanted.until_us is not None:
        times.append(f"occurred_us <= {bound(wanted.until_us, 'Int64')}")
    parts += times
    known = " AND ".join([*times, *([within] if within else [])])
    for each in wanted.conditions:
        if each.field == STANDING:
            chosen = standing_sql(each.values, bound, within=known)
            parts.append(f"NOT {chosen}" if each.negated else chosen)
            continue
        parts.append(_condition(each, bound))
        if by_tenant is not None:
            parts += _of_tenant(each, by_tenant, bound)
    return " AND ".join(parts) or "true", values


_NUMBERS = {"count": "UInt64", "cost_usd": "Decimal(38, 18)", "duration_ms": "Float64"}
INDEXED_BY_TENANT = (
    "session_id", "run_id", "actor_id", "correlation_id", "trace_id", "tool_call_id",
)  # fmt: skip
"""Columns that `event_index` finds by filters, alone and with their tenant."""
OUTCOME = "extract(type, '[^_.]*$')"


def _condition(each: Condition, bound: Callable[[object, str], str]) -> str:
    field = FIELDS[each.field]
    positive = (_number if field.kind in _NUMBERS else _text)(each, field, bound)
    # Neither is ever NULL: an event without the field meets what is negated.
    return f"NOT ({positive})" if each.negated else positive


def _of_tenant(
    each: Condition, tenant_id: str, bound: Callable[[object, str], str]
) -> Iterator[str]:
    """Yield the same condition with the tenant, for the index: an id of another tenant is then one of nobody."""
    column = FIELDS[each.field].column
    if column not in INDEXED_BY_TENANT or each.operator == "has" or each.negated:
        return
    values = [f"{tenant_id}/{value}" for value in each.values if can_be_stored(str(value))]
    if values:
        yield f"concat(tenant_id, '/', {column}) IN {bound(values, 'Array(String)')}"


def _text(each: Condition, field: Field, bound: Callable[[object, str], str]) -> str:
    if field.kind == "outcome":
        values = list(OUTCOMES if each.operator == "has" else map(str, each.values))
        return f"{OUTCOME} IN {bound(values, 'Array(String)')}"
    if each.operator == "has":
        return f"{field.column} != ''"
    # Without its field a column is empty, so an empty value would find the events that lack it.
    values = [str(value) for value in each.values if can_be_stored(str(value))]
    if len(values) == 1:
        return f"{field.column} = {bound(values[0], 'String')}"
    return f"{field.column} IN {bound(values, 'Array(String)')}" if values else "false"


def _number(each: Condition, field: Field, bound: Callable[[object, str], str]) -> str:
    if each.operator == "has":
        return f"isNotNull({field.column})"
    kind = _NUMBERS[field.kind]
    amounts = [
        f"{field.column} {each.operator} {bound(format(Decimal(value), 'f'), kind)}"
        for value in each.values
    ]
    return f"ifNull({' OR '.join(amounts)}, false)"
