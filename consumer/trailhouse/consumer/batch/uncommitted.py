"""The batches of one commit: their rows are stored one after the other, then the ledger has them all, then Kafka."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from trailhouse.consumer.batch.batch import Batch, Limits, spans_of
from trailhouse.consumer.batch.span import Span
from trailhouse.consumer.batch.writer import Stored

MOST_FULL_BATCHES = 2
"""So many batches of small records are committed together: an insert of few rows costs a tenth of one of a batch's."""


class Writes(Protocol):
    """Writes batches; `BatchWriter` is one."""

    def store(self, batch: Batch) -> Stored: ...
    def enter(self, batches: Sequence[Batch], stored: Sequence[Stored]) -> None: ...


class WritesLogs(Writes, Protocol):
    """Writes batches of one assignment, and what proves them; `LogWriter` is one."""

    def note_commit(self) -> None:
        """Take in that Kafka has what was entered last as done."""
        ...


class UncommittedBatches:
    """Kept until they are committed. What is done by `write` belongs to the thread that stores meanwhile."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._opened_at_seconds = 0.0
        self._stored_at_outages = 0
        self.batches: list[Batch] = []
        """In the order in which they were read; the last one may be on its way."""
        self.stored: list[Stored] = []
        """What became of each of them that is stored."""

    def add(self, batch: Batch) -> None:
        """Take in *batch*: it is to be stored next."""
        if not self.batches:
            self._opened_at_seconds = self._clock() - batch.age_seconds
        self.batches.append(batch)

    def remove_last(self) -> None:
        """Take the last batch out, which is stored and must not be committed."""
        del self.batches[-1], self.stored[-1]

    @property
    def age_seconds(self) -> float:
        """How long ago the first record of all was read; 0 while there is none."""
        return self._clock() - self._opened_at_seconds if self.batches else 0.0

    @property
    def is_full(self) -> bool:
        """Whether they hold as many bytes as one batch may, or as many records as some."""
        return (
            sum(map(len, self.batches)) >= MOST_FULL_BATCHES * self._limits.rows
            or sum(batch.size_bytes for batch in self.batches) >= self._limits.size_bytes
        )

    @property
    def waiting_rows(self) -> int:
        """How many records are to be stored next."""
        return sum(map(len, self._waiting))

    @property
    def waiting_bytes(self) -> int:
        """How many bytes of records are to be stored next."""
        return sum(batch.size_bytes for batch in self._waiting)

    @property
    def _waiting(self) -> list[Batch]:
        return self.batches[len(self.stored) :]

    @property
    def spans(self) -> Mapping[int, Span]:
        """Each partition's part of all of them."""
        return spans_of(self.batches)

    def write(self, writer: Writes, outages: int, *, has_ledger: bool) -> None:
        """Store what is not stored yet, and enter all in the ledger if *has_ledger*; acknowledged on return.

        Args:
            writer: Writes them.
            outages: How often ClickHouse was found away until now. Since an outage may have been a restore, what
                was stored before one is stored again before the ledger says that it is.
            has_ledger: Whether they are to be committed after this.

        Raises:
            StorageError: As *writer*. Write them again, with a higher count of outages.
        """
        if outages != self._stored_at_outages:
            self.stored.clear()
        self._stored_at_outages = outages
        for batch in self._waiting:
            self.stored.append(writer.store(batch))
        if has_ledger:
            writer.enter(self.batches, self.stored)
