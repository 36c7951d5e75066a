"""Notes when partitions were last stored up to their ends: `verify` tells idle ones from unserved ones by it.

The worker of partition 0 does it for all, from what it sees of the group anyway: a row a partition, once a minute at
most, and none while no partition grows. Each that stops in order does it once more, for nobody may come after it.
"""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from trailhouse.broker.offsets import PartitionLag
from trailhouse.broker.origin import ORIGIN_COLUMNS, Origin
from trailhouse.schemas.errors import StorageError
from trailhouse.store.block import Block
from trailhouse.store.tables import PARTITION_ENDS

EVERY_SECONDS = 60.0
STILL_SECONDS = 12.0
"""A record may come some seconds after the seal over it: once nothing has come for so long, no more is awaited."""


class Store(Protocol):
    """What is asked of ClickHouse."""

    def insert(self, block: Block) -> None: ...


class StoredEnds:
    """The ends of one topic's partitions, as one membership sees them; for one thread at a time."""

    def __init__(
        self,
        store: Store,
        origin: Origin,
        now: Callable[[], dt.datetime],
        is_ours: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare it; *is_ours* says whether it is this worker that does it for the group."""
        self._is_ours = is_ours
        self._store = store
        self._origin = origin
        self._now = now
        self._clock = clock
        self._pace = EndsPace()
        self._log = structlog.get_logger("trailhouse.worker")

    @property
    def is_waiting(self) -> bool:
        """Whether a row is due once nothing has come for a while: the group is to be looked at again for it."""
        return not self._pace.is_settled and self._is_ours()

    def note(self, parts: Mapping[int, PartitionLag], asked_at_seconds: float) -> None:
        """Write down which of *parts* are stored up to their ends, where that is due and ours to do. Blocks.

        What ClickHouse does not take is left to the next time.

        Args:
            parts: All partitions, as Kafka described them.
            asked_at_seconds: When Kafka was asked, or earlier, by the clock.
        """
        if not self._is_ours():
            return
        stored = _stored_ends(parts)
        ends = {number: (part.end_offset, number in stored) for number, part in parts.items()}
        if self._pace.is_due(ends, asked_at_seconds) and self._write(stored, asked_at_seconds):
            self._pace.note_written(asked_at_seconds)

    def note_last(self, parts: Mapping[int, PartitionLag], asked_at_seconds: float) -> None:
        """Do as `note`, whoever else may do it, and whatever was written before: this worker ends."""
        self._write(_stored_ends(parts), asked_at_seconds)

    def _write(self, ends: Mapping[int, int], asked_at_seconds: float) -> bool:
        ago = dt.timedelta(seconds=self._clock() - asked_at_seconds)
        try:
            if ends:
                self._store.insert(ends_block(self._origin, ends, self._now() - ago))
        except StorageError as error:  # whoever inserts rows tells of it
            self._log.debug("cannot note the ends of partitions", reason=str(error))
            return False
        return True


class EndsPace:
    """When ends are to be written: once they are still, or a minute after they began to move. Pure."""

    def __init__(self) -> None:
        self._ends: object = None
        self._changed_seconds = 0.0
        self._since_seconds = 0.0
        self._not_before_seconds = float("-inf")
        self._is_still = False
        self.is_settled = True
        """Whether what was written last says of all that has come that it is stored."""

    def is_due(self, ends: object, at_seconds: float) -> bool:
        """Tell whether *ends*, as they were at a time, are to be written."""
        if ends != self._ends:
            self._ends, self._changed_seconds = ends, at_seconds
            if self.is_settled:
                self._since_seconds, self.is_settled = at_seconds, False
        if self.is_settled:
            return False
        self._is_still = at_seconds >= self._changed_seconds + STILL_SECONDS
        due_seconds = self._not_before_seconds
        if not self._is_still:
            due_seconds = max(due_seconds, self._since_seconds + EVERY_SECONDS)
        return at_seconds >= due_seconds

    def note_written(self, at_seconds: float) -> None:
        """Take in that they were written as they were at a time."""
        self._since_seconds = at_seconds
        self._not_before_seconds = at_seconds + EVERY_SECONDS
        self.is_settled = self._is_still


def _stored_ends(parts: Mapping[int, PartitionLag]) -> dict[int, int]:
    return {number: part.end_offset for number, part in parts.items() if not part.lag_records}


def ends_block(origin: Origin, ends: Mapping[int, int], asked_at: dt.datetime) -> Block:
    """Return the ends of partitions, at least one, as a block of `partition_ends`."""
    columns: dict[str, Sequence[object]] = {
        "kafka_partition": list(ends),
        "end_offset": list(ends.values()),
        "asked_at": [round(asked_at.timestamp() * 1_000)] * len(ends),
    }
    for name, value in zip(ORIGIN_COLUMNS, origin, strict=True):
        columns[name] = (value,) * len(ends)
    return PARTITION_ENDS.block(columns)
