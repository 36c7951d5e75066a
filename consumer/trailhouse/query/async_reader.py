"""The reader for asyncio: the same questions, asked beside the event loop; there is one implementation."""

import datetime as dt
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Literal, Self, cast, overload

from trailhouse.query.async_follower import AsyncFollower
from trailhouse.query.config import ReaderConfig
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.in_thread import OffLoop, call_in, in_thread
from trailhouse.query.reader import AuditReader
from trailhouse.query.session_log.records import AlteredEvent
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import QueryError
from trailhouse.store.config import ClickHouseConfig

DEFAULT_THREADS = 8
MAX_THREADS = 256


class AsyncAuditReader(OffLoop):
    """An `AuditReader` for coroutines: the same methods, arguments, answers and errors, none of which holds the loop.

    Each question takes a thread while ClickHouse answers; those beyond `threads` wait their turn. A cancelled
    caller waits no longer: what waits for a thread is not begun, and what runs ends by its own timeout::

        async with AsyncAuditReader() as reader:
            runs = await reader.runs("outcome:failed")

    Args:
        tenant_id: As of an `AuditReader`.
        config: Likewise.
        reads: Likewise.
        principal: Likewise.
        threads: Most questions at a time, 1 to 256.

    Raises:
        ConfigError: A setting is wrong. Permanent.
        QueryError: `tenant_id` is not a string, or *threads* is not such a number. Permanent.
    """

    def __init__(
        self,
        tenant_id: str | None = None,
        *,
        config: ClickHouseConfig | None = None,
        reads: ReaderConfig | None = None,
        principal: str = "",
        threads: int = DEFAULT_THREADS,
    ) -> None:
        if not 1 <= threads <= MAX_THREADS:
            raise QueryError(f"threads: must be a whole number from 1 to {MAX_THREADS}")
        super().__init__(
            AuditReader(tenant_id, config=config, reads=reads, principal=principal), threads
        )

    @property
    def tenant_id(self) -> str | None:
        """The one tenant whose events this reader sees; None sees all."""
        return self.blocking.tenant_id

    @property
    def principal(self) -> str:
        """On whose behalf is read."""
        return self.blocking.principal

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections and let the threads go; nothing more can be asked. May be called again."""
        # Not on its threads: all of them may wait for ClickHouse, and closing is what ends that.
        self.executor.shutdown(wait=False, cancel_futures=True)
        with ThreadPoolExecutor(1, thread_name_prefix="trailhouse-reader-close") as last:
            await call_in(last, self.blocking.close)

    @overload
    async def get_audit_log(
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
    async def get_audit_log(
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

    async def get_audit_log(
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
        """Do what `AuditReader.get_audit_log` does; the same arguments, guarantees and errors."""
        # Its two forms are told apart by a literal, which is not one here.
        ask = cast(
            "Callable[..., list[AuditEvent] | list[AuditEvent | AlteredEvent]]",
            self.blocking.get_audit_log,
        )
        return await call_in(
            self.executor,
            ask,
            session_id,
            run_id=run_id,
            type=type,
            standing=standing,
            since=since,
            until=until,
            limit=limit,
            on_altered=on_altered,
        )

    conflicts = in_thread(AuditReader.conflicts)
    wait_stored = in_thread(AuditReader.wait_stored)
    outline = in_thread(AuditReader.outline)
    recent_sessions = in_thread(AuditReader.recent_sessions)
    overview = in_thread(AuditReader.overview)
    count_by_type = in_thread(AuditReader.count_by_type)
    sql = in_thread(AuditReader.sql)
    search = in_thread(AuditReader.search)
    count = in_thread(AuditReader.count)
    histogram = in_thread(AuditReader.histogram)
    facets = in_thread(AuditReader.facets)
    get_event = in_thread(AuditReader.get_event)
    standings = in_thread(AuditReader.standings)
    runs = in_thread(AuditReader.runs)
    sessions = in_thread(AuditReader.sessions)
    usage = in_thread(AuditReader.usage)
    costs = in_thread(AuditReader.costs)
    timeline = in_thread(AuditReader.timeline)
    compare = in_thread(AuditReader.compare)
    approvals = in_thread(AuditReader.approvals)
    anomalies = in_thread(AuditReader.anomalies)

    export = in_thread(AuditReader.export)
    export_pieces = in_thread(AuditReader.export_pieces)

    def follow(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        token: str | None = None,
        from_start: bool = False,
        principal: str | None = None,
    ) -> AsyncFollower:
        """Return what gives events as they are stored: a context manager, which begins when it is entered.

        Arguments, guarantees and errors are those of `AuditReader.follow`.
        """
        return AsyncFollower(
            lambda: self.blocking.follow(
                wanted, token=token, from_start=from_start, principal=principal
            )
        )
