"""How long a batch may fill before it is stored: few inserts, fewer where ClickHouse is hard pressed. Pure.

An insert costs ClickHouse ten milliseconds and a part, whatever it holds, so that a group of workers which
insert by the clock wear it out in a quiet hour.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from statistics import median_low

from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.batch.gathering import WORTH_ROWS, Gathering
from trailhouse.consumer.batch.uncommitted import UncommittedBatches

QUICKEST_SECONDS = 0.2
LONE_SHARE = 1.5
"""Alone a worker inserts so many times within the wanted freshness; where two share the work, each does once."""
DELIVERY_SECONDS = 0.1
"""What a record takes to the worker, and a stored row to a reader."""
INSERTS_BEFORE_DEADLINE = 2
"""So many inserts pass between the end of a batch's time and its rows: one that is on its way, and its own."""
INSERTS_AFTER_MEETING = 1
"""Its own alone where workers meet: what was stored at the meeting before is there by then."""
SMALLEST_DEADLINE_SHARE = 0.25
PAUSES_AN_INSERT = 2
"""A slow ClickHouse is left alone for so many times as long as it works."""
LONGEST_SECONDS = 30.0
LAST_INSERTS = 3
"""Their median counts: a single slow one is no slow ClickHouse."""
WIDENED_FROM_SHARE = 0.5
"""From half the parts on at which ClickHouse slows inserts down, batches fill longer: the longest at that number."""
REFUSAL_FACTOR = 2.0
FORGOTTEN_FACTOR = 0.75
"""A refusal is forgotten step by step, an insert a step: all workers at once would meet the next one."""
REMEMBERED_SECONDS = 120.0
"""What was seen before a pause of this length says nothing of how ClickHouse is now."""
WORTH_A_WORD_SECONDS = 3.0
COMMIT_AGES = 8
"""The ledger and the commit follow at every eighth batch of one worker, and with many workers each of them less often,
so that all together they ask no more of ClickHouse: what is read again after a crash is one row to a reader."""
LONGEST_TO_COMMIT_SECONDS = 20.0
"""Well below what is called a standstill."""


class InsertPace:
    """The pace of one worker, which knows how many share the work and what ClickHouse bears.

    Every worker of a group sees the same ClickHouse, so that all of them leave it alone.
    """

    def __init__(
        self,
        freshness_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        gathering: Gathering | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare it; *gathering* says whether the server makes one part of what workers insert at the same time."""
        self.freshness_seconds = freshness_seconds
        self._clock = clock
        self._gathering = gathering or Gathering()
        self._wall_clock = wall_clock
        self._seen_at_seconds = 0.0
        self._refusal_seconds = 0.0
        self._parts_share = 0.0
        self._workers = 1.0
        self._last_seconds: deque[float] = deque(maxlen=LAST_INSERTS)
        self._insert_seconds = 0.0

    def note_share(self, assigned_partitions: int, partitions: int) -> None:
        """Take in how much of the topic is this worker's: the others have as much each."""
        self._workers = max(1.0, partitions / max(1, assigned_partitions))
        self._gathering.note_workers(self._workers)

    def note_insert(self, seconds: float) -> None:
        """Take in how long an insert took, and that it was not refused."""
        self._note_seconds(seconds)
        self._refusal_seconds *= FORGOTTEN_FACTOR

    def note_failure(self, seconds: float) -> None:
        """Take in how long an insert took that failed: a quick failure says nothing of how quick ClickHouse is."""
        if seconds > self.insert_seconds:
            self._note_seconds(seconds)

    def note_refusal(self) -> None:
        """Take in that ClickHouse refused an insert, since there are too many: batches fill twice as long."""
        self._forget_what_is_old()
        self._refusal_seconds = min(LONGEST_SECONDS, REFUSAL_FACTOR * self.age_seconds)

    def note_parts(self, share: float) -> None:
        """Take in how near our tables are to the number of parts at which ClickHouse slows inserts down.

        Args:
            share: 1 at that number; 0 while it is not known.
        """
        self._parts_share = share

    def _note_seconds(self, seconds: float) -> None:
        self._forget_what_is_old()
        self._last_seconds.append(seconds)
        self._insert_seconds = median_low(self._last_seconds)

    def _forget_what_is_old(self) -> None:
        if not self._is_current:
            self._last_seconds.clear()
            self._insert_seconds = self._refusal_seconds = 0.0
        self._seen_at_seconds = self._clock()

    @property
    def _is_current(self) -> bool:
        return self._clock() - self._seen_at_seconds < REMEMBERED_SECONDS

    @property
    def insert_seconds(self) -> float:
        """How long an insert takes now; 0 while it is not known."""
        return self._insert_seconds if self._is_current else 0.0

    @property
    def is_refused(self) -> bool:
        """Whether batches fill longer since ClickHouse refused one not long ago."""
        return self._refused_seconds > self.wanted_seconds

    @property
    def has_many_parts(self) -> bool:
        """Whether batches fill longer since our tables have many parts."""
        return self._parts_share > WIDENED_FROM_SHARE

    @property
    def is_widened(self) -> bool:
        """Whether batches fill so much longer than the wanted freshness allows that somebody should know."""
        slow_seconds = max(2 * self.freshness_seconds, WORTH_A_WORD_SECONDS)
        return self.is_refused or self.has_many_parts or self.age_seconds > slow_seconds

    @property
    def wanted_seconds(self) -> float:
        """How long a batch would fill if ClickHouse bore it."""
        freshness_seconds = self.freshness_seconds
        inserts = INSERTS_AFTER_MEETING if self._gathering.has_others else INSERTS_BEFORE_DEADLINE
        deadline_seconds = max(
            freshness_seconds * SMALLEST_DEADLINE_SHARE,
            freshness_seconds - DELIVERY_SECONDS - inserts * self.insert_seconds,
        )
        return min(deadline_seconds, max(QUICKEST_SECONDS, self._shared_seconds))

    @property
    def _shared_seconds(self) -> float:
        """How long a batch would fill if the group were to insert as often as one worker does."""
        return self.freshness_seconds * self._workers / LONE_SHARE

    @property
    def age_seconds(self) -> float:
        """How long a batch fills from its first record on, if it does not become worth an insert before."""
        return min(LONGEST_SECONDS, max(self.wanted_seconds, self._bearable_seconds))

    @property
    def _bearable_seconds(self) -> float:
        """How long ClickHouse is to be left alone between two inserts."""
        return max(
            PAUSES_AN_INSERT * self.insert_seconds, self._refused_seconds, self._parts_seconds
        )

    @property
    def _refused_seconds(self) -> float:
        return self._refusal_seconds if self._is_current else 0.0

    @property
    def _parts_seconds(self) -> float:
        if not self.has_many_parts:
            return 0.0
        # In even steps of a factor: as near as the parts are, so much longer than before.
        exponent = (self._parts_share - WIDENED_FROM_SHARE) / (1 - WIDENED_FROM_SHARE)
        wanted_seconds = self.wanted_seconds
        return wanted_seconds * math.pow(LONGEST_SECONDS / wanted_seconds, min(1.0, exponent))

    def due_in_seconds(self, batch: Batch) -> float:
        """Return how long *batch* may fill on: 0 when it is to be stored now, endless while it holds nothing."""
        if not len(batch):
            return float("inf")
        if batch.is_full:
            return 0.0
        seconds = self.age_seconds
        if len(batch) >= WORTH_ROWS:
            seconds = min(seconds, max(QUICKEST_SECONDS, self._bearable_seconds))
        return self._met_in_seconds(max(0.0, seconds - batch.age_seconds), seconds)

    def _met_in_seconds(self, most_seconds: float, age_seconds: float) -> float:
        """Return when the others store too, if that is within *most_seconds* and the server gathers; else these.

        All workers of a group meet at the same times of the day: at multiples of the freshness, its half, its quarter
        …, or twice as much …, so that those whose batches may fill longer meet the others too.
        """
        if not self._gathering.has_others:
            return most_seconds
        step_seconds = self._step_seconds(age_seconds)
        now_seconds = self._wall_clock()
        meeting_seconds = (now_seconds + most_seconds) // step_seconds * step_seconds
        return max(0.0, meeting_seconds - now_seconds)

    def _step_seconds(self, most_seconds: float) -> float:
        """Return the time between two meetings of the group, at most *most_seconds*."""
        return self.freshness_seconds * math.exp2(
            math.floor(math.log2(most_seconds / self.freshness_seconds))
        )

    def is_commit_due(self, uncommitted: UncommittedBatches) -> bool:
        """Tell whether what is stored of *uncommitted* is to be entered in the ledger, and committed."""
        if uncommitted.is_full:
            return True
        age_seconds = self.age_seconds
        due_seconds = min(
            COMMIT_AGES * max(age_seconds, self._shared_seconds),
            max(age_seconds, LONGEST_TO_COMMIT_SECONDS),
        )
        if not self._gathering.has_others:
            return uncommitted.age_seconds >= due_seconds
        # At a meeting too, so that all workers' rows of the ledger are one part as well.
        step_seconds = self._step_seconds(due_seconds)
        now_seconds = self._wall_clock()
        opened_at_seconds = now_seconds - uncommitted.age_seconds
        return now_seconds // step_seconds > opened_at_seconds // step_seconds
