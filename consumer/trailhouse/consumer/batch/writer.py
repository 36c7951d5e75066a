"""Writes one batch into ClickHouse, so that every record of it is in exactly one of two tables."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from trailhouse.broker.origin import Origin
from trailhouse.broker.placeholder import Received, whole
from trailhouse.consumer.batch.batch import (
    BadRecord,
    Batch,
    cannot_be_stored,
    rows_of,
    spans_of,
)
from trailhouse.consumer.batch.blocks import event_block, ledger_block, quarantine_block
from trailhouse.consumer.batch.erasure_orders import bad_without, rows_without
from trailhouse.consumer.batch.span import Span
from trailhouse.schemas.errors import StorageDataError, StorageRejectedError
from trailhouse.store.block import Block

MAX_REJECTED_ROWS = 20
"""So many rows refused and not one accepted: it is the table that is wrong, not the rows."""

_REFUSALS = (StorageDataError, ValueError, TypeError, ArithmeticError)


class Inserts(Protocol):
    """Puts a block into a table."""

    def insert(self, block: Block) -> None:
        """Block until ClickHouse has acknowledged all rows of *block*.

        Raises:
            StorageUnavailableError: Outcome unknown. Retriable: insert the same block again.
            StorageDataError: It refuses a value of *block*; nothing was written. Permanent.
            StorageRejectedError: It refuses the statement; nothing was written. Permanent until mended.
            ValueError, TypeError, ArithmeticError: A value does not fit its column.
        """
        ...


class Stored(NamedTuple):
    """What became of a batch's records: rows of events, and how many are quarantined in each partition."""

    stored_rows: int
    quarantined: Mapping[int, int] = {}

    @property
    def quarantined_rows(self) -> int:
        """How many are quarantined in all."""
        return sum(self.quarantined.values())


Erased = Callable[[Iterable[Span]], frozenset[bytes]]
"""Which of the records of some spans, by their SHA-256, are ordered to be erased; `ErasureOrders.among` is one."""


def _nothing(_spans: Iterable[Span]) -> frozenset[bytes]:
    return frozenset()


class BatchWriter:
    """Writes batches of one origin; writing a batch again is harmless, readers see each row once.

    Of a record that is ordered to be erased only what is left of it is written.
    """

    def __init__(
        self,
        storage: Inserts,
        origin: Origin,
        now: Callable[[], dt.datetime],
        erased: Erased = _nothing,
    ) -> None:
        self._storage = storage
        self._origin = origin
        self._now = now
        self._erased_among = erased
        self._erased: frozenset[bytes] = frozenset()
        self._accepted: Received | None = None

    def write(self, batch: Batch) -> Stored:
        """Do what `store` does, then what `enter` does.

        Raises:
            StorageUnavailableError, StorageRejectedError: As these. Write the same batch again.
        """
        stored = self.store(batch)
        self.enter([batch], [stored])
        return stored

    def enter(self, batches: Sequence[Batch], stored: Sequence[Stored]) -> None:
        """Enter *batches*, which follow each other, in the ledger, one row a partition; acknowledged on return.

        Call it last: what the ledger has must be in one of the two tables, whatever ends the process in between.

        Raises:
            StorageUnavailableError: Outcome unknown. Retriable: enter the same batches.
            StorageRejectedError: ClickHouse refuses the statement. Permanent until that is mended.
        """
        quarantined = Counter[int]()
        for each in stored:
            quarantined.update(each.quarantined)
        self._storage.insert(
            ledger_block(self._origin, spans_of(batches), quarantined, self._now())
        )

    def store(self, batch: Batch) -> Stored:
        """Write the bad records, then the events; all acknowledged on return.

        A row whose values ClickHouse refuses is searched for by halving. It is quarantined with its
        reason once it was refused alone, another was accepted, and it was refused again. Whatever
        else ClickHouse answers is no row's fault.

        Raises:
            StorageUnavailableError: Part of it may be written. Retriable: write the same batch.
            StorageRejectedError: ClickHouse refuses the statement, or every row alike. Permanent:
                nothing may be committed; write the same batch once that is mended.
        """
        self._erased = self._erased_among(batch.spans.values())
        if batch.bad:
            self._quarantine(batch.bad)
        refused = self._write_events(batch) if batch.rows else []
        if refused:
            self._quarantine(refused)
        quarantined = Counter[int]()
        for bad in (*batch.bad, *refused):
            quarantined[bad.received.partition()] += whole(bad.received).records
        return Stored(len(batch.rows) - len(refused), quarantined)

    def _quarantine(self, bad: Sequence[BadRecord]) -> None:
        kept = bad_without(bad, self._erased) if self._erased else bad
        self._storage.insert(quarantine_block(self._origin, kept, self._now()))

    def _write_events(self, batch: Batch) -> list[BadRecord]:
        """Insert the rows of *batch* and return those that ClickHouse refuses for what they hold."""
        try:
            rows = rows_without(batch.events, self._erased) if self._erased else batch.rows
            self._storage.insert(event_block(self._origin, rows))
        except _REFUSALS as error:
            suspects = self._rejected(batch.events, error)
        else:
            self._accepted = batch.events[-1]
            return []
        if not suspects:
            return []
        if self._accepted is None:
            raise _unproven(suspects[0][1])
        self._insert([self._accepted])  # between the two refusals: else the table is to blame
        bad: list[BadRecord] = []
        for event, _ in suspects:
            try:
                self._insert([event])
            except _REFUSALS as error:
                bad.append(BadRecord.of(event, cannot_be_stored(_name(error))))
        return bad

    def _rejected(
        self, events: Sequence[Received], whole: Exception
    ) -> list[tuple[Received, Exception]]:
        """Insert *events* by halves, since the *whole* was refused; return those refused alone, and why."""
        if self._accepted is not None:
            self._insert([self._accepted])  # where even this one is refused, none is searched for
        rejected: list[tuple[Received, Exception]] = []
        pending = [(0, len(events))]
        error = whole
        is_known = True
        # A stack and not a recursion; the left half comes off first, so that rows are looked at in order.
        while pending:
            begin, end = pending.pop()
            if not is_known:
                try:
                    self._insert(events[begin:end])
                    continue
                except _REFUSALS as refusal:
                    error = refusal
            is_known = False
            if end - begin == 1:
                rejected.append((events[begin], error))
                if self._accepted is None and len(rejected) >= MAX_REJECTED_ROWS:
                    raise _unproven(error)
            else:
                middle = (begin + end) // 2
                pending += [(middle, end), (begin, middle)]
        return rejected

    def _insert(self, events: Sequence[Received]) -> None:
        rows = rows_without(events, self._erased) if self._erased else rows_of(events)
        self._storage.insert(event_block(self._origin, rows))
        self._accepted = events[-1]


def _unproven(error: Exception) -> Exception:
    """Return what is raised when rows were refused and none was accepted: the batch is kept."""
    if not isinstance(error, StorageRejectedError):
        return error
    return StorageRejectedError(
        f"{error}; it refuses every row alike, so none is quarantined: compare the columns and"
        " constraints of event_log with `trailhouse init --dry-run`, or pass the record by with"
        " `trailhouse skip`",
        code=error.code,
        name=error.name,
    )


def _name(error: Exception) -> str:
    return error.name if isinstance(error, StorageRejectedError) else type(error).__name__
