"""What `AsyncAuditReader.follow` returns: a follower for coroutines, on a thread of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from trailhouse.query.follow.follower import Followed, Follower
from trailhouse.query.in_thread import call_in
from trailhouse.query.session_log.records import AlteredEvent
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import QueryError


class AsyncFollower:
    """A `Follower` for one coroutine at a time; those who wait for events hold up no other question of the reader::

        async with reader.follow("type:run_failed") as follower:
            async for event in follower:
                await tell(event, go_on_with=follower.token)

    What comes while a caller is cancelled is not lost: it is what the next `read` returns.
    """

    def __init__(self, begin: Callable[[], Follower]) -> None:
        self._begin = begin
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trailhouse-follower")
        self._follower: Follower | None = None
        self._pending: asyncio.Task[Followed] | None = None
        self._token = ""
        self._as_of: Mapping[str, int] = {}
        self._is_closed = False

    async def __aenter__(self) -> Self:
        """Begin to follow.

        Raises:
            QueryError, StorageError, ConfigError: As for `AuditReader.follow`.
        """
        self._follower = await call_in(self._thread, self._begin)
        self._token, self._as_of = self._follower.token, self._follower.as_of
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End, once a read that goes on has run out of time; may be called again.

        `token` stays: what nobody was given is not behind it.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if self._follower is not None:
            # On its thread, behind a read that nobody waits for any more: a follower is one thread's at a time.
            await call_in(self._thread, self._follower.close)
        self._thread.shutdown(wait=False)
        if self._pending is not None:
            await asyncio.wait([self._pending])
            # An error of what nobody waits for is nobody's.
            if not self._pending.cancelled():
                self._pending.exception()

    @property
    def token(self) -> str:
        """What goes on after the last event that was returned; empty before it has begun."""
        return self._token

    @property
    def as_of(self) -> Mapping[str, int]:
        """The last offset of each partition ("topic_id:partition") that was looked at."""
        return self._as_of

    async def __aiter__(self) -> AsyncIterator[AuditEvent | AlteredEvent]:
        """Yield events without end, until it is closed; `token` is that after the last one.

        Raises:
            SlowFollowerError, StorageError, ConfigError: As for `Follower.read`.
        """
        while not self._is_closed:
            for event in (await self.read(1.0, 1)).items:
                yield event

    async def read(self, timeout_seconds: float = 1.0, max_events: int = 1_000) -> Followed:
        """Do what `Follower.read` does; the same arguments and errors.

        Raises:
            QueryError: It has not begun, or is closed. Permanent.
        """
        if self._follower is None or self._is_closed:
            raise QueryError("follow: read within `async with`")
        if self._pending is None:
            self._pending = asyncio.create_task(
                call_in(self._thread, self._follower.read, timeout_seconds, max_events)
            )
        # Shielded: a caller that is cancelled does not take with it what has come.
        try:
            found = await asyncio.shield(self._pending)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._pending = None
            raise
        self._pending = None
        self._token, self._as_of = found.token, found.as_of
        return found
