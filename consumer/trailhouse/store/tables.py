"""The four tables that the worker writes: their columns in order, and the type of each.

A `Block` for one of them holds a Python sequence a column, or a column encoded already, as
`trailhouse.store.native_format` says; the columns that ClickHouse works out by itself (``ver``,
``occurred_at``) are not written and not here.
A test compares these with the real tables.
"""

from collections.abc import Mapping
from types import MappingProxyType

from trailhouse.store.block import Table

LATEST_MS = 10_413_791_999_999
"""The end of the year 2299, where ClickHouse's DateTime64 ends: the `appended_at` of a record that carries
its sender's time and not the broker's, so that of two copies the one with the broker's time wins."""

_COORDINATES = {
    "kafka_cluster": "LowCardinality(String)",
    "kafka_topic": "LowCardinality(String)",
    "kafka_topic_id": "LowCardinality(String)",
    "kafka_partition": "UInt16",
}


def _table(name: str, columns: Mapping[str, str]) -> Table:
    return Table(name, MappingProxyType(dict(columns)))


EVENT_LOG = _table(
    "event_log",
    {
        "session_id": "String",
        "tenant_id": "LowCardinality(String)",
        "event_id": "UUID",
        "record_key": "FixedString(16)",
        "type": "LowCardinality(String)",
        "run_id": "String",
        "parent_run_id": "String",
        "agent_id": "LowCardinality(String)",
        "occurred_us": "Int64",
        "actor_type": "LowCardinality(String)",
        "actor_id": "String",
        "provider": "LowCardinality(String)",
        "correlation_id": "String",
        "trace_id": "String",
        "producer_id": "LowCardinality(String)",
        "seq": "Nullable(UInt64)",
        "model": "LowCardinality(String)",
        "tool_name": "LowCardinality(String)",
        "tool_call_id": "String",
        "error_code": "LowCardinality(String)",
        "input_tokens": "Nullable(UInt64)",
        "output_tokens": "Nullable(UInt64)",
        "total_tokens": "Nullable(UInt64)",
        "cost_usd": "Nullable(Decimal(38, 18))",
        "duration_ms": "Nullable(Float64)",
        "schema_version": "UInt16",
        "record": "String",
        **_COORDINATES,
        "kafka_offset": "UInt64",
        "appended_at": "DateTime64(3, 'UTC')",
    },
)
"""One row an event: `record` is the truth, everything else a projection of it or where it stood."""

EVENT_QUARANTINE = _table(
    "event_quarantine",
    {
        **_COORDINATES,
        "kafka_offset": "UInt64",
        "appended_at": "DateTime64(3, 'UTC')",
        "last_offset": "UInt64",
        "size_bytes": "UInt64",
        "record_hash": "FixedString(32)",
        "key": "Nullable(String)",
        "record": "Nullable(String)",
        "headers": "Array(Tuple(name String, value Nullable(String)))",
        "reason": "String",
        "worker_version": "LowCardinality(String)",
        "quarantined_at": "DateTime64(3, 'UTC')",
    },
)
"""One row a record that is not an event, or a range of records that nobody can read."""

BATCH_LEDGER = _table(
    "batch_ledger",
    {
        **_COORDINATES,
        "first_offset": "UInt64",
        "last_offset": "UInt64",
        "stored_rows": "UInt32",
        "quarantined_rows": "UInt32",
        "records_hash": "FixedString(32)",
        "worker_version": "LowCardinality(String)",
        "written_at": "DateTime64(3, 'UTC')",
    },
)
"""One row a batch and partition, written after its rows and before its commit."""

EVENT_INCIDENTS = _table(
    "event_incidents",
    {
        **_COORDINATES,
        "first_offset": "UInt64",
        "last_offset": "UInt64",
        "kind": "LowCardinality(String)",
        "detail": "String",
        "worker_version": "LowCardinality(String)",
        "noticed_at": "DateTime64(3, 'UTC')",
    },
)
"""One row a range of offsets that the worker found gone, or read again."""

WRITTEN_TABLES = (EVENT_LOG, EVENT_QUARANTINE, BATCH_LEDGER, EVENT_INCIDENTS)
