"""One read on its way through a door: however it ends, it is written down once."""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from trailhouse.access.principal import Principal
from trailhouse.access.read_audit import Read, ReadAudit, Stage
from trailhouse.query.filtering.grammar import MAX_TEXT_CHARACTERS, as_filter
from trailhouse.schemas.errors import QueryError

FORBIDDEN_SCOPE = "forbidden-scope"


class Reading:
    """What becomes an `audit_read`.

    Args:
        audit: Where it is written down.
        principal: Who asks.
        operation: What is asked.
        asked: The filter and whatever else narrows it, as it was given.
        now: A clock in seconds that only goes on.

    Attributes:
        asked: As above; a door may learn it later.
        session_id: The one session that is read, where it is one.
    """

    def __init__(
        self,
        audit: ReadAudit,
        principal: Principal,
        operation: str,
        asked: Mapping[str, object],
        *,
        session_id: str | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._audit = audit
        self._principal = principal
        self._operation = operation
        self._now = now
        self._started = now()
        self._is_noted = False
        self.asked = asked
        self.session_id = session_id

    def note(
        self, rows: int, *, complete: bool | None, stage: Stage = "page", failed: str | None = None
    ) -> None:
        """Write down how it ended, or of a stream that it begins.

        Raises:
            SpoolFullError, SpoolUnavailableError: As for `ReadAudit.note`; what was read must not be given.
        """
        self._is_noted = True
        read = Read(
            operation=self._operation,
            asked=self.asked,
            rows=rows,
            complete=complete,
            duration_seconds=self._now() - self._started,
            session_id=self.session_id or _session_of(self.asked),
            stage=stage,
            failed=failed,
        )
        self._audit.note(self._principal, read)

    @contextmanager
    def noted_if_it_fails(self) -> Generator[None]:
        """Write down an error that ends the read, by its kind alone: its words may hold what was stored.

        Raises:
            SpoolFullError, SpoolUnavailableError: As for `note`, in place of the error.
        """
        try:
            yield
        except Exception as error:
            if not self._is_noted:
                self.note(0, complete=False, failed=kind_of(error))
            raise


def _session_of(asked: Mapping[str, object]) -> str | None:
    """Return the one session that was asked for, as a parameter or as `session:` of the filter."""
    session, text = asked.get("session"), asked.get("q")
    if isinstance(session, str):
        return session
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
        return None
    try:
        conditions = as_filter(text).conditions
    except QueryError:
        return None
    named = {
        each.values
        for each in conditions
        if (each.field, each.operator, each.negated) == ("session", "=", False)
    }
    only = named.pop() if len(named) == 1 else ()
    return str(only[0]) if len(only) == 1 else None


def kind_of(error: Exception) -> str:
    """Return the kind of an error: what it calls itself, or its class."""
    kind = getattr(error, "kind", None)
    return kind if isinstance(kind, str) else type(error).__name__
