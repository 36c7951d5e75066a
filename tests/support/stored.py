"""Put events into `event_log` as the worker would, but from chosen Kafka coordinates."""

import datetime as dt
import hashlib
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from trailhouse.schemas import AuditEvent
from trailhouse.store import EVENT_LOG, Block, ClickHouse, ClickHouseConfig

START_MS = 1_760_000_000_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_BLANKS: dict[str, Any] = {"UInt16": 1}


class Placed(NamedTuple):
    """An event and where Kafka holds it."""

    event: AuditEvent
    partition: int = 0
    offset: int = 0
    appended_ms: int = START_MS
    topic_id: str = "topic-1"


def in_order(
    events: Sequence[AuditEvent], first_offset: int = 0, partition: int = 0
) -> list[Placed]:
    """Return *events* one behind the other in one partition, a millisecond apart."""
    return [
        Placed(event, partition, first_offset + place, START_MS + first_offset + place)
        for place, event in enumerate(events)
    ]


def some_events(count: int, **fields: Any) -> list[AuditEvent]:
    """Return different events of one session."""
    return [
        AuditEvent(type="message_sent", session_id="s", data={"place": place}, **fields)
        for place in range(count)
    ]


def a_session() -> str:
    """Return a session id that nobody else uses."""
    return f"session-{uuid.uuid4()}"


def event(session_id: str, type: str = "message_sent", **fields: Any) -> AuditEvent:
    """Return an event, different from every other."""
    return AuditEvent(type=type, session_id=session_id, **fields)


def count(clickhouse: ClickHouse, table: str) -> int:
    """Return the number of rows in *table*."""
    return int(clickhouse.query(f"SELECT count() FROM {table}").rows[0][0])


def block_of(placed: Sequence[Placed]) -> Block:
    """Return the block that holds these events."""
    rows = [_row(each) for each in placed]
    return EVENT_LOG.block({name: [row[name] for row in rows] for name in EVENT_LOG.columns})


def store(config: ClickHouseConfig, placed: Sequence[Placed]) -> None:
    """Insert these events in one block."""
    with ClickHouse(config) as clickhouse:
        clickhouse.insert(block_of(placed))


def _row(placed: Placed) -> dict[str, Any]:
    event = placed.event
    known: dict[str, Any] = {
        "session_id": event.session_id,
        "tenant_id": event.tenant_id or "",
        "event_id": event.event_id,
        "record_key": hashlib.sha256(event.record).digest()[:16],
        "type": event.type,
        "run_id": event.run_id or "",
        "occurred_us": (event.occurred_at - _EPOCH) // dt.timedelta(microseconds=1),
        "record": event.record,
        "kafka_cluster": "cluster-1",
        "kafka_topic": "trailhouse.events",
        "kafka_topic_id": placed.topic_id,
        "kafka_partition": placed.partition,
        "kafka_offset": placed.offset,
        "appended_at": placed.appended_ms,
    }
    return {name: known.get(name, _blank(kind)) for name, kind in EVENT_LOG.columns.items()}


def _blank(kind: str) -> object:
    if kind.startswith("Nullable"):
        return None
    return "" if kind.endswith("String)") or kind == "String" else _BLANKS.get(kind, 0)
