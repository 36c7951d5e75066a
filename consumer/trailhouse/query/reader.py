"""What did this agent do, and in what order: the audit log of one session."""

import datetime as dt
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, Self, overload

import msgspec

from trailhouse.query.budget import ReadBudget
from trailhouse.query.config import ReaderConfig
from trailhouse.query.cursor import Cursors
from trailhouse.query.filtering.filters import (
    SessionFilter,
    fleet_filter,
    session_filter,
    tenant,
)
from trailhouse.query.overview import Overview, count_by_type, read_overview
from trailhouse.query.runs.run_reads import RunReads
from trailhouse.query.search.by_time import CopiesMet
from trailhouse.query.search.search_reads import SearchReads
from trailhouse.query.session_log.append_order import Key, keys_in_append_order
from trailhouse.query.session_log.outline import (
    EMPTY,
    RecentSession,
    SessionOutline,
    read_outline,
    read_recent_sessions,
)
from trailhouse.query.session_log.records import AlteredEvent, fetch_events, fetch_session
from trailhouse.query.sql.statement import SHOWN_ROWS, SqlAnswer, prepared, read_sql
from trailhouse.query.standing.standings import Standings
from trailhouse.query.steps.step_reads import StepReads
from trailhouse.query.stream_reads import StreamReads
from trailhouse.query.wait_stored import STORED_TIMEOUT_SECONDS, Receipt, wait_stored
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import IntegrityError, QueryError
from trailhouse.store import ClickHouse
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.migrate import check_with


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """One event id that came with different contents, all of them kept.

    Attributes:
        event_id: The id they share, within one tenant and session.
        events: The different events, two or more, in append order.
    """

    event_id: str
    events: tuple[AuditEvent, ...]


class AuditReader(RunReads, SearchReads, StepReads, StreamReads):
    """Reads what was stored, each event once; safe to share between threads.

    Making one does no I/O; the first question connects, and refuses a database that this version
    does not know. A context manager that closes itself::

        with AuditReader() as reader:
            for event in reader.get_audit_log("session-1", type="run_failed"):
                print(event.occurred_at, event.data)

    Args:
        tenant_id: The one tenant whose events this reader sees; None sees all, those without a
            tenant too.
        config: Where ClickHouse is; from the settings if None.
        reads: What a read may cost and what cursors are sealed with; from the settings if None.
        principal: On whose behalf is read: cursors are bound to it.

    Raises:
        ConfigError: A setting is wrong. Permanent.
        QueryError: `tenant_id` is not a string. Permanent.
    """

    def __init__(
        self,
        tenant_id: str | None = None,
        *,
        config: ClickHouseConfig | None = None,
        reads: ReaderConfig | None = None,
        principal: str = "",
    ) -> None:
        self.tenant_id = tenant(tenant_id)
        self.principal = principal
        # First: a misspelt setting of ClickHouse is an error here, and only a warning to the next.
        self._clickhouse = ClickHouse(ClickHouseConfig() if config is None else config)
        self._reads = ReaderConfig() if reads is None else reads
        self._cursors = Cursors(self._reads.secret_for(self._clickhouse.config))
        self._standings = Standings()
        self._copies_met = CopiesMet()
        self._is_checked = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; may be called again."""
        self._clickhouse.close()

    @overload
    def get_audit_log(
        self,
        session_id: str,
        *,
        run_id: str | None = None,
        type: str | Iterable[str] | None = None,
        standing: str | Iterable[str] | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int | None = None,
        on_altered: Literal["raise"] = "raise",
    ) -> list[AuditEvent]: ...

    @overload
    def get_audit_log(
        self,
        session_id: str,
        *,
        run_id: str | None = None,
        type: str | Iterable[str] | None = None,
        standing: str | Iterable[str] | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int | None = None,
        on_altered: Literal["mark"],
    ) -> list[AuditEvent | AlteredEvent]: ...

    def get_audit_log(
        self,
        session_id: str,
        *,
        run_id: str | None = None,
        type: str | Iterable[str] | None = None,
        standing: str | Iterable[str] | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int | None = None,
        on_altered: Literal["raise", "mark"] = "raise",
    ) -> list[AuditEvent] | list[AuditEvent | AlteredEvent]:
        """Return the events of a session in append order, each once, equal to what was emitted.

        Append order is the order in Kafka. Any string is a legal value: one that no event carries
        (the empty string too) gives an empty list.

        A row that was altered in ClickHouse hides none of the others: with ``on_altered="mark"`` it
        stands in its place as an `AlteredEvent`, and the rest are events.

        Args:
            session_id: The session.
            run_id: Only events of this run.
            type: Only events of this type, or of these.
            standing: Only events of this standing, or of these: attested, pending, unattested, disputed.
            since: Only events that occurred then or later; any time zone, exact to the microsecond.
            until: Only events that occurred then or earlier, likewise.
            limit: At most so many, the first in append order; 1 or more.
            on_altered: What becomes of a row that is not what was appended: an error, or a mark.

        Raises:
            QueryError: An argument is of the wrong kind, a time is naive, a limit below 1. Permanent.
            IntegrityError: A row contradicts its own hash, or was found by a column that contradicts
                its record; names the event. Permanent; ask with ``on_altered="mark"``.
            StorageUnavailableError: Retriable; nothing was read.
            StorageRejectedError: Permanent, such as missing tables or rights; says the way out.
            SchemaMismatchError: The database is newer than this version. Permanent; says which one it needs.
            ConfigError: A file that the settings name cannot be used. Permanent.
        """
        if on_altered not in ("raise", "mark"):
            raise QueryError("on_altered: must be 'raise' or 'mark'")
        wanted = session_filter(
            session_id,
            tenant_id=self.tenant_id,
            run_id=run_id,
            type=type,
            standing=standing,
            since=since,
            until=until,
            limit=limit,
        )
        found = self._fetch(wanted)
        return _unaltered(session_id, found) if on_altered == "raise" else found

    def conflicts(self, session_id: str) -> list[Conflict]:
        """Return every event id of a session that came with different contents, first met first.

        Raises:
            QueryError, IntegrityError, StorageError, ConfigError: As for `get_audit_log`.
        """
        wanted = session_filter(session_id, tenant_id=self.tenant_id)
        if wanted.is_hopeless:
            return []
        groups = [
            keys for keys in _by_id(keys_in_append_order(self._ready(), wanted)) if len(keys) > 1
        ]
        return [self._conflict(wanted, keys) for keys in groups]

    def wait_stored(
        self,
        receipt: Receipt | Iterable[Receipt | None] | None,
        timeout_seconds: float = STORED_TIMEOUT_SECONDS,
    ) -> None:
        """Return when this reader sees the event of *receipt*, or of each of several.

        Waits for the broker's acknowledgement first, and then asks ClickHouse again and again: by
        key, and one question for many receipts.

        Args:
            receipt: What the producer gave for the event, or several of them; None, which it gives while
                auditing is off, is nothing to wait for.
            timeout_seconds: Longest wait for all of them together, both steps included.

        Raises:
            DeliveryTimeoutError: Not acknowledged or not stored in time. Retriable; the event is on
                its way, or another tenant's.
            DeliveryError: The broker refused it, or its logger is gone. As the receipt's `result`.
            EventQuarantinedError: It is in quarantine: it is in the topic, and no reader sees it before it is
                requeued. Permanent until then; says where it is.
            StorageRejectedError, ConfigError: As for `get_audit_log`. Permanent.
        """
        wait_stored(self._ready, self.tenant_id, receipt, timeout_seconds)

    def outline(self, session_id: str) -> SessionOutline:
        """Return what a session holds, in figures: no events if this reader sees no such session.

        Raises:
            QueryError, StorageError, ConfigError: As for `get_audit_log`.
        """
        wanted = session_filter(session_id, tenant_id=self.tenant_id)
        return EMPTY if wanted.is_hopeless else read_outline(self._ready(), wanted)

    def recent_sessions(
        self, *, since: dt.datetime | None = None, limit: int = 20
    ) -> list[RecentSession]:
        """Return the sessions that events were appended to last, the latest first.

        Args:
            since: Only events that occurred then or later count.
            limit: At most so many sessions.

        Raises:
            QueryError, StorageError, ConfigError: As for `get_audit_log`.
        """
        wanted = fleet_filter(tenant_id=self.tenant_id, since=since, limit=limit)
        return [] if wanted.is_hopeless else read_recent_sessions(self._ready(), wanted)

    def overview(self) -> Overview:
        """Return totals over all sessions that this reader sees, each event counted once.

        Raises:
            StorageError, ConfigError: As for `get_audit_log`.
        """
        return read_overview(self._ready(), fleet_filter(tenant_id=self.tenant_id))

    def count_by_type(self) -> dict[str, int]:
        """Return how many events of each type this reader sees, the most frequent first.

        Raises:
            StorageError, ConfigError: As for `get_audit_log`.
        """
        return count_by_type(self._ready(), fleet_filter(tenant_id=self.tenant_id))

    def sql(
        self, statement: str, *, limit: int = SHOWN_ROWS, budget: ReadBudget | None = None
    ) -> SqlAnswer:
        """Return what one SELECT on our views finds: events, runs, sessions, token_usage, tool_calls, approvals.

        It is checked before it is sent: tables and functions that are not listed, settings and formats are refused.
        A reader of one tenant sees the rows of that tenant alone, whatever the statement says.

        Args:
            statement: ClickHouse's SQL.
            limit: At most so many rows, up to 10,000; that there are more is said.
            budget: What it may cost. A statement that would cost more has no rows, and that is said.

        Raises:
            QueryError: It is refused, or ClickHouse cannot make sense of it; names the place. Permanent.
            StorageError, ConfigError: As for `get_audit_log`.
            ImportError: The package sqlglot is missing: it comes with trailhouse[sql].
        """
        guarded = prepared(statement, limit, self.tenant_id)
        return read_sql(
            self._ready(),
            guarded,
            limit,
            budget or ReadBudget(),
            is_bound=self.tenant_id is not None,
        )

    def _fetch(self, wanted: SessionFilter) -> list[AuditEvent | AlteredEvent]:
        if wanted.is_hopeless:
            return []
        # One question instead of two: there is nothing to choose keys by.
        if wanted.takes_all:
            return fetch_session(self._ready(), wanted)
        keys = keys_in_append_order(self._ready(), wanted)
        return fetch_events(self._ready(), wanted, keys) if keys else []

    def _conflict(self, wanted: SessionFilter, keys: list[Key]) -> Conflict:
        found = fetch_events(self._ready(), wanted, keys)
        return Conflict(
            event_id=keys[0].event_id, events=tuple(_unaltered(wanted.session_id, found))
        )

    def _ready(self) -> ClickHouse:
        # Not when it is made: a reader may be made before ClickHouse is up.
        with self._lock:
            if not self._is_checked:
                check_with(self._clickhouse)
                self._is_checked = True
        return self._clickhouse


def _unaltered(session_id: str, found: list[AuditEvent | AlteredEvent]) -> list[AuditEvent]:
    if AlteredEvent not in set(map(type, found)):
        return found  # type: ignore[return-value]  # there is no other kind
    # What an operator has ordered to be erased is not there any more; nobody has altered it.
    events = [each for each in found if isinstance(each, AuditEvent)]
    altered = [each for each in found if isinstance(each, AlteredEvent) and each.erased_by is None]
    if not altered:
        return events
    raise IntegrityError(
        f"session {session_id!r}: {len(altered)} of {len(found)} rows altered in ClickHouse; event"
        f" {altered[0].event_id}: {altered[0].reason}; on_altered='mark' returns the others too"
    )


def _by_id(keys: Iterable[Key]) -> list[list[Key]]:
    groups: dict[tuple[str, str], list[Key]] = {}
    for key in keys:
        groups.setdefault((key.tenant_id, key.event_id), []).append(key)
    return list(groups.values())
