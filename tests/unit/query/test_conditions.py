"""Filters as SQL: what is asked of all sessions, and that every value is bound."""

import datetime as dt
import re

import pytest

from trailhouse.query.filtering.conditions import fleet_parameters, fleet_where, limit, narrowing
from trailhouse.query.filtering.filters import EventFilter, FleetFilter, fleet_filter
from trailhouse.schemas.errors import QueryError

SINCE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FULL = FleetFilter(
    tenant_id="'; DROP", run_id="'; DROP", types=("a",), since_us=1, until_us=2, limit=3
)


def test_without_a_filter_all_is_wanted() -> None:
    """A reader of every tenant who narrows nothing reads without a condition."""
    wanted = fleet_filter(tenant_id=None)
    assert (fleet_where(wanted), limit(wanted), fleet_parameters(wanted)) == ("", "", {})


def test_a_tenant_and_a_time_are_conditions_with_bound_values() -> None:
    """Each thing that was asked for is one condition; the values travel beside the statement."""
    wanted = fleet_filter(tenant_id="acme", since=SINCE, limit=5)
    assert (
        fleet_where(wanted)
        == "WHERE tenant_id = {tenant_id:String} AND occurred_us >= {since_us:Int64}"
    )
    assert fleet_parameters(wanted) == {
        "tenant_id": "acme",
        "since_us": int(SINCE.timestamp()) * 1_000_000,
        "limit": 5,
    }


def test_every_field_narrows_and_every_value_is_bound() -> None:
    """No field of a filter is forgotten in SQL, and the statement names exactly the values it is given."""
    assert set(FULL.narrowing) | {"tenant_id"} == set(EventFilter.__struct_fields__)
    statement = f"{fleet_where(FULL)} {limit(FULL)}"
    assert len(narrowing(FULL)) == len(FULL.narrowing) - 1
    assert set(re.findall(r"\{(\w+):", statement)) == set(fleet_parameters(FULL))
    assert "DROP" not in statement


def test_what_no_event_carries_matches_nothing() -> None:
    """A tenant that cannot be stored finds nothing, and is never sent."""
    wanted = fleet_filter(tenant_id="\ud800")
    assert fleet_where(wanted) == "WHERE false"
    assert fleet_parameters(wanted) == {}


def test_a_naive_time_and_no_sessions_are_refused() -> None:
    """The rules are those of one session's filter."""
    with pytest.raises(QueryError, match="since: must have a time zone"):
        fleet_filter(tenant_id=None, since=SINCE.replace(tzinfo=None))
    with pytest.raises(QueryError, match="limit: must be at least 1"):
        fleet_filter(tenant_id=None, limit=0)
