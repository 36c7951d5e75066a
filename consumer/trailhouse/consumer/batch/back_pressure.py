"""Takes in what ClickHouse bears, for the pace of the inserts, and says so where that is little."""

import math
import time
from collections import deque
from collections.abc import Callable

import structlog

from trailhouse.consumer.batch.inflight import FailedAttempt
from trailhouse.consumer.batch.insert_pace import PAUSES_AN_INSERT, InsertPace
from trailhouse.consumer.monitoring.background_query import BackgroundQuery
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.schemas.backoff import Backoff
from trailhouse.schemas.errors import BrokerError, StorageError, StorageRejectedError
from trailhouse.store.parts import FullestTable

FIRST_LOOK_SECONDS = 5.0
LONGEST_LOOK_SECONDS = 30.0
"""While there are few parts they are counted ever more seldom: that costs ClickHouse as much as an insert."""
FEW_PARTS_SHARE = 0.25
MAX_AGE_LOOKS = 3
TELL_EVERY_SECONDS = 1.0


class BackPressure:
    """Used by the ingest thread; nothing here blocks. A worker that stores nothing asks nothing."""

    def __init__(
        self,
        pace: InsertPace,
        ask_parts: Callable[[], FullestTable],
        failures: deque[FailedAttempt],
        health: Health,
        metrics: WorkerMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace = pace
        self._failures = failures
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._pause = Backoff(FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS)
        self._look_due_at_seconds = -math.inf
        self._tell_due_at_seconds = -math.inf
        self._is_refused = False
        self._log = structlog.get_logger("trailhouse.worker")
        self._parts = BackgroundQuery(
            ask_parts,
            name="parts",
            max_age_seconds=MAX_AGE_LOOKS * LONGEST_LOOK_SECONDS,
            on_failure=self._note_no_answer,
            clock=clock,
        )

    def note_insert(self, seconds: float) -> None:
        """Take in how long an insert took."""
        self._pace.note_insert(seconds)
        self._count_parts_if_due()
        self._tell()

    def look(self) -> None:
        """Take in what has failed and what was answered since the last call; call it once a turn."""
        if self._failures:
            while self._failures:
                self._take(self._failures.popleft())
            self._count_parts_if_due()
            self._tell()
        elif self._clock() >= self._tell_due_at_seconds:
            self._tell()

    def stop(self) -> None:
        """Ask no more, and warn of nothing: no batch of this membership fills any more."""
        self._parts.stop()
        self._health.warn("back_pressure", None)

    def _take(self, failed: FailedAttempt) -> None:
        self._pace.note_failure(failed.seconds)
        if failed.is_overload:
            self._pace.note_refusal()

    def _count_parts_if_due(self) -> None:
        now = self._clock()
        if now < self._look_due_at_seconds:
            return
        counted = self._parts.latest()
        if counted is not None and counted.share >= FEW_PARTS_SHARE:
            self._pause.reset()
        self._look_due_at_seconds = now + self._pause.next_seconds()
        self._parts.start()

    def _tell(self) -> None:
        self._tell_due_at_seconds = self._clock() + TELL_EVERY_SECONDS
        pace, counted = self._pace, self._parts.latest()
        pace.note_parts(counted.share if counted else 0.0)
        self._metrics.pace(
            age_seconds=pace.age_seconds,
            wanted_seconds=pace.wanted_seconds,
            parts_share=counted.share if counted else None,
        )
        self._health.warn(
            "back_pressure", widened_batches(pace, counted) if pace.is_widened else None
        )

    def _note_no_answer(self, error: BrokerError | StorageError) -> None:
        """Say once that we may not count the parts; that ClickHouse is away is said by whoever stores."""
        if isinstance(error, StorageRejectedError) and not self._is_refused:
            self._is_refused = True
            self._log.info("cannot count the parts of the tables", reason=str(error))


def widened_batches(pace: InsertPace, parts: FullestTable | None) -> str:
    """Say that batches fill longer than they should, why, and the way out."""
    reasons: list[str] = []
    if pace.is_refused:
        reasons.append("it refused an insert for having too many parts, or too much to do")
    if parts is not None and pace.has_many_parts:
        reasons.append(
            f"{parts.table} has {parts.parts} parts, and slows inserts down at {parts.limit}"
        )
    if not reasons or PAUSES_AN_INSERT * pace.insert_seconds > pace.freshness_seconds:
        reasons.append(f"an insert takes {pace.insert_seconds:.1f} s")
    return (
        f"ClickHouse bears fewer inserts ({'; '.join(reasons)}): a batch fills for {pace.age_seconds:.1f} s where the"
        f" wanted freshness is {pace.freshness_seconds:g} s, so that rows are later, and none is lost; see"
        " system.merges and its disk and CPU, or raise TRAILHOUSE_WORKER_FRESHNESS_SECONDS"
    )
