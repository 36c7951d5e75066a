"""Find one event by its id alone: by the time that the id tells, and else by looking at every id."""

import uuid
from typing import Any

import msgspec

from trailhouse.query.answer import LeftOut, Page
from trailhouse.query.budget import Meter, ReadBudget
from trailhouse.query.positions import stored_positions
from trailhouse.query.search.found import LOG_COLUMNS, FoundEvent, Row, with_records
from trailhouse.schemas.errors import QueryError, StorageLimitError
from trailhouse.store import ClickHouse

AROUND_US = 2_000_000
"""How far an event may lie from the time in its id, to be found quickly: the id is drawn when the event is made."""
_ANY_SIZE = 2**62
_WAY_OUT = (
    "the budget was spent before every id was looked at; give it a larger one, or search by session"
)


def get_event(
    clickhouse: ClickHouse, event_id: str, tenant_id: str | None, budget: ReadBudget
) -> Page[FoundEvent]:
    """Return the event of that id with its whole record; none, or several where contents conflict.

    Raises:
        QueryError: The id is not text. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    wanted = _uuid(event_id)
    if wanted is None:
        return Page(items=())
    meter = Meter(budget)
    as_of = stored_positions(clickhouse)
    scope, values = "", {"event_id": str(wanted)}
    if tenant_id is not None:
        scope, values = "AND tenant_id = {tenant:String}", {**values, "tenant": tenant_id}
    spent = Page[FoundEvent](
        items=(),
        complete=False,
        left_out=(LeftOut(what="events", why=_WAY_OUT),),
        as_of=as_of,
    )
    try:
        sessions = _near(clickhouse, wanted, scope, values, meter) or _anywhere(
            clickhouse, scope, values, meter
        )
        rows = _in_sessions(clickhouse, sessions, scope, values, meter) if sessions else []
    except StorageLimitError:
        return spent
    items = tuple(with_records(clickhouse, rows, meter, _ANY_SIZE))
    if len(items) < len(rows):
        return msgspec.structs.replace(spent, items=items)
    return Page(items=items, as_of=as_of)


def _uuid(event_id: object) -> uuid.UUID | None:
    if not isinstance(event_id, str):
        raise QueryError(f"event_id: must be a string, got {type(event_id).__name__}")
    try:
        return uuid.UUID(event_id)
    except ValueError:
        # Text that is no UUID is the id of nothing.
        return None


def _near(
    clickhouse: ClickHouse, wanted: uuid.UUID, scope: str, values: dict[str, Any], meter: Meter
) -> list[str]:
    """Return the sessions with that id among the events that happened when it was drawn."""
    if wanted.version != 7:
        return []
    drawn_us = (wanted.int >> 80) * 1_000
    between = "occurred_us BETWEEN {first_us:Int64} AND {last_us:Int64}"
    sql = f"""
        SELECT DISTINCT session_id FROM events_as_stored
        WHERE session_id IN (SELECT session_id FROM events_by_time_as_stored WHERE {between} {scope})
            AND {between} {scope} AND event_id = {{event_id:UUID}}
    """  # noqa: S608 - no value in it
    span = {"first_us": drawn_us - AROUND_US, "last_us": drawn_us + AROUND_US}
    rows = clickhouse.query(sql, {**values, **span}, settings=meter.settings()).rows
    return [session for (session,) in rows]


def _anywhere(
    clickhouse: ClickHouse, scope: str, values: dict[str, Any], meter: Meter
) -> list[str]:
    sql = f"SELECT DISTINCT session_id FROM events_as_stored WHERE event_id = {{event_id:UUID}} {scope}"  # noqa: S608 - no value in it
    rows = clickhouse.query(sql, values, settings=meter.settings()).rows
    return [session for (session,) in rows]


def _in_sessions(
    clickhouse: ClickHouse, sessions: list[str], scope: str, values: dict[str, Any], meter: Meter
) -> list[Row]:
    """Return every content that came under that id in these sessions, the first appended first."""
    sql = f"""
        SELECT {LOG_COLUMNS} FROM events
        WHERE session_id IN {{sessions:Array(String)}} AND event_id = {{event_id:UUID}} {scope}
        ORDER BY appended_at, kafka_topic_id, kafka_partition, kafka_offset
    """  # noqa: S608 - no value in it
    rows = clickhouse.query(sql, {**values, "sessions": sessions}, settings=meter.settings()).rows
    return [Row(*row) for row in rows]
