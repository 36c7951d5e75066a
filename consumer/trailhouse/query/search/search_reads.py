"""What a reader is asked of single events of all sessions: the part of `AuditReader` that hands it on."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from trailhouse.proof.standing import Standing
from trailhouse.query.answer import Answer, Page
from trailhouse.query.budget import ReadBudget
from trailhouse.query.config import ReaderConfig
from trailhouse.query.cursor import Cursors
from trailhouse.query.filtering.grammar import as_filter
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.search.by_time import CopiesMet
from trailhouse.query.search.facets import DEFAULT_FIELDS, DEFAULT_VALUES, Facet, facets
from trailhouse.query.search.found import FoundEvent
from trailhouse.query.search.found_standings import with_standings
from trailhouse.query.search.one_event import get_event
from trailhouse.query.search.pages import search
from trailhouse.query.search.request import DEFAULT_LIMIT, Order, question
from trailhouse.query.search.totals import Bucket, BucketSize, count, histogram
from trailhouse.query.standing.standings import Standings
from trailhouse.query.standing.subjects import subject_of
from trailhouse.schemas import AuditEvent
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
    _standings: Standings
    _copies_met: CopiesMet

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
            as_filter(wanted, cursor),
            tenant_id=self.tenant_id,
            principal=self.principal,
            newest_first=newest_first,
            by=by,
            limit=limit,
        )
        page = search(
            self._ready(),
            asked,
            self._cursors,
            self._copies_met,
            cursor,
            budget or self._reads.budget,
        )
        return with_standings(self._ready(), self._standings, page)

    def count(
        self, wanted: SearchFilter | str | None = None, *, budget: ReadBudget | None = None
    ) -> Answer[int]:
        """Return how many events *wanted* describes, each once, those whose clocks lie ahead too.

        `exact` says whether it is all of them; a spent budget gives those from the newest back to `searched_back_to`.

        Args:
            wanted: A filter or its text; None is every event.
            budget: What it may cost; that of the settings if None.

        Raises:
            QueryError, StorageError, ConfigError: As for `search`.
        """
        return count(self._ready(), as_filter(wanted), self.tenant_id, budget or self._reads.budget)

    def histogram(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        by: BucketSize = "hour",
        zone: str = "UTC",
        budget: ReadBudget | None = None,
    ) -> Answer[tuple[Bucket, ...]]:
        """Return how many events happened in each minute, hour, day or month, the first first, with zeros.

        From since, or the first event, until *wanted* says, or the last event before now; 1,500 buckets at most,
        and what they do not reach is counted in `left_out`.

        Args:
            wanted: A filter or its text; None is every event.
            by: How long a bucket is: a minute, hour, day or month of the zone.
            zone: The time zone's IANA name, such as Europe/Berlin.
            budget: What it may cost; that of the settings if None.

        Raises:
            QueryError: The zone or size is unknown, or the time that was asked for has too many buckets. Permanent.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        return histogram(
            self._ready(),
            as_filter(wanted),
            self.tenant_id,
            budget or self._reads.budget,
            by,
            zone,
        )

    def facets(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        fields: Sequence[str] = DEFAULT_FIELDS,
        limit: int = DEFAULT_VALUES,
        budget: ReadBudget | None = None,
    ) -> Answer[tuple[Facet, ...]]:
        """Return the most frequent values of *fields*, with how many events have them.

        Args:
            wanted: A filter or its text; None is every event.
            fields: Names of a filter's fields that are text, 10 at most.
            limit: At most so many values of each, 1 to 1,000.
            budget: What it may cost; that of the settings if None.

        Raises:
            QueryError: A field has no facets, or the limit is out of range. Permanent.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        return facets(
            self._ready(),
            as_filter(wanted),
            self.tenant_id,
            budget or self._reads.budget,
            fields,
            limit,
        )

    def get_event(self, event_id: str, *, budget: ReadBudget | None = None) -> Page[FoundEvent]:
        """Return the event of that id with its whole record; none, or several where contents conflict.

        Quick for the ids that Trailhouse draws, which tell when. An id that is unknown and one of another
        tenant's give the same answer after the same work.

        Args:
            event_id: The id, a UUID; any other text is the id of nothing.
            budget: What it may cost; that of the settings if None.

        Raises:
            QueryError: The id is not text. Permanent.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        page = get_event(self._ready(), event_id, self.tenant_id, budget or self._reads.budget)
        return with_standings(self._ready(), self._standings, page)

    def standings(self, events: Sequence[AuditEvent]) -> list[Standing | None]:
        """Return the standing of each of *events* that were read from the log, in their order.

        By the bytes of their records: of two events with one id, each has its own. None of all of them where the policy
        enrols nobody, or ClickHouse does not let this reader see it.

        Args:
            events: Events, such as `get_audit_log` and `follow` give.

        Raises:
            StorageError, ConfigError: As for `get_audit_log`.
        """
        return self._standings.of(self._ready(), [subject_of(each) for each in events])
