"""Find the events of one session, in the order in which Kafka appended them.

Within a partition the offset decides. Between partitions (a topic that was widened, or made anew)
the broker's clock decides, and since a clock may step back, an event counts as appended no earlier
than any event before it in its own partition. A time that is the sender's (`LATEST_MS`) decides
nothing: such an event stands after the one before it in its partition, and after all if there is none.
For a part of a session only small columns are read here, and the records follow by key.
"""

from collections.abc import Iterable
from operator import attrgetter, itemgetter
from typing import NamedTuple

from trailhouse.query.filtering.conditions import limit, narrowing, scope, scope_parameters
from trailhouse.query.filtering.filters import SessionFilter
from trailhouse.store import ClickHouse
from trailhouse.store.tables import LATEST_MS

_PARTITION = "kafka_topic_id, kafka_partition"
"""A topic's id is drawn at random when it is made: it tells the topic from every other of every cluster."""
_IDENTITY = "tenant_id, event_id, record_key"


class Key(NamedTuple):
    """What tells one stored record from every other of its session."""

    tenant_id: str
    event_id: str
    record_key: bytes


class Stored(NamedTuple):
    """A stored record and where in Kafka it stood, in the order of STORED_COLUMNS."""

    record: bytes
    record_key: bytes
    topic_id: str
    partition: int
    offset: int
    appended_ms: int


_home = attrgetter("topic_id", "partition")
"""The partition of a `Stored`, told from every other that ever was."""
STORED_COLUMNS = (
    f"record, record_key, {_PARTITION}, kafka_offset, toUnixTimestamp64Milli(appended_at)"
)
"""No more than must be: each column of a read costs a third of a millisecond, whatever it holds."""


def in_append_order(rows: Iterable[Stored]) -> list[Stored]:
    """Return *rows*, all of one session, in append order: what `keys_sql` does within ClickHouse.

    A session stands in one partition, most often; a window in a statement costs more than reading it.
    """
    ordered = sorted(rows, key=attrgetter("offset"))
    homes = set(map(_home, ordered))
    # The usual case: within one partition the offset is the whole order.
    if len(homes) <= 1:
        return ordered
    placed_ms = dict.fromkeys(homes, 0)
    places: list[tuple[int, tuple[str, int], int]] = []
    for row in ordered:
        home = _home(row)
        # A running maximum: the broker's clock may step back, the order of a partition may not.
        if row.appended_ms < LATEST_MS:
            placed_ms[home] = max(placed_ms[home], row.appended_ms)
        places.append((placed_ms[home] or LATEST_MS, home, row.offset))
    return [row for _, row in sorted(zip(places, ordered, strict=True), key=itemgetter(0))]


def keys_in_append_order(clickhouse: ClickHouse, wanted: SessionFilter) -> list[Key]:
    """Return the keys of the events that *wanted* selects, each once.

    The order of two events does not depend on what else is selected.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(keys_sql(wanted), scope_parameters(wanted) | wanted.narrowing).rows
    return [Key(*row) for row in rows]


def keys_sql(wanted: SessionFilter) -> str:
    """Return the SELECT behind `keys_in_append_order`; its values are bound parameters."""
    conditions = " AND ".join(narrowing(wanted))
    # The conditions stand outside, so that the running maximum sees every event of the session.
    return f"""
        SELECT {_IDENTITY}
        FROM (
            SELECT {_IDENTITY}, run_id, type, occurred_us, {_PARTITION}, kafka_offset,
                max(if(appended_ms < {LATEST_MS}, appended_ms, 0)) OVER (
                    PARTITION BY {_PARTITION} ORDER BY kafka_offset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                ) AS known_ms,
                toUnixTimestamp64Milli(appended_at) AS appended_ms
            FROM events
            WHERE {scope(wanted)}
        )
        {f"WHERE {conditions}" if conditions else ""}
        ORDER BY if(known_ms = 0, {LATEST_MS}, known_ms), {_PARTITION}, kafka_offset
        {limit(wanted)}
    """  # noqa: S608 - names of ours; every value is a bound parameter
