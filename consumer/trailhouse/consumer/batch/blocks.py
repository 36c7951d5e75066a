"""From a batch to the blocks of its three tables, and from incidents to theirs. Pure."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

from trailhouse.broker.origin import ORIGIN_COLUMNS, Origin
from trailhouse.broker.placeholder import cut, whole
from trailhouse.consumer.batch.batch import BadRecord
from trailhouse.consumer.batch.rows import (
    INCIDENT_COLUMNS,
    LEDGER_COLUMNS,
    QUARANTINE_COLUMNS,
    EventRows,
)
from trailhouse.consumer.batch.span import Span, coordinates_of
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.store.block import Block, Column, Table
from trailhouse.store.tables import BATCH_LEDGER, EVENT_INCIDENTS, EVENT_LOG, EVENT_QUARANTINE

LONGEST_SPAN_RECORDS = 1_000_000
"""No row of the ledger spans more offsets, so that one that covers an offset is found near it."""

WORKER_VERSION = metadata.version("trailhouse")


def event_block(origin: Origin, rows: EventRows) -> Block:
    """Return *rows* as a block of `event_log`."""
    return _with_origin(EVENT_LOG, rows.columns(), origin, len(rows))


def quarantine_block(origin: Origin, bad: Iterable[BadRecord], at: dt.datetime) -> Block:
    """Return *bad*, at least one, as a block of `event_quarantine`: byte for byte, but for placeholders."""
    rows = [_quarantine_row(record, _milliseconds(at)) for record in bad]
    return _block(EVENT_QUARANTINE, QUARANTINE_COLUMNS, origin, rows)


def ledger_block(
    origin: Origin, spans: Mapping[int, Span], quarantined: Mapping[int, int], at: dt.datetime
) -> Block:
    """Return the rows for each partition of a batch; *quarantined* counts its bad records."""
    rows = [
        row
        for partition, span in spans.items()
        for row in _ledger_rows(partition, span, quarantined.get(partition, 0), _milliseconds(at))
    ]
    return _block(BATCH_LEDGER, LEDGER_COLUMNS, origin, rows)


def incident_block(
    origin: Origin, findings: Sequence[Incident], details: Sequence[str], at: dt.datetime
) -> Block:
    """Return *findings*, at least one, each with its detail, as a block of `event_incidents`."""
    rows = [
        (
            *(found.partition, found.first_offset, found.last_offset, found.kind),
            *(detail, WORKER_VERSION, _milliseconds(at)),
        )
        for found, detail in zip(findings, details, strict=True)
    ]
    return _block(EVENT_INCIDENTS, INCIDENT_COLUMNS, origin, rows)


def _block(
    table: Table, names: tuple[str, ...], origin: Origin, rows: Sequence[tuple[Any, ...]]
) -> Block:
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return _with_origin(table, columns, origin, len(rows))


def _with_origin(
    table: Table, columns: Mapping[str, Sequence[Any] | Column], origin: Origin, row_count: int
) -> Block:
    columns = dict(columns)
    for name, value in zip(ORIGIN_COLUMNS, origin, strict=True):
        columns[name] = (value,) * row_count
    return table.block(columns)


def _quarantine_row(bad: BadRecord, at_ms: int) -> tuple[Any, ...]:
    received = bad.received
    of = whole(received)
    return (
        *coordinates_of(received),
        of.last_offset,
        of.size_bytes,
        of.digest,
        cut(received.key()),
        received.value(),
        bad.headers,
        bad.reason,
        WORKER_VERSION,
        at_ms,
    )


def _ledger_rows(
    partition: int, span: Span, quarantined_rows: int, at_ms: int
) -> Iterator[tuple[Any, ...]]:
    """Yield one row, or several where a range that nobody can read is long; the first one counts."""
    stored_rows = span.records - quarantined_rows
    for first in range(span.first_offset, span.last_offset + 1, LONGEST_SPAN_RECORDS):
        last = min(first + LONGEST_SPAN_RECORDS - 1, span.last_offset)
        # Sums over the ledger must count each record once.
        counts = (stored_rows, quarantined_rows) if first == span.first_offset else (0, 0)
        yield (partition, first, last, *counts, span.records_hash, WORKER_VERSION, at_ms)


def _milliseconds(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1_000)
