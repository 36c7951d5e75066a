"""Watches a commit that does not come back: whether Kafka is away, which is waited for, or we hang."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from trailhouse.consumer.monitoring.background_query import BackgroundQuery
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.schemas.errors import TrailhouseError

OVERDUE_SECONDS = 5.0
CHECK_SECONDS = 1.0


class CommitMonitor:
    """Entered before a commit and left after it.

    librdkafka goes on trying for as long as Kafka is away, in our thread. Meanwhile a second thread
    asks Kafka: an answer that does not come is a sign of life, since there is nothing to be done; if
    Kafka answers and the commit still hangs, the watchdog hears nothing, and ends the process.
    """

    def __init__(
        self,
        check: Callable[[], None],
        on_away: Callable[[TrailhouseError | None], None],
        heartbeat: Heartbeat,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_away = on_away
        self._heartbeat = heartbeat
        self._clock = clock
        self._began_at_seconds = clock()
        self._kafka = BackgroundQuery(
            check,
            name="commit",
            every_seconds=CHECK_SECONDS,
            first_after_seconds=CHECK_SECONDS,
            on_answer=self._note_answer,
            on_failure=self._note_failure,
        )

    def __enter__(self) -> Self:
        self._began_at_seconds = self._clock()
        self._kafka.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kafka.stop()
        self._kafka.join()  # what it says must not come after what the commit's outcome says

    def _note_answer(self, _: None) -> None:
        # Kafka answers, so it is this commit that hangs: no sign of life is given, and the watchdog counts.
        if self._clock() - self._began_at_seconds >= OVERDUE_SECONDS:
            self._on_away(None)

    def _note_failure(self, error: TrailhouseError) -> None:
        self._on_away(error)
        self._heartbeat.turned()
        self._heartbeat.waited()
