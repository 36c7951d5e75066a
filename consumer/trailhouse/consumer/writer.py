"""Writes one batch into ClickHouse, so that every record of it is in exactly one of two tables."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from trailhouse.consumer.batch import MAX_GUILTY_ROWS, BadRecord, Batch, cannot_be_stored, rows_of
from trailhouse.consumer.blocks import event_block, ledger_block, quarantine_block
from trailhouse.consumer.rows import Origin
from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store.block import Block

TABLE_IS_WRONG = frozenset({
    "UNKNOWN_TABLE", "UNKNOWN_DATABASE", "NO_SUCH_COLUMN_IN_TABLE", "UNKNOWN_IDENTIFIER", "THERE_IS_NO_COLUMN",
    "AUTHENTICATION_FAILED", "REQUIRED_PASSWORD", "WRONG_PASSWORD", "UNKNOWN_USER", "ACCESS_DENIED", "READONLY",
    "UNKNOWN_SETTING", "QUOTA_EXCEEDED", "",
})  # fmt: skip
"""Refusals that no row is to blame for, by ClickHouse's name; empty when it gave none."""


class Inserts(Protocol):
    """Puts a block into a table."""

    def insert(self, block: Block) -> None:
        """Block until ClickHouse has acknowledged all rows of *block*.

        Raises:
            StorageUnavailableError: Outcome unknown. Retriable: insert the same block again.
            StorageRejectedError: Refused; nothing was written. Permanent.
            ValueError, TypeError, ArithmeticError: A value does not fit its column.
        """
        ...


class Stored(NamedTuple):
    """What became of a batch's records."""

    stored_rows: int
    quarantined_rows: int


class BatchWriter:
    """Writes batches of one origin; writing a batch again is harmless, readers see each row once."""

    def __init__(self, storage: Inserts, origin: Origin, now: Callable[[], dt.datetime]) -> None:
        self._storage = storage
        self._origin = origin
        self._now = now

    def write(self, batch: Batch) -> Stored:
        """Write the bad records, the events, and last the ledger; all acknowledged on return.

        A row that ClickHouse refuses is searched for by halving, and quarantined with its reason.

        Raises:
            StorageUnavailableError: Part of it may be written. Retriable: write the same batch.
            StorageRejectedError: ClickHouse refuses every row alike. Nothing may be committed.
        """
        if batch.bad:
            self._quarantine(batch.bad)
        refused = self._write_events(batch) if batch.rows else []
        if refused:
            self._quarantine(refused)
        quarantined = Counter(bad.received.partition() for bad in (*batch.bad, *refused))
        self._storage.insert(ledger_block(self._origin, batch.spans, quarantined, self._now()))
        return Stored(len(batch.rows) - len(refused), len(batch.bad) + len(refused))

    def _quarantine(self, bad: Sequence[BadRecord]) -> None:
        self._storage.insert(quarantine_block(self._origin, bad, self._now()))

    def _write_events(self, batch: Batch) -> list[BadRecord]:
        """Insert the rows of *batch* and return those that ClickHouse refuses one by one."""
        refused: list[BadRecord] = []
        accepted_rows = 0
        pending = [(0, len(batch.events))]
        while pending:
            begin, end = pending.pop()
            try:
                is_whole = end - begin == len(batch.events)
                rows = batch.rows if is_whole else rows_of(batch.events[begin:end])
                self._storage.insert(event_block(self._origin, rows))
                accepted_rows += end - begin
            except (StorageRejectedError, ValueError, TypeError, ArithmeticError) as error:
                if _is_tables_fault(error) or (
                    not accepted_rows and len(refused) >= MAX_GUILTY_ROWS
                ):
                    raise
                if end - begin == 1:
                    reason = cannot_be_stored(_name(error))
                    refused.append(BadRecord.of(batch.events[begin], reason))
                else:
                    middle = (begin + end) // 2
                    pending += [(middle, end), (begin, middle)]
        return refused


def _is_tables_fault(error: Exception) -> bool:
    return isinstance(error, StorageRejectedError) and error.name in TABLE_IS_WRONG


def _name(error: Exception) -> str:
    return error.name if isinstance(error, StorageRejectedError) else type(error).__name__
