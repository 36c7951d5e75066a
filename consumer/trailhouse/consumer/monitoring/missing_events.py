"""Asks ClickHouse whether an event is missing; the answer is a metric that must be 0.

One worker of the group asks, that of partition 0: the answer is about all of them.
"""

from collections.abc import Callable

import structlog

from trailhouse.consumer.monitoring.background_query import BackgroundQuery
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.sequence_gaps import GapFinder
from trailhouse.store.sequences import settled_ranges

FIRST_AFTER_SECONDS = 5.0
LOOK_BACK_SECONDS = 3_600.0
SETTLED_AFTER_SECONDS = 120.0


def missing_events(
    storage: ClickHouse,
    *,
    since_seconds: float = LOOK_BACK_SECONDS,
    settle_seconds: float = SETTLED_AFTER_SECONDS,
) -> int:
    """Return how many of the producers' numbers ClickHouse misses among what Kafka took not long ago.

    A number counts when a higher one of the same producer is in since `settle_seconds`: that must be
    longer than a worker's delay, since another partition may be behind. Asks ClickHouse alone; its
    clock and Kafka's are taken to agree. A jump that is not plausible counts as one event.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    between = settled_ranges(storage, since_seconds=since_seconds, settle_seconds=settle_seconds)
    return sum(found.size for found in GapFinder(storage).holes(between).values())


class MissingEvents:
    """Asks *count* while it is ours to ask, and tells what it says; for one thread at a time."""

    def __init__(self, count: Callable[[], int], metrics: WorkerMetrics) -> None:
        self._count = count
        self._metrics = metrics
        self._log = structlog.get_logger("trailhouse.worker")
        self._said = 0

    def in_background(
        self, is_ours: Callable[[], bool], every_seconds: float
    ) -> BackgroundQuery[int]:
        """Return the question, to be started: it is asked whenever *is_ours* says so."""
        return BackgroundQuery(
            lambda: self.ask(is_ours=is_ours()),
            name="account",
            every_seconds=every_seconds,
            first_after_seconds=min(FIRST_AFTER_SECONDS, every_seconds),
            on_answer=self.tell,
            on_failure=self.tell_failure,
        )

    def ask(self, *, is_ours: bool) -> int:
        """Return how many events are missing; 0 when another worker says it.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent). Ask again.
        """
        return self._count() if is_ours else 0

    def tell(self, events: int) -> None:
        """Show the answer, and say it in the log when it has changed."""
        self._metrics.missing(events)
        # Once for each figure: a lasting hole would fill the log.
        if events and events != self._said:
            self._log.error("events are missing", events=events, way="run `trailhouse account`")
        self._said = events

    def tell_failure(self, error: Exception) -> None:
        """Say that there is no answer; the last one stands."""
        self._log.warning("cannot ask for missing events", reason=str(error))
