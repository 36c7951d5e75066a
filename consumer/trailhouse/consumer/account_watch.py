"""Asks now and then, in a thread, whether an event is missing; the answer is a metric that must be 0.

One worker of the group asks, that of partition 0: the answer is about all of them.
"""

import threading
from collections.abc import Callable

import structlog

from trailhouse.consumer.metrics import WorkerMetrics
from trailhouse.schemas.errors import StorageError

FIRST_AFTER_SECONDS = 5.0


class AccountWatch:
    """Asks *missing_events* every *every_seconds* while it is ours to ask; 0: never."""

    def __init__(
        self, missing_events: Callable[[], int], every_seconds: float, metrics: WorkerMetrics
    ) -> None:
        self._missing_events = missing_events
        self._every_seconds = every_seconds
        self._metrics = metrics
        self._stop = threading.Event()
        self._log = structlog.get_logger("trailhouse.worker")
        self._said = 0

    def start(self, is_ours: Callable[[], bool]) -> None:
        """Begin to ask, whenever *is_ours* says so."""
        if self._every_seconds:
            threading.Thread(
                target=self._run, args=[is_ours], name="trailhouse-account", daemon=True
            ).start()

    def stop(self) -> None:
        """Ask no more. Does not block."""
        self._stop.set()

    def _run(self, is_ours: Callable[[], bool]) -> None:
        wait_seconds = min(FIRST_AFTER_SECONDS, self._every_seconds)
        while not self._stop.wait(wait_seconds):
            wait_seconds = self._every_seconds
            if is_ours():
                self._ask()
            else:
                self._note(0)

    def _ask(self) -> None:
        try:
            self._note(self._missing_events())
        except StorageError as error:
            self._log.warning("cannot ask for missing events", reason=str(error))

    def _note(self, events: int) -> None:
        self._metrics.missing(events)
        if events and events != self._said:
            self._log.error("events are missing", events=events, way="run `trailhouse account`")
        self._said = events
