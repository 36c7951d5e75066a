"""From a Kafka record to a row: pure, quick, and never raising on what a record may hold."""

import datetime as dt
from typing import Any, NamedTuple

from trailhouse.consumer.promoted import promote
from trailhouse.schemas.codec import decode_envelope
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.record import Envelope, Source

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

EventRow = tuple[Any, ...]
"""The values of EVENT_COLUMNS; a block adds ORIGIN_COLUMNS, which are the same in every row."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


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


def event_row(
    envelope: Envelope, record: bytes, digest: bytes, partition: int, offset: int, appended_ms: int
) -> EventRow:
    """Return the row of the event in *record*, whose hash is *digest*, at its place in the topic."""
    actor, source = envelope.actor, envelope.source
    return (
        envelope.session_id,
        envelope.tenant_id or "",
        envelope.event_id,
        digest,
        envelope.type,
        envelope.run_id or "",
        envelope.parent_run_id or "",
        envelope.agent_id or "",
        microseconds(envelope.occurred_at),
        actor.type if actor else "",
        actor.id if actor else "",
        envelope.provider or "",
        envelope.correlation_id or "",
        source.producer_id or "" if source else "",
        _seq_of(source),
        *promote(envelope.data),
        min(envelope.schema_version, MAX_SCHEMA_VERSION),
        record,
        partition,
        offset,
        appended_ms,
    )


def _seq_of(source: Source | None) -> int | None:
    """Return the producer's number, None where there is none that ClickHouse can hold."""
    seq = source.seq if source else None
    return seq if seq is not None and 0 <= seq <= MAX_SEQ else None


def microseconds(moment: dt.datetime) -> int:
    """Return *moment* as microseconds since 1970 UTC, exact for the years 1 to 9999."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
