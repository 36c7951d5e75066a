"""What the ledger's batches cover of a partition, and what Kafka lost before any of them did. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from trailhouse.broker.offsets import PartitionLag
from trailhouse.schemas.ranges import Range, Ranges


class LedgerCoverage(NamedTuple):
    """One partition: its log and the group's offset, and the offsets that the ledger's batches hold."""

    mark: PartitionLag
    stored: Ranges

    @property
    def next_offset(self) -> int:
        """The offset after the last one stored; 0 when nothing is."""
        return 0 if self.stored.last is None else self.stored.last + 1

    @property
    def unread(self) -> Range:
        """What the log lost after the ledger's end and the committed offset, if anything."""
        return Range(
            max(self.next_offset, self.mark.committed_offset or 0), self.mark.first_offset - 1
        )

    @property
    def skipped(self) -> Ranges:
        """What lies between two batches, and in Kafka no more: lost, unless a table holds it."""
        if self.stored.first is None:
            return Ranges()
        return Ranges([(self.stored.first, self.mark.first_offset - 1)]) - self.stored

    def lost(self, noticed: Iterable[tuple[int, int]]) -> Ranges:
        """Return what expired before it was stored: what a worker *noticed*, and what none has yet."""
        return (Ranges(noticed) | Ranges([self.unread])) - self.stored
