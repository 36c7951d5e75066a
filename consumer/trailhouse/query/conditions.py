"""Filters as SQL: names of ours in the statement, every value of a caller's a bound parameter. Pure."""

from typing import Any

from trailhouse.query.filters import EventFilter, FleetFilter, SessionFilter

_CONDITIONS = {
    "run_id": "run_id = {run_id:String}",
    "types": "type IN {types:Array(String)}",
    "since_us": "occurred_us >= {since_us:Int64}",
    "until_us": "occurred_us <= {until_us:Int64}",
}


def scope(wanted: SessionFilter) -> str:
    """Return the condition on the key that holds the rows of this session which the reader may see."""
    of_tenant = "" if wanted.tenant_id is None else " AND tenant_id = {tenant_id:String}"
    return "session_id = {session_id:String}" + of_tenant


def scope_parameters(wanted: SessionFilter) -> dict[str, Any]:
    """Return the values that `scope` names."""
    tenant = {} if wanted.tenant_id is None else {"tenant_id": wanted.tenant_id}
    return {"session_id": wanted.session_id, **tenant}


def narrowing(wanted: EventFilter) -> list[str]:
    """Return the conditions beside session and tenant; `EventFilter.narrowing` has their values."""
    # `limit` narrows as well, but is no condition: it stands at the end of the statement.
    return [_CONDITIONS[name] for name in wanted.narrowing if name in _CONDITIONS]


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
