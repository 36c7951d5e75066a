"""The way from a recorder to the log: what cannot be logged is counted and told, and harms nobody."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.context import Binding, Bound, fields_of
from trailhouse.producer.recording.guard import losses_seen
from trailhouse.producer.run_events import RunEvents
from trailhouse.producer.telemetry.reported_events import ReportedEvents
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import TrailhouseError
from trailhouse.schemas.json_form import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trailhouse.producer.context_layers import Layers
    from trailhouse.producer.receipt import Receipt

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

    def leave_to_parent(self) -> None:
        """Begin anew in a forked child, where another thread's lock is held for ever."""
        self._lock = threading.RLock()
        self._told_at, self._untold = None, 0


class ContextFields:
    """What is bound where it is asked for, to one logger; it does not keep that logger alive."""

    def __init__(self, layers: Layers[Bound], stamps: Bound) -> None:
        self._layers = layers
        self.stamps = stamps

    @property
    def bound(self) -> Bound:
        """What is bound here."""
        layer = self._layers.top
        return self.stamps if layer is None else layer.value

    def bind(self, run: object, late_session: Callable[[], str | None]) -> Binding:
        """Return a block in which *run* is bound.

        Args:
            run: The run.
            late_session: Asked for its session where that is not known yet, with each event that needs one.

        Raises:
            InvalidEventError: A field of it breaks a rule. Permanent; nothing is bound.
        """
        fields = fields_of(run, None, {})
        return Binding(self._layers, self.stamps, fields, run, None, late_session)


class LoggedEvents(RunEvents):
    """Logs as a logger does, by its parts; it does not keep that logger alive."""

    def __init__(
        self,
        context: ContextFields,
        admit: Callable[[EventDraft], EventDraft | None],
        write: Callable[[EventDraft], Receipt | None],
    ) -> None:
        self._context = context
        self._admit_draft = admit
        self._write_draft = write

    @property
    def _bound(self) -> Bound:
        return self._context.bound

    def _admit(self, draft: EventDraft) -> EventDraft | None:
        return self._admit_draft(draft)

    def _write(self, draft: EventDraft) -> Receipt | None:
        return self._write_draft(draft)


class SafeEvents:
    """Logs events; what goes wrong is noted as a loss, or raised where it is asked for.

    An application does not wait for room in a full spool on our account: without room an event is a loss at once.
    In strict mode it waits, as `AuditLogger.log` does.
    """

    def __init__(self, waiting: RunEvents, at_once: RunEvents, losses: Losses) -> None:
        self._waiting = ReportedEvents(waiting, marks=True)
        self._at_once = ReportedEvents(at_once, marks=True)
        self._losses = losses

    def admits(self, fields: Mapping[str, Any]) -> bool:
        """Tell whether events of *fields* are written in the current context, and have it told where not."""
        return self._at_once.admits(fields)

    def log(self, fields: Mapping[str, Any], *, strict: bool, is_admitted: bool) -> None:
        """Log an event of *fields*, which are complete: nothing of the calling context is added to them.

        Args:
            fields: Named as in `AuditLogger.log`.
            strict: Raise what goes wrong.
            is_admitted: Log it also where auditing is switched off.

        Raises:
            EventError, DeliveryError: As `AuditLogger.log`, with *strict* alone.
        """
        may_wait = strict or losses_seen.get() is not None
        try:
            events = self._waiting if may_wait else self._at_once
            events.write_fields(fields, is_admitted=is_admitted)
        except Exception as error:
            if strict:
                raise
            self._losses.note(str(fields.get("type")), error)
