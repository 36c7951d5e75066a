"""Totals over all sessions, each event counted once.

The view `events` merges copies as it reads. That costs little here: only the columns of the key and
`type` are read, and a partition that is one merged part is read without merging.
"""

import datetime as dt

import msgspec

from trailhouse.query.filtering.conditions import fleet_parameters, fleet_where
from trailhouse.query.filtering.filters import FleetFilter
from trailhouse.schemas import EventType
from trailhouse.store import ClickHouse
from trailhouse.store.tables import LATEST_MS

OUTCOMES = {
    "completed": EventType.RUN_COMPLETED,
    "failed": EventType.RUN_FAILED,
    "cancelled": EventType.RUN_CANCELLED,
    "timeout": EventType.RUN_TIMEOUT,
    "abandoned": EventType.RUN_ABANDONED,
}
"""How a run can end, and the event that says so."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored, of all tenants or of one.

    Attributes:
        stored: Events, each counted once.
        quarantined: Records that are not events; None for one tenant, since such a record names none.
        last_occurred_at: When the event that was appended last happened; None without events.
        last_appended_at: When Kafka took it.
        by_type: Events of each type, the most frequent first.
        outcomes: Events that end a run, by outcome: every name of `OUTCOMES`, zeros included.
    """

    stored: int
    quarantined: int | None
    last_occurred_at: dt.datetime | None
    last_appended_at: dt.datetime | None
    by_type: dict[str, int]
    outcomes: dict[str, int]


def read_overview(clickhouse: ClickHouse, wanted: FleetFilter) -> Overview:
    """Return the totals of what is wanted.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    by_type = count_by_type(clickhouse, wanted)
    occurred_at, appended_at = _last_event(clickhouse, wanted)
    return Overview(
        stored=sum(by_type.values()),
        quarantined=_quarantined(clickhouse) if wanted.tenant_id is None else None,
        last_occurred_at=occurred_at,
        last_appended_at=appended_at,
        by_type=by_type,
        outcomes={name: by_type.get(type_name, 0) for name, type_name in OUTCOMES.items()},
    )


def count_by_type(clickhouse: ClickHouse, wanted: FleetFilter) -> dict[str, int]:
    """Return how many of the wanted events each type has, the most frequent first.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    sql = f"SELECT type, count() AS events FROM events {fleet_where(wanted)} GROUP BY type ORDER BY events DESC, type"  # noqa: S608 - no value in it
    return dict(clickhouse.query(sql, fleet_parameters(wanted)).rows)


def _last_event(
    clickhouse: ClickHouse, wanted: FleetFilter
) -> tuple[dt.datetime | None, dt.datetime | None]:
    known = (
        f"toUnixTimestamp64Milli(appended_at) < {LATEST_MS}"  # the broker's time, not a sender's
    )
    place = "(appended_at, kafka_topic_id, kafka_partition, kafka_offset)"
    last = f"argMaxIf(occurred_us, {place}, {known}), maxIf(appended_at, {known})"
    sql = f"SELECT {last}, countIf({known}) FROM events {fleet_where(wanted)}"  # noqa: S608 - no value in it
    occurred_us, appended_at, events = clickhouse.query(sql, fleet_parameters(wanted)).rows[0]
    # An aggregate over no rows gives the epoch, and not NULL.
    if not events:
        return None, None
    return _EPOCH + dt.timedelta(microseconds=occurred_us), appended_at


def _quarantined(clickhouse: ClickHouse) -> int:
    return int(clickhouse.query("SELECT count() FROM quarantine").rows[0][0])
