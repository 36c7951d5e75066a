"""What a reader is asked of runs, sessions and cost over all sessions: the part of `AuditReader` that hands it on."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from trailhouse.query.answer import Answer, Page
from trailhouse.query.budget import Meter, ReadBudget, naming_budget
from trailhouse.query.config import ReaderConfig
from trailhouse.query.cursor import Cursors
from trailhouse.query.filtering.grammar import as_filter
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.run_status import RUN_STATUSES, SESSION_STATUSES, RunStatus, SessionStatus
from trailhouse.query.runs.group_page import DEFAULT_LIMIT, Asked, statuses_of
from trailhouse.query.runs.runs import RunSummary, read_runs
from trailhouse.query.runs.sessions import SessionSummary, read_sessions
from trailhouse.query.runs.usage import CostReport, UsageReport, read_costs, read_usage
from trailhouse.query.runs.usage_sql import UsageKey, UsageQuestion, usage_keys
from trailhouse.store import ClickHouse


class RunReads(ABC):
    """Reads of runs, sessions, tokens and cost; what it reads from is `AuditReader`'s.

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

    def runs(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        status: RunStatus | Iterable[RunStatus] = (),
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        budget: ReadBudget | None = None,
    ) -> Page[RunSummary]:
        """Return a page of runs, the one that started last first; docs/reads.md says what a run is.

        Args:
            wanted: Which runs, as a filter or its text. A condition on a field of events is met by a run of
                which an event meets it, a negated one by a run of which none does; `since` and `until` are
                of the run's start; `outcome` is its status, `duration` its own, and `cost` and tokens are
                met by the sum of either book.
            status: Only runs with this status, or with one of these.
            cursor: `next` of the page before; None for the first page.
            limit: At most so many, 1,000 or fewer.
            budget: What it may cost; what was found until it is spent is the page, and says so.

        Raises:
            QueryError: The filter, status, cursor or limit is wrong. Permanent.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        asked = Asked(
            what="runs",
            wanted=as_filter(wanted, cursor),
            statuses=statuses_of(status, RUN_STATUSES),
            tenant_id=self.tenant_id,
            principal=self.principal,
            cursor=cursor,
            limit=limit,
            budget=budget or self._reads.budget,
        )
        return read_runs(self._ready(), asked, self._cursors, dt.datetime.now(dt.UTC))

    def sessions(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        status: SessionStatus | Iterable[SessionStatus] = (),
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        budget: ReadBudget | None = None,
    ) -> Page[SessionSummary]:
        """Return a page of sessions, the one that started last first; `recent_sessions` is by append.

        Args:
            wanted: Which sessions, as for `runs`; `outcome` is of any of their events, and `duration` from
                their first event to their last.
            status: Only sessions with this status, or with one of these.
            cursor: `next` of the page before; None for the first page.
            limit: At most so many, 1,000 or fewer.
            budget: What it may cost; what was found until it is spent is the page, and says so.

        Raises:
            QueryError: The filter, status, cursor or limit is wrong. Permanent.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        asked = Asked(
            what="sessions",
            wanted=as_filter(wanted, cursor),
            statuses=statuses_of(status, SESSION_STATUSES),
            tenant_id=self.tenant_id,
            principal=self.principal,
            cursor=cursor,
            limit=limit,
            budget=budget or self._reads.budget,
        )
        return read_sessions(self._ready(), asked, self._cursors, dt.datetime.now(dt.UTC))

    def usage(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        by: UsageKey | Sequence[UsageKey] = (),
        zone: str = "UTC",
        budget: ReadBudget | None = None,
    ) -> Answer[UsageReport]:
        """Return tokens and cost by both books, which are never added, of all events that are wanted.

        Args:
            wanted: Which events, as a filter or its text.
            by: What to group by: any of agent, provider, model, tenant, actor, and one of hour, day, month.
            zone: The IANA name of the time zone whose hours, days and months are meant.
            budget: What it may cost. A sum has no part that could stand for it: a spent budget is an error.

        Raises:
            QueryError: The filter, a key or the zone is wrong. Permanent.
            StorageLimitError: The budget is spent. Retriable, with a larger one or a narrower question.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        question = UsageQuestion(as_filter(wanted), self.tenant_id, usage_keys(by), zone)
        with naming_budget("usage"):
            return read_usage(self._ready(), question, Meter(budget or self._reads.budget))

    def costs(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        by: UsageKey | Sequence[UsageKey] = (),
        zone: str = "UTC",
        budget: ReadBudget | None = None,
    ) -> Answer[CostReport]:
        """Return costs by both books, events without a price, and runs without any: the rest as `usage`.

        Raises:
            QueryError, StorageError, ConfigError: As for `usage`.
        """
        question = UsageQuestion(as_filter(wanted), self.tenant_id, usage_keys(by), zone)
        with naming_budget("costs"):
            return read_costs(self._ready(), question, Meter(budget or self._reads.budget))
