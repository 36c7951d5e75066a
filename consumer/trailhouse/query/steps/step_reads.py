"""What a reader is asked of steps, approvals and anomalies: the part of `AuditReader` that hands it on."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterable

from trailhouse.query.answer import Answer
from trailhouse.query.budget import Meter, ReadBudget, naming_budget
from trailhouse.query.config import ReaderConfig
from trailhouse.query.filtering.grammar import as_filter
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.standing.standings import Standings
from trailhouse.query.steps.anomalies import AnomalyReport, AnomalyThresholds
from trailhouse.query.steps.approvals import ApprovalReport
from trailhouse.query.steps.compare import Comparison
from trailhouse.query.steps.read_anomalies import DEFAULT_ANOMALIES, read_anomalies
from trailhouse.query.steps.read_approvals import DEFAULT_APPROVALS, read_approvals
from trailhouse.query.steps.read_compare import RunName, read_comparison
from trailhouse.query.steps.read_timeline import read_timeline
from trailhouse.query.steps.timeline import Timeline
from trailhouse.store import ClickHouse


class StepReads(ABC):
    """Reads of what agents did step by step; what it reads from is `AuditReader`'s.

    Attributes:
        tenant_id: The one tenant whose events are seen; None sees all.
    """

    tenant_id: str | None
    _reads: ReaderConfig
    _standings: Standings

    @abstractmethod
    def _ready(self) -> ClickHouse: ...

    def timeline(
        self,
        session_id: str | None = None,
        *,
        run_id: str | None = None,
        standing: str | Iterable[str] | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int | None = None,
        budget: ReadBudget | None = None,
    ) -> Answer[Timeline]:
        """Return what happened in a session, or in a run and the runs that it started, step by step.

        A session or run that this reader does not see has a timeline without events.

        Args:
            session_id: The session; may be left out where one session alone has the run.
            run_id: The run; None for the whole session.
            standing: Only events of this standing, or of these: ``attested`` is what no stranger can add to.
            since: Only events that occurred then or later.
            until: Only events that occurred then or earlier.
            limit: At most so many events, the first in time; never more than 20,000. The answer says how
                many were left out, and how to go on.
            budget: What it may cost. Steps are told from the first on: a spent budget is an error.

        Raises:
            QueryError: Neither is named, several sessions have that run, or as for `get_audit_log`. Permanent.
            StorageLimitError: The budget is spent. Retriable, with a larger one or a narrower question.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        with naming_budget("the timeline"):
            return read_timeline(
                self._ready(),
                Meter(budget or self._reads.budget),
                tenant_id=self.tenant_id,
                session_id=session_id,
                run_id=run_id,
                standing=standing,
                since=since,
                until=until,
                limit=limit,
            )

    def compare(
        self,
        run_a: str,
        run_b: str,
        *,
        session_a: str | None = None,
        session_b: str | None = None,
        tenant_a: str | None = None,
        tenant_b: str | None = None,
        standing: str | Iterable[str] | None = None,
        budget: ReadBudget | None = None,
    ) -> Answer[Comparison]:
        """Return two runs side by side: steps aligned, the first difference, what each did else, costs and tokens.

        A run that this reader does not see has no events. Runs that they started are not looked at.

        Args:
            run_a: The first run.
            run_b: The second run.
            session_a: Its session; may be left out where one session alone has the run.
            session_b: Likewise, of the second run.
            tenant_a: The first run's tenant; may be left out where one tenant alone has the run in that session. An
                empty one is none: the run without a tenant.
            tenant_b: Likewise, of the second run.
            standing: Only events of this standing, or of these.
            budget: What both together may cost; a spent one is an error.

        Raises:
            QueryError: Several sessions or tenants have that run. Permanent.
            StorageLimitError: As for `timeline`.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        with naming_budget("both runs"):
            return read_comparison(
                self._ready(),
                Meter(budget or self._reads.budget),
                RunName(run_a, session_a, tenant_a),
                RunName(run_b, session_b, tenant_b),
                tenant_id=self.tenant_id,
                standing=standing,
            )

    def approvals(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        limit: int = DEFAULT_APPROVALS,
        budget: ReadBudget | None = None,
    ) -> Answer[ApprovalReport]:
        """Return what was asked before tools ran, who answered, how quickly, and whether the call ran anyway.

        Beside it, calls of tools that ran without anybody being asked, where others of that tool asked.

        Args:
            wanted: A filter or its text: approvals of which an event meets it, and calls whose start meets it.
            limit: At most so many of each, the latest; 1,000 or fewer.
            budget: What it may cost; a spent one is an error.

        Raises:
            QueryError: The filter asks for words or is wrong, or the limit is. Permanent.
            StorageLimitError: As for `timeline`.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        with naming_budget("approvals"):
            return read_approvals(
                self._ready(),
                Meter(budget or self._reads.budget),
                as_filter(wanted),
                self._standings,
                tenant_id=self.tenant_id,
                limit=limit,
            )

    def anomalies(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        thresholds: AnomalyThresholds | None = None,
        limit: int = DEFAULT_ANOMALIES,
        budget: ReadBudget | None = None,
    ) -> Answer[AnomalyReport]:
        """Return what does not fit: runs without an end, missing numbers, clocks apart, late arrivals, conflicts.

        Args:
            wanted: A filter or its text: runs, calls and events of which an event meets it. Numbers that are
                missing are looked for without one alone, by a reader of all tenants; `since` they heed.
            thresholds: From when on something does not fit.
            limit: At most so many of each kind, the latest; 1,000 or fewer. All are counted.
            budget: What it may cost; a kind for which it did not suffice is named as left out.

        Raises:
            QueryError: The filter asks for words or is wrong, or a number is. Permanent.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        return read_anomalies(
            self._ready(),
            as_filter(wanted),
            tenant_id=self.tenant_id,
            thresholds=thresholds or AnomalyThresholds(),
            limit=limit,
            budget=budget or self._reads.budget,
            now=dt.datetime.now(dt.UTC),
        )
