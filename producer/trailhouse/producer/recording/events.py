"""The way from a recorder to the log: what cannot be logged is counted and told, and harms nobody."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.context import Binding, Bound, fields_of
from trailhouse.producer.recording.guard import losses_seen
from trailhouse.schemas.errors import InvalidEventError, TrailhouseError
from trailhouse.schemas.json_form import kind_of
from trailhouse.schemas.unencodable import mark_unencodable

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.producer.context_layers import Layers
    from trailhouse.producer.receipt import Receipt
    from trailhouse.schemas.draft import EventDraft, Processor

    Write = Callable[[EventDraft], Receipt | None]

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
        self.newest_layer = layers.newest
        self.stamps = stamps

    @property
    def bound(self) -> Bound:
        """What is bound here."""
        layer = None if self.newest_layer() is None else self._layers.top
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


class SafeEvents:
    """Logs events; what goes wrong is noted as a loss, or raised where it is asked for.

    An application does not wait for room in a full spool on our account: without room an event is a loss at once.
    In strict mode it waits, as `AuditLogger.log` does. Made of a logger's parts, it does not keep that logger alive.

    Attributes:
        admit: Returns the draft that it is given where its event is written in the current context; else None, and
            has it told that it is not.
    """

    def __init__(self, admit: Processor, waiting: Write, at_once: Write, losses: Losses) -> None:
        self.admit = admit
        self._waiting = waiting
        self._at_once = at_once
        self._losses = losses

    def log(self, draft: EventDraft, *, strict: bool = False, is_admitted: bool = False) -> None:
        """Log an event that is complete: nothing of the calling context is added. A value that breaks a rule is marked.

        Args:
            draft: The event.
            strict: Raise what goes wrong, and wait for room.
            is_admitted: Log it also where auditing is switched off: the end of what was begun where it was on.

        Raises:
            EventError, DeliveryError: As `AuditLogger.log`, with *strict* alone.
        """
        try:
            if not is_admitted and self.admit(draft) is None:
                return
            may_wait = strict or losses_seen.get() is not None
            write = self._waiting if may_wait else self._at_once
            try:
                write(draft)
            except InvalidEventError:
                write(mark_unencodable(draft))
        except Exception as error:
            if strict:
                raise
            self._losses.note(str(draft.type), error)
