"""What a reader is asked of single events of all sessions: the part of `AuditReader` that hands it on."""

from abc import ABC, abstractmethod

from trailhouse.query.answer import Page
from trailhouse.query.budget import ReadBudget
from trailhouse.query.config import ReaderConfig
from trailhouse.query.cursor import Cursors
from trailhouse.query.found import FoundEvent
from trailhouse.query.grammar import as_filter
from trailhouse.query.search import DEFAULT_LIMIT, Order, question, search
from trailhouse.query.search_filter import SearchFilter
from trailhouse.store import ClickHouse


class SearchReads(ABC):
    """Reads of single events and of how many there are; what it reads from is `AuditReader`'s.

    Attributes:
        tenant_id: The one tenant whose events are seen; None sees all.
        principal: On whose behalf is read.
    """

    tenant_id: str | None
    principal: str
    _cursors: Cursors
    _reads: ReaderConfig

    @abstractmethod
    def _ready(self) -> ClickHouse: ...

    def search(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        newest_first: bool = True,
        by: Order = "occurred",
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        budget: ReadBudget | None = None,
    ) -> Page[FoundEvent]:
        """Return a page of the events of all sessions that *wanted* describes, each once.

        Newest first begins at now: events whose clocks lie ahead are counted in `left_out`, unless *wanted*
        says until when. A spent budget gives what was found until then, `complete` False, and the cursor of the rest.

        Args:
            wanted: A filter or its text, such as ``type:run_failed agent:x``; None is every event.
            newest_first: From now backwards, or from the first event on.
            by: In order of the time when it happened, or in order of appending by the broker's clock.
            limit: At most so many, 1 to 1,000; fewer where their records are large.
            cursor: `next` of the page before, of the same question.
            budget: What it may cost; that of the settings if None.

        Raises:
            QueryError: The filter, limit or cursor cannot be answered; says what is allowed. Permanent.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        asked = question(
            as_filter(wanted),
            tenant_id=self.tenant_id,
            principal=self.principal,
            newest_first=newest_first,
            by=by,
            limit=limit,
        )
        return search(self._ready(), asked, self._cursors, cursor, budget or self._reads.budget)
