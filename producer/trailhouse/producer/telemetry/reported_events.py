"""Events that somebody else's code reports: kept whatever they hold, and told where they cannot be."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from trailhouse.producer.context import described
from trailhouse.producer.object_fields import context_fields
from trailhouse.producer.run_events import RunEvents
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import InvalidEventError, TrailhouseError
from trailhouse.schemas.json_form import kind_of
from trailhouse.schemas.unencodable import mark_unencodable

if TYPE_CHECKING:
    from trailhouse.producer.context import Bound
    from trailhouse.producer.receipt import Receipt

log = logging.getLogger(__name__)

SHOWN_CHARACTERS = 256


class ReportedEvents(RunEvents):
    """Logs by *logger* what a caller reports who cannot mend it: a telemetry handler, an adapter.

    With *marks*, a value that breaks a rule becomes a marker in its place: see `trailhouse.schemas.unencodable`.
    """

    def __init__(self, logger: RunEvents, *, marks: bool) -> None:
        self._logger = logger
        self._marks = marks

    def log_fields(self, fields: dict[str, Any]) -> Receipt | None:
        """Log an event of *fields*, named as in `AuditLogger.log`, with what is bound.

        Raises:
            EventError, DeliveryError: As `AuditLogger.log`.
        """
        draft = self._admit(self._bound.stamp(EventDraft(**fields)))
        return None if draft is None else self._write(draft)

    @property
    def _bound(self) -> Bound:
        return self._logger._bound

    def _admit(self, draft: EventDraft) -> EventDraft | None:
        return self._logger._admit(draft)

    def _write(self, draft: EventDraft) -> Receipt | None:
        try:
            return self._logger._write(draft)
        except InvalidEventError:
            if not self._marks:
                raise
            return self._logger._write(mark_unencodable(draft))


def tell_unlogged(name: str, run: object, session: object, error: Exception) -> None:
    """Say in our log which event of which run is not audited, and why."""
    # Our own errors name fields and rules; the text of a foreign one can hold what must not be logged.
    reason = str(error) if isinstance(error, TrailhouseError) else kind_of(error)
    ids = context_fields(described(run), described(session))
    log.error(
        "%s of run %s in session %s is not audited: %s",
        ascii(name)[1:-1][:SHOWN_CHARACTERS],
        _shown(ids["run_id"]),
        _shown(ids["session_id"]),
        reason,
    )


def _shown(value: object) -> str:
    if type(value) not in (str, int):
        return "unknown" if value is None else f"<{kind_of(value)}>"
    return ascii(value)[:SHOWN_CHARACTERS]
