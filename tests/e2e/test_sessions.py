"""Sessions against the real engine, held against answers worked out apart from any SQL."""

from collections.abc import Iterator

import msgspec
import pytest

from cluster import Cluster
from fleet import books, fleet, runs_of, status_of
from projected import fleet_database
from trailhouse.query import AuditReader
from trailhouse.query.run_status import RUN_STATUSES
from trailhouse.query.runs.sessions import SessionSummary
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouseConfig

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def config(cluster: Cluster) -> ClickHouseConfig:
    """Return a database that holds the fleet."""
    return fleet_database(cluster)


@pytest.fixture(scope="module")
def reader(config: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants."""
    with AuditReader(config=config) as opened:
        yield opened


def session_key(event: AuditEvent) -> tuple[str, str]:
    """Return what tells the event's session from every other."""
    return event.session_id, event.tenant_id or ""


def test_every_session_is_what_its_events_say(reader: AuditReader) -> None:
    """Sessions come newest start first, each once, with their runs by status, names and both books."""
    of_session: dict[tuple[str, str], list[AuditEvent]] = {}
    for each in sorted(fleet(), key=lambda each: each.occurred_at):
        of_session.setdefault(session_key(each), []).append(each)
    runs = runs_of(fleet())
    found: list[SessionSummary] = []
    cursor = None
    while True:
        page = reader.sessions(limit=13, cursor=cursor)
        found += page.items
        cursor = page.next
        if cursor is None:
            break
    keys = [(each.session_id, each.tenant_id or "") for each in found]
    assert keys == sorted(
        of_session, key=lambda key: (of_session[key][0].occurred_at, key), reverse=True
    )
    for session, key in zip(found, keys, strict=True):
        events = of_session[key]
        statuses = [status_of(run) for run_key, run in runs.items() if run_key[:2] == key]
        assert session.events == len(events)
        assert (session.started_at, session.last_event_at) == (
            events[0].occurred_at,
            events[-1].occurred_at,
        )
        assert session.runs == len(statuses)
        assert session.runs_by_status == {name: statuses.count(name) for name in RUN_STATUSES}
        assert session.providers == tuple(
            sorted({each.provider for each in events if each.provider})
        )
        assert session.agents == tuple(sorted({each.agent_id for each in events if each.agent_id}))
        assert tuple(
            map(msgspec.structs.asdict, (session.books.increments, session.books.totals))
        ) == books(events)


def test_a_session_stands_as_its_last_event_says(reader: AuditReader) -> None:
    """A session that was paused is paused; one that says nothing of itself has no status."""
    [session] = reader.sessions("session:lifecycle").items
    assert session.status == "paused"
    assert [each.session_id for each in reader.sessions(status="paused").items] == ["lifecycle"]
    [recorded] = reader.sessions("session:airline-07").items
    assert recorded.status is None
