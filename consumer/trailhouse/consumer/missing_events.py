"""Asks ClickHouse whether an event is missing; the answer is a metric that must be 0.

One worker of the group asks, that of partition 0: the answer is about all of them.
"""

from collections.abc import Callable

import structlog

from trailhouse.consumer.background_query import BackgroundQuery
from trailhouse.consumer.metrics import WorkerMetrics

FIRST_AFTER_SECONDS = 5.0


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
            StorageError: ClickHouse could not be asked. Ask again.
        """
        return self._count() if is_ours else 0

    def tell(self, events: int) -> None:
        """Show the answer, and say it in the log when it has changed."""
        self._metrics.missing(events)
        if events and events != self._said:
            self._log.error("events are missing", events=events, way="run `trailhouse account`")
        self._said = events

    def tell_failure(self, error: Exception) -> None:
        """Say that there is no answer; the last one stands."""
        self._log.warning("cannot ask for missing events", reason=str(error))
