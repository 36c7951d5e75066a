"""What is stored from now on, as server-sent events: each once, with the token that goes on after it."""

import time
from collections.abc import AsyncIterator, Callable

import anyio
import anyio.to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from trailhouse.access import Principal, ReadAudit
from trailhouse.access.json_form import encoded_line
from trailhouse.access.operations import FOLLOW, Values
from trailhouse.access.parameters import values_of
from trailhouse.access.read_audit import is_read_of
from trailhouse.access.reading import FORBIDDEN_SCOPE, Reading
from trailhouse.api.address import given_in
from trailhouse.api.door import PRINCIPAL, ROUTE, STILL_GOOD
from trailhouse.api.openapi import path_of
from trailhouse.api.problem import Problem, ProblemError, problem, problem_of
from trailhouse.api.readers import Readers
from trailhouse.query.follow.follower import Follower
from trailhouse.schemas.errors import SlowFollowerError, TrailhouseError

MAX_FOLLOWERS = 100
EVENTS_A_STEP = 200
WAIT_SECONDS = 1.0
QUIET_SECONDS = 15.0
"""After so long without an event the stream says where it is: whoever waits knows that it lives."""
HEAD = b"retry: 2000\n\n"


class Follow:
    """Answers `follow`.

    Args:
        readers: Whom to ask.
        audit: Where it is written down who follows.
        now: A clock in seconds that only goes on.
    """

    def __init__(
        self, readers: Readers, audit: ReadAudit, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._readers = readers
        self._audit = audit
        self._now = now
        # Threads of their own: those who wait for events must not keep others from being answered.
        self._threads = anyio.CapacityLimiter(MAX_FOLLOWERS)
        self._running = 0

    async def __call__(self, request: Request) -> Response:
        """Return the stream.

        Raises:
            ProblemError: There are too many followers, or the principal may not read.
            TrailhouseError: A parameter is wrong (permanent), or ClickHouse is away (retriable).
        """
        request.scope[ROUTE] = path_of(FOLLOW)
        principal: Principal = request.scope[PRINCIPAL]
        reading = Reading(self._audit, principal, FOLLOW.name, {}, now=self._now)
        has_room = self._running < MAX_FOLLOWERS
        self._running += 1
        try:
            stream = await run_in_threadpool(self._opened, request, principal, reading, has_room)
        except BaseException:
            self._running -= 1
            raise
        frames = self._frames(stream, request.scope[STILL_GOOD])
        return StreamingResponse(frames, media_type="text/event-stream")

    def _opened(
        self, request: Request, principal: Principal, reading: Reading, has_room: bool
    ) -> "_Stream":
        with reading.noted_if_it_fails():
            reading.asked = given = given_in(request, FOLLOW)
            if FOLLOW.scope not in principal.scopes:
                raise ProblemError(403, FORBIDDEN_SCOPE, f"this needs the scope {FOLLOW.scope}")
            if (last := request.headers.get("last-event-id")) is not None:
                given["token"] = last  # a browser that comes again keeps the address it began with
            values = values_of(FOLLOW.parameters, given)
            if not has_room:
                detail = f"at most {MAX_FOLLOWERS} follow at a time"
                raise ProblemError(503, "unavailable", detail, 10)
            stream = _Stream(self._follower(principal, values), principal, reading, self._now)
            stream.note_opened()
        return stream

    def _follower(self, principal: Principal, values: Values) -> Follower:
        return self._readers.of(principal).follow(
            values["q"],
            token=values["token"],
            from_start=values["from_start"],
            principal=principal.key,
        )

    async def _frames(
        self, stream: "_Stream", still_good: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        try:
            yield HEAD
            while not stream.is_over:
                if not await run_in_threadpool(still_good):
                    yield stream.ended(problem(401, "bad-token", "the token has ended"))
                    return
                yield await anyio.to_thread.run_sync(stream.step, limiter=self._threads)
        finally:
            self._running -= 1
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(stream.close)


class _Stream:
    """One follower's frames, and what is written down of it."""

    def __init__(
        self,
        follower: Follower,
        principal: Principal,
        reading: Reading,
        now: Callable[[], float],
    ) -> None:
        self._follower = follower
        self._principal = principal
        self._reading = reading
        self._now = now
        self._said_at = now()
        self._rows = 0
        self._failed: str | None = None
        self.is_over = False

    def note_opened(self) -> None:
        """Write down that it begins; where that cannot be written, it does not begin."""
        try:
            self._reading.note(0, complete=None, stage="opened")
        except BaseException:
            self._follower.close()
            raise

    def step(self) -> bytes:
        """Return the frames of what has come within a moment; none if nothing has."""
        try:
            frames = self._come()
        except SlowFollowerError as error:
            frames = self.ended(problem(503, "slow-follower", str(error)), error.token)
        except TrailhouseError as error:
            frames = self.ended(problem_of(error))
        if frames:
            self._said_at = self._now()
        elif self._now() - self._said_at >= QUIET_SECONDS:
            self._said_at = self._now()
            frames = _frame("position", {"as_of": self._follower.as_of}, self._follower.token)
        return frames

    def ended(self, why: Problem, token: str | None = None) -> bytes:
        """Return the last frame: why it ends, and the token to go on with."""
        self.is_over = True
        self._failed = why.type.rpartition(":")[2]
        return _frame("problem", why, token or self._follower.token)

    def close(self) -> None:
        """End it, and write that down."""
        self._follower.close()
        self._reading.note(
            self._rows, complete=self._failed is None, stage="closed", failed=self._failed
        )

    def _come(self) -> bytes:
        frames = bytearray()
        for place in range(EVENTS_A_STEP):
            # One by one: the token of each is that of a stream which was cut off behind it.
            found = self._follower.read(0.0 if place else WAIT_SECONDS, 1)
            if not found.items:
                break
            [item] = found.items
            if is_read_of(item, self._principal, FOLLOW.name):
                continue  # that somebody follows is no news to himself
            self._rows += 1
            frames += _frame("event", item, found.token)
        return bytes(frames)


def _frame(kind: str, content: object, token: str) -> bytes:
    return f"id: {token}\nevent: {kind}\ndata: ".encode() + encoded_line(content) + b"\n"
