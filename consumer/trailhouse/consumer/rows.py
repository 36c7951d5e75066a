"""From a Kafka record to a row: pure, quick, and never raising on what a record may hold."""

import datetime as dt
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from trailhouse.consumer.promoted import promoted_columns
from trailhouse.schemas.codec import decode_envelope
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.record import Envelope

MAX_SCHEMA_VERSION = 65_535
MAX_SEQ = 2**64 - 1
ORIGIN_COLUMNS = ("kafka_cluster", "kafka_topic", "kafka_topic_id")
EVENT_COLUMNS = (
    "session_id", "tenant_id", "event_id", "record_hash", "type", "run_id", "parent_run_id", "agent_id",
    "occurred_us", "actor_type", "actor_id", "provider", "correlation_id", "producer_id", "seq",
    "model", "tool_name", "error_code", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "duration_ms",
    "schema_version", "record", "kafka_partition", "kafka_offset", "appended_at",
)  # fmt: skip
QUARANTINE_COLUMNS = (
    "kafka_partition", "kafka_offset", "appended_at", "key", "record", "headers", "reason", "worker_version",
    "quarantined_at",
)  # fmt: skip
LEDGER_COLUMNS = (
    "kafka_partition", "first_offset", "last_offset", "stored_rows", "quarantined_rows", "records_hash",
    "worker_version", "written_at",
)  # fmt: skip
INCIDENT_COLUMNS = (
    "kafka_partition", "first_offset", "last_offset", "kind", "detail", "worker_version", "noticed_at",
)  # fmt: skip

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


class Origin(NamedTuple):
    """Where a batch's records come from, in the order of ORIGIN_COLUMNS."""

    cluster: str
    topic: str
    topic_id: str


def envelope_of(record: bytes | None) -> Envelope:
    """Return the envelope that *record* holds.

    Raises:
        InvalidEventError: It is no event; names the field and the rule, never a value. Permanent.
    """
    if record is None:
        raise InvalidEventError("record", "is null: a Kafka record without a value is no event")
    try:
        return decode_envelope(record).envelope
    except InvalidEventError:
        raise
    except Exception as error:
        # Whatever bytes may do to a decoder, they must not stop the records after them.
        raise InvalidEventError("record", f"cannot be decoded ({type(error).__name__})") from error


class EventRows:
    """Rows of events, column by column in the order of EVENT_COLUMNS; a block adds ORIGIN_COLUMNS."""

    __slots__ = ("columns",)

    def __init__(self, columns: Iterable[list[Any]] | None = None) -> None:
        self.columns = [[] for _ in EVENT_COLUMNS] if columns is None else list(columns)

    def __len__(self) -> int:
        return len(self.columns[0])

    def extend(self, rows: "EventRows") -> None:
        """Append *rows*."""
        for column, more in zip(self.columns, rows.columns, strict=True):
            column += more

    def part(self, begin: int, end: int) -> "EventRows":
        """Return the rows from *begin* up to and without *end*, as `range` counts."""
        return EventRows(column[begin:end] for column in self.columns)

    def column(self, name: str) -> list[Any]:
        """Return the values of the column *name*, one a row."""
        return self.columns[EVENT_COLUMNS.index(name)]


class Place(NamedTuple):
    """Where in the topic records stood and when the broker took them, in ms since 1970 UTC; a list each."""

    partitions: list[int]
    offsets: list[int]
    appended_ms: list[int]


def event_rows(
    envelopes: Sequence[Envelope], records: list[bytes], digests: list[bytes], places: Place
) -> EventRows:
    """Return the rows of the events in *records*, each with its hash in *digests* and its place."""
    of = {name: list(map(get, envelopes)) for name, get in _FIELDS.items()}
    actors, sources = of["actor"], of["source"]
    return EventRows(
        (
            of["session_id"], _texts(of["tenant_id"]), of["event_id"], digests, of["type"], _texts(of["run_id"]),
            _texts(of["parent_run_id"]), _texts(of["agent_id"]),
            [(moment - _EPOCH) // _MICROSECOND for moment in of["occurred_at"]],
            [actor.type if actor else "" for actor in actors],
            [actor.id if actor else "" for actor in actors],
            _texts(of["provider"]), _texts(of["correlation_id"]),
            [source.producer_id or "" if source else "" for source in sources],
            [_seq_of(source.seq) if source else None for source in sources],
            *promoted_columns(of["data"]),
            [min(version, MAX_SCHEMA_VERSION) for version in of["schema_version"]],
            records, *places,
        )
    )  # fmt: skip


_FIELDS = {name: attrgetter(name) for name in Envelope.__struct_fields__}


def _texts(values: list[str | None]) -> list[str]:
    return [value or "" for value in values]


def _seq_of(seq: int | None) -> int | None:
    """Return the producer's number, None where there is none that ClickHouse can hold."""
    return seq if seq is not None and 0 <= seq <= MAX_SEQ else None
