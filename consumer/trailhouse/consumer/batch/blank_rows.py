"""What is left of an erased record: where it stood, who numbered it, its hash and type; nothing it said. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from trailhouse.consumer.batch.rows import EVENT_COLUMNS
from trailhouse.store.tables import EVENT_LOG

KEPT_COLUMNS = frozenset({
    "session_id", "tenant_id", "event_id", "record_key", "type", "occurred_us", "schema_version",
    "producer_id", "seq", "kafka_cluster", "kafka_topic", "kafka_topic_id", "kafka_partition", "kafka_offset",
    "appended_at",
})  # fmt: skip
"""Of `event_log`: the key, which no mutation changes, and what sequences, ledger and leaves are held against."""


def _blank(type_name: str) -> str | None:
    return None if type_name.startswith("Nullable(") else ""


BLANKS: Mapping[str, str | None] = {
    name: _blank(type_name)
    for name, type_name in EVENT_LOG.columns.items()
    if name not in KEPT_COLUMNS
}
"""Each other column of `event_log`, and what stands there once the record is erased."""


def blanked_columns(columns: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Return rows by *columns*, one of each of EVENT_COLUMNS, without what their records said."""
    return [
        [_value(BLANKS[name], values)] * len(values) if name in BLANKS else values
        for name, values in zip(EVENT_COLUMNS, columns, strict=True)
    ]


def _value(blank: str | None, values: Sequence[Any]) -> Any:
    return b"" if blank == "" and values and isinstance(values[0], bytes) else blank
