"""The way from a recorder to the log: what cannot be logged is counted and told, and harms nobody."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.recording.guard import losses_seen
from trailhouse.producer.telemetry.reported_events import ReportedEvents
from trailhouse.schemas.errors import TrailhouseError
from trailhouse.schemas.json_form import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trailhouse.producer.run_events import RunEvents

log = logging.getLogger(__name__)

TOLD_EVERY_SECONDS = 60.0


class Losses:
    """Counts what could not be recorded, and says so in our log, once a minute at most."""

    def __init__(self, count: Callable[[], object], clock: Clock = SYSTEM_CLOCK) -> None:
        self._count = count
        self._now = clock.monotonic_seconds
        self._lock = threading.RLock()  # a signal handler may lose an event while one is noted
        self._told_at: float | None = None
        self._untold = 0

    def note(self, what: str, error: Exception) -> None:
        """Count one loss: *what* could not be done because of *error*. Raises nothing."""
        if (seen := losses_seen.get()) is not None and all(
            error is not each for each in seen.errors
        ):
            seen.errors.append(error)
        with self._lock:
            self._count()
            self._untold += 1
            now = self._now()
            if self._told_at is not None and now - self._told_at < TOLD_EVERY_SECONDS:
                return
            untold, self._untold, self._told_at = self._untold, 0, now
        # Our own errors name fields and rules; the text of a foreign one can hold what must not be logged.
        reason = str(error) if isinstance(error, TrailhouseError) else kind_of(error)
        log.error(
            "%d not recorded since the last such line; the last: %s: %s", untold, what, reason
        )


class SafeEvents:
    """Logs events by a logger; what goes wrong is noted as a loss, or raised where it is asked for."""

    def __init__(self, logger: RunEvents, losses: Losses) -> None:
        self._events = ReportedEvents(logger, marks=True)
        self._losses = losses

    def stamped(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return *fields* with what is bound here in the place of what they do not name."""
        return self._events.stamped(fields)

    def admits(self, fields: Mapping[str, Any]) -> bool:
        """Tell whether events of *fields* are written in the current context, and have it told where not."""
        return self._events.admits(fields)

    def log(self, fields: Mapping[str, Any], *, strict: bool) -> None:
        """Log an event of *fields*, which are complete: nothing of the calling context is added to them.

        Raises:
            EventError, DeliveryError: As `AuditLogger.log`, with *strict* alone.
        """
        try:
            self._events.write_fields(fields)
        except Exception as error:
            if strict:
                raise
            self._losses.note(str(fields.get("type")), error)
