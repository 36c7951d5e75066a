"""How long a batch may fill before it is stored: as few inserts as the wanted freshness allows. Pure.

An insert costs ClickHouse ten milliseconds and a part, whatever it holds, so that a group of workers which
insert by the clock wear it out in a quiet hour.
"""

from collections import deque
from statistics import median_low

from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.batch.uncommitted import UncommittedBatches

QUICKEST_SECONDS = 0.2
WORTH_ROWS = 2_000
"""So many rows cost ClickHouse as much as the insert itself: to wait for more saves little."""
LONE_SHARE = 4
"""Alone a worker inserts so many times within the wanted freshness; from so many workers on each does once."""
DELIVERY_SECONDS = 0.1
"""What a record takes to the worker, and a stored row to a reader."""
INSERTS_BEFORE_DEADLINE = 2
"""So many inserts pass between the end of a batch's time and its rows: one that is on its way, and its own."""
SMALLEST_DEADLINE_SHARE = 0.25
PAUSES_AN_INSERT = 2
"""A slow ClickHouse is left alone for so many times as long as it works."""
LONGEST_SECONDS = 30.0
LAST_INSERTS = 3
"""Their median counts: a single slow one is no slow ClickHouse."""
COMMIT_AGES = 3
"""The ledger and the commit follow at every third batch: what is read again after a crash is one row to a reader."""
LONGEST_TO_COMMIT_SECONDS = 20.0
"""Well below what is called a standstill."""


class InsertPace:
    """The pace of one worker, which knows how many share the work and how long ClickHouse takes."""

    def __init__(self, freshness_seconds: float) -> None:
        self._freshness_seconds = freshness_seconds
        self._workers = 1.0
        self._last_seconds: deque[float] = deque(maxlen=LAST_INSERTS)
        self._insert_seconds = 0.0

    def note_share(self, assigned_partitions: int, partitions: int) -> None:
        """Take in how much of the topic is this worker's: the others have as much each."""
        self._workers = max(1.0, partitions / max(1, assigned_partitions))

    def note_insert(self, seconds: float) -> None:
        """Take in how long an insert took."""
        self._last_seconds.append(seconds)
        self._insert_seconds = median_low(self._last_seconds)

    @property
    def age_seconds(self) -> float:
        """How long a batch fills from its first record on, if it does not become worth an insert before."""
        freshness_seconds, insert_seconds = self._freshness_seconds, self._insert_seconds
        deadline_seconds = max(
            freshness_seconds * SMALLEST_DEADLINE_SHARE,
            freshness_seconds - DELIVERY_SECONDS - INSERTS_BEFORE_DEADLINE * insert_seconds,
        )
        shared_seconds = freshness_seconds * self._workers / LONE_SHARE
        wanted_seconds = min(deadline_seconds, max(QUICKEST_SECONDS, shared_seconds))
        return min(LONGEST_SECONDS, max(wanted_seconds, PAUSES_AN_INSERT * insert_seconds))

    def due_in_seconds(self, batch: Batch) -> float:
        """Return how long *batch* may fill on: 0 when it is to be stored now, endless while it holds nothing."""
        if not len(batch):
            return float("inf")
        if batch.is_full:
            return 0.0
        seconds = self.age_seconds
        if len(batch) >= WORTH_ROWS:
            seconds = min(seconds, max(QUICKEST_SECONDS, PAUSES_AN_INSERT * self._insert_seconds))
        return max(0.0, seconds - batch.age_seconds)

    def is_commit_due(self, uncommitted: UncommittedBatches) -> bool:
        """Tell whether what is stored of *uncommitted* is to be entered in the ledger, and committed."""
        age_seconds = self.age_seconds
        longest_seconds = max(age_seconds, LONGEST_TO_COMMIT_SECONDS)
        return uncommitted.is_full or uncommitted.age_seconds >= min(
            COMMIT_AGES * age_seconds, longest_seconds
        )
