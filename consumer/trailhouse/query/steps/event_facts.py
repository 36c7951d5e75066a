"""What a timeline is made of: each event's small columns and, where its record is not too heavy, its `data`."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from trailhouse.query.budget import Asks
from trailhouse.query.filtering.conditions import narrowing, scope, scope_parameters
from trailhouse.query.filtering.filters import SessionFilter
from trailhouse.query.filtering.search_filter import MAX_FILTER_BYTES
from trailhouse.schemas.codec import decode_envelope
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.record_hash import record_key
from trailhouse.store.tables import LATEST_MS

MAX_FACTS = 20_000
"""So many events are looked at for one timeline."""
RECORDS_PER_QUERY = 200
"""So many are asked for by key at once: a statement's values travel in its address, which servers bound."""
MAX_RECORD_BYTES = 32 * 1024 * 1024
"""So many bytes of records are read for one timeline, the light ones first."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_COLUMNS = (
    "session_id", "tenant_id", "event_id", "record_key", "type", "run_id", "parent_run_id", "agent_id", "occurred_us",
    "actor_type", "actor_id", "provider", "model", "tool_name", "tool_call_id", "error_code",
    "input_tokens", "output_tokens", "total_tokens", "cost_usd", "duration_ms", "record_bytes", "appended_ms",
)  # fmt: skip
_SOURCES = {
    "record_bytes": "length(record) AS record_bytes",
    "appended_ms": "toUnixTimestamp64Milli(appended_at) AS appended_ms",
}
_RowKey = tuple[str, str, int, bytes]
"""What finds a record in the log: session, tenant, time, and its own key."""
_SELECTED = ", ".join(_SOURCES.get(name, name) for name in _COLUMNS)


class EventFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One event without its record; text is empty and a number None where the event does not say it.

    Attributes:
        session_id: Its session.
        type: Its type.
        occurred_us: When it happened by the producer's clock, microseconds since 1970 UTC.
        event_id: Its id.
        record_key: What tells its record from every other of its session.
        tenant_id: Its tenant.
        run_id: Its run.
        parent_run_id: The run that started its run.
        agent_id: Its agent.
        actor_type: Of the actor.
        actor_id: The actor.
        provider: Of the model.
        model: The model.
        tool_name: The tool.
        tool_call_id: The tool call, its approval included.
        error_code: The error's code.
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        total_tokens: Both, where the event says so.
        cost_usd: US dollars.
        duration_ms: How long it took, as the producer says.
        record_bytes: The size of its record.
        appended_ms: When Kafka took it by the broker's clock, milliseconds since 1970 UTC; None if it did not say.
        data: Its `data`; None where the record was too heavy to be read, or is not what was appended.
    """

    session_id: str
    type: str
    occurred_us: int
    event_id: str = ""
    record_key: bytes = b""
    tenant_id: str = ""
    run_id: str = ""
    parent_run_id: str = ""
    agent_id: str = ""
    actor_type: str = ""
    actor_id: str = ""
    provider: str = ""
    model: str = ""
    tool_name: str = ""
    tool_call_id: str = ""
    error_code: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: Decimal | None = None
    duration_ms: float | None = None
    record_bytes: int = 0
    appended_ms: int | None = None
    data: Mapping[str, Any] | None = None

    @property
    def occurred_at(self) -> dt.datetime:
        """When it happened, by the producer's clock."""
        return moment(self.occurred_us)

    def text(self, name: str, longest: int = 256) -> str:
        """Return what its data says under *name*, cut to *longest* characters; empty if that is no text."""
        value = None if self.data is None else self.data.get(name)
        return value[:longest] if isinstance(value, str) else ""

    def number(self, name: str) -> int | None:
        """Return the whole number of 64 bits that its data has under *name*, None for anything else."""
        value = None if self.data is None else self.data.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        return value if -(2**63) <= value < 2**63 else None


class Facts(NamedTuple):
    """Events in occurrence order, and what was left out of them."""

    events: list[EventFacts]
    more: int
    """Events beyond those: not looked at."""
    heavy: int
    """Events whose `data` was not read, for its size."""
    altered: int
    """Events whose record is not what was appended: their columns cannot be trusted."""


def moment(microseconds: int) -> dt.datetime:
    """Return the time that *microseconds* since 1970 UTC are."""
    return _EPOCH + dt.timedelta(microseconds=microseconds)


def read_session_facts(
    clickhouse: Asks,
    wanted: SessionFilter,
    most: int = MAX_FACTS,
    runs: Sequence[str] | None = None,
) -> Facts:
    """Return the first *most* events that *wanted* selects of its session, each once, in occurrence order.

    That order is of the records alone: to store them again, or in another order, moves nothing.

    Args:
        clickhouse: Where to ask.
        wanted: The session, and what is wanted of it.
        most: So many at most.
        runs: The runs that are wanted, in place of the one of *wanted*.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    if runs is not None:
        wanted = msgspec.structs.replace(wanted, run_id=None)
    narrowed = [
        *narrowing(wanted),
        *(["run_id IN {runs:Array(String)}"] if runs is not None else []),
    ]
    where = " AND ".join([scope(wanted), *narrowed])
    sql = f"""
        SELECT {_SELECTED}, count() OVER () AS all_events FROM events WHERE {where}
        ORDER BY occurred_us, tenant_id, record_key LIMIT {{most:UInt64}}
    """  # noqa: S608 - names of ours; every value is a bound parameter
    values = scope_parameters(wanted) | wanted.narrowing | {"most": most}
    if runs is not None:
        values["runs"] = list(runs)
    rows = clickhouse.query(sql, values).rows
    found = [facts_of_row(row[:-1]) for row in rows]
    return with_data(clickhouse, found, where, values, more=rows[0][-1] - len(found) if rows else 0)


def read_facts(
    clickhouse: Asks, where: str, values: Mapping[str, Any], most: int = MAX_FACTS
) -> Facts:
    """Return the first *most* events that *where*, a condition on `events`, selects, each once: by session and time.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found = read_columns(clickhouse, where, values, most + 1)
    return with_data(clickhouse, found[:most], where, values, more=len(found[most:]))


def read_columns(
    clickhouse: Asks, where: str, values: Mapping[str, Any], most: int
) -> list[EventFacts]:
    """Return the same without their `data`.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    sql = f"""
        SELECT {_SELECTED} FROM events WHERE {where}
        ORDER BY session_id, tenant_id, occurred_us, record_key LIMIT {{most:UInt64}}
    """  # noqa: S608 - names of ours; every value is a bound parameter
    return [facts_of_row(row) for row in clickhouse.query(sql, {**values, "most": most}).rows]


def facts_of_row(row: Sequence[Any]) -> EventFacts:
    """Return what a row of `_COLUMNS` says."""
    fields = dict(zip(_COLUMNS, row, strict=True))
    if fields["appended_ms"] >= LATEST_MS:
        fields["appended_ms"] = None
    return EventFacts(**fields)


def with_data(
    clickhouse: Asks,
    found: Sequence[EventFacts],
    where: str,
    values: Mapping[str, Any],
    more: int,
) -> Facts:
    """Return *found*, of which *where* selects *more*, with their `data`: of the lightest, within MAX_RECORD_BYTES.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    chosen = _light(found)
    # One question by the same condition; by keys only where that would read more than was chosen.
    records = (
        _records_by_key(clickhouse, chosen)
        if more
        else _records_where(clickhouse, chosen, where, values)
    )
    events, altered = [], 0
    for each in found:
        record = records.get(_row_key(each))
        data = None if record is None else _data_of(each, record)
        altered += record is not None and data is None
        events.append(each if data is None else msgspec.structs.replace(each, data=data))
    return Facts(events, more, len(found) - len(chosen), altered)


def _light(found: Sequence[EventFacts]) -> list[EventFacts]:
    """Return those of *found* that are no heavier than a size at which all of them together fit."""
    ordered = sorted(found, key=lambda event: event.record_bytes)
    left = MAX_RECORD_BYTES
    for place, each in enumerate(ordered):
        left -= each.record_bytes
        if left < 0:
            return [event for event in ordered[:place] if event.record_bytes < each.record_bytes]
    return ordered


def _row_key(event: EventFacts) -> _RowKey:
    return event.session_id, event.tenant_id, event.occurred_us, event.record_key


def _records_where(
    clickhouse: Asks, chosen: Sequence[EventFacts], where: str, values: Mapping[str, Any]
) -> dict[_RowKey, bytes]:
    if not chosen:
        return {}
    heaviest = max(each.record_bytes for each in chosen)
    return _records(
        clickhouse,
        f"({where}) AND length(record) <= {{heaviest:UInt64}}",
        {**values, "heaviest": heaviest},
    )


def _records_by_key(clickhouse: Asks, chosen: Sequence[EventFacts]) -> dict[_RowKey, bytes]:
    found: dict[_RowKey, bytes] = {}
    # Neighbours share granules: by session and time, a statement reads few of them.
    ordered = sorted(chosen, key=_row_key)
    for part in _parts(ordered):
        found |= _records(
            clickhouse,
            "session_id IN {sessions:Array(String)} AND tenant_id IN {tenants:Array(String)}"
            " AND occurred_us >= {first_us:Int64}"
            " AND occurred_us <= {last_us:Int64} AND hex(record_key) IN {keys:Array(String)}",
            {
                "sessions": list({each.session_id for each in part}),
                "tenants": list({each.tenant_id for each in part}),
                "first_us": min(each.occurred_us for each in part),
                "last_us": max(each.occurred_us for each in part),
                "keys": list({each.record_key.hex().upper() for each in part}),
            },
        )
    return found


def _parts(ordered: Sequence[EventFacts]) -> Iterator[list[EventFacts]]:
    """Cut *ordered* so that each part's keys and sessions fit the address of a statement."""
    part: list[EventFacts] = []
    size, named = 0, ("", "")
    for each in ordered:
        if part and (len(part) == RECORDS_PER_QUERY or size > MAX_FILTER_BYTES // 2):
            yield part
            part, size, named = [], 0, ("", "")
        part.append(each)
        if (each.session_id, each.tenant_id) != named:
            named = each.session_id, each.tenant_id
            size += len("".join(named).encode())
    if part:
        yield part


def _records(clickhouse: Asks, where: str, values: Mapping[str, Any]) -> dict[_RowKey, bytes]:
    sql = f"SELECT session_id, tenant_id, occurred_us, record_key, record FROM events WHERE {where}"  # noqa: S608 - as above
    rows = clickhouse.query(sql, values, bytes_columns=("record",)).rows
    return {(session, tenant, us, key): record for session, tenant, us, key, record in rows}


def _data_of(event: EventFacts, record: bytes) -> Mapping[str, Any] | None:
    """Return the data that *record* holds; None if it is not what was appended as this event."""
    if record_key(record) != event.record_key:
        return None
    try:
        envelope = decode_envelope(record).envelope
    except InvalidEventError:
        return None
    claimed = (event.session_id, event.tenant_id, event.type, event.run_id)
    true = (envelope.session_id, envelope.tenant_id or "", envelope.type, envelope.run_id or "")
    return envelope.data if claimed == true else None
