"""What `AuditReader.follow` returns: the events that are stored from now on, or from a token on."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from trailhouse.query.cursor import Cursors, Walk
from trailhouse.query.filtering.grammar import render
from trailhouse.query.filtering.log_where import log_where
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.follow.hub import (
    Behind,
    Hub,
    Shared,
    apply,
    is_new,
    pass_until,
    release_hub,
    take_hub,
)
from trailhouse.query.follow.polling import Identity, Polling, Row, places_of
from trailhouse.query.follow.position import Home, Position, Token
from trailhouse.query.follow.walk import Step
from trailhouse.query.follow.walk import Walk as Steps
from trailhouse.query.session_log.records import AlteredEvent
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.codec import decode_events
from trailhouse.schemas.errors import InvalidEventError, SlowFollowerError
from trailhouse.schemas.record_hash import record_key
from trailhouse.store import ClickHouse

OWN_PAUSE_SECONDS = 0.05
RECENT_EVENTS = 10_000


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """Some events, and how to go on after them.

    Attributes:
        items: Events in append order within their session; a row that was altered in ClickHouse is marked.
        token: Goes on after them, in any process.
        as_of: The last offset of each partition ("topic_id:partition") that was looked at.
    """

    items: tuple[AuditEvent | AlteredEvent, ...]
    token: str
    as_of: Mapping[str, int]


class _Due(NamedTuple):
    """A row that is to be given to the caller."""

    row: Row
    is_late: bool


class Follower:
    """Events as they are stored, each once, whatever is replayed, stored again or late. Used by one thread at a time.

    Within a session they come in append order, but for an event that is stored only after later ones of its partition
    were given up waiting for: such a one comes late, and not never. A context manager and an iterator without an end::

        with reader.follow("type:run_failed") as follower:
            for event in follower:
                tell(event, go_on_with=follower.token)
    """

    def __init__(
        self,
        clickhouse: ClickHouse,
        wanted: SearchFilter,
        *,
        tenant_id: str | None,
        principal: str,
        secret: str,
        token: str | None,
        from_start: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._polling = Polling(clickhouse)
        self._own = Steps(self._polling, clock)
        self._config = config = clickhouse.config
        self._tenant_id = tenant_id
        self._filter = render(wanted)
        self._condition, self._values = log_where(wanted, tenant_id)
        self._walk = Walk(
            query=f"follow {self._filter}",
            order="append",
            tenant_id=tenant_id,
            principal=principal,
            asked_at=wanted.asked_at,
        )
        self._cursors = Cursors(secret)
        self._clock = clock
        if token is not None:
            self._position = Position.of(self._cursors.open(token, self._walk, Token))
        else:
            self._position = Position() if from_start else self._own.now()
        self._due: deque[_Due] = deque()
        self._step: Step | None = None
        # Of two copies that come at once the shared poll may take one and our own step the other.
        self._recent: dict[Identity, None] = {}
        self._is_live = False
        self._hub: Hub | None = take_hub(config)

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
        """End; may be called again. `token` stays."""
        if self._hub is not None:
            self._hub = None
            release_hub(self._config)

    @property
    def token(self) -> str:
        """What goes on after the last event that was returned: opaque, and good for the same filter and reader."""
        return self._cursors.seal(msgspec.to_builtins(self._position.token()), self._walk)

    @property
    def as_of(self) -> Mapping[str, int]:
        """The last offset of each partition ("topic_id:partition") that was looked at."""
        return self._position.as_of

    def __iter__(self) -> Iterator[AuditEvent | AlteredEvent]:
        """Yield events without end; `token` is that after the last one.

        Raises:
            SlowFollowerError, StorageError, ConfigError: As for `read`.
        """
        while self._hub is not None or self._due:
            yield from self._taken(1.0, 1)

    def read(self, timeout_seconds: float = 1.0, max_events: int = 1_000) -> Followed:
        """Return what has come, at most *max_events*; none after *timeout_seconds* without any.

        Raises:
            SlowFollowerError: It fell so far behind what is kept for followers that it was cut off; holds the token
                to go on with. Retriable, by another `follow` with that token.
            StorageUnavailableError: Retriable; nothing was passed over.
            StorageRejectedError, ConfigError: As for `get_audit_log`. Permanent.
        """
        items = tuple(self._taken(timeout_seconds, max_events))
        return Followed(items=items, token=self.token, as_of=self.as_of)

    def _taken(self, timeout_seconds: float, max_events: int) -> list[AuditEvent | AlteredEvent]:
        deadline_seconds = self._clock() + timeout_seconds
        while not self._due and self._advance(deadline_seconds):
            pass
        items: list[AuditEvent | AlteredEvent] = []
        while self._due and len(items) < max_events:
            row, is_late = self._due[0]
            found = self._event(row)
            self._due.popleft()
            if found is not None:
                items.append(found)
            self._pass(row, is_late=is_late)
        self._finish()
        return items

    def _advance(self, deadline_seconds: float) -> bool:
        """Take up the next step; False when none came by then."""
        if self._hub is None:
            return False
        self._finish()
        shared = self._hub.next(self._position, deadline_seconds)
        if isinstance(shared, Behind):
            if self._is_live and shared.is_forgotten:
                raise self._too_slow()
            return self._take_own_step(deadline_seconds)
        self._is_live = True
        if shared is not None:
            self._take(shared.step, self._matching(shared))
        return shared is not None

    def _take_own_step(self, deadline_seconds: float) -> bool:
        step = self._own.step(self._position)
        if step:
            self._take(step, self._asked(step))
            return True
        # Something is waited for that the shared poll has passed, or it is that poll's turn to move.
        left_seconds = deadline_seconds - self._clock()
        if left_seconds > 0:
            threading.Event().wait(min(left_seconds, OWN_PAUSE_SECONDS))
        return left_seconds > 0

    def _take(self, step: Step, matching: set[tuple[Home, int]] | None) -> None:
        def is_wanted(row: Row) -> bool:
            return (
                (self._tenant_id is None or row.identity.tenant_id == self._tenant_id)
                and (matching is None or (row.home, row.offset) in matching)
                and row.identity not in self._recent
            )

        holes = self._position.holes
        late = [row for row in step.late if row.offset in holes.get(row.home, ())]
        self._due.extend(_Due(row, is_late=True) for row in late if is_wanted(row))
        self._due.extend(
            _Due(row, is_late=False)
            for row in step.rows
            if is_new(row, self._position) and is_wanted(row)
        )
        self._step = step

    def _matching(self, shared: Shared) -> set[tuple[Home, int]] | None:
        """Return which of the rows meet the filter, asked once for all followers that have it; None for all."""
        if not self._filter:
            return None
        key = f"{self._tenant_id!r} {self._filter}"
        if key not in shared.matching:
            shared.matching[key] = self._asked(shared.step) or set()
        return shared.matching[key]

    def _asked(self, step: Step) -> set[tuple[Home, int]] | None:
        if not self._filter:
            return None
        places = places_of([*step.late, *step.rows])
        return self._polling.matching(places, self._condition, self._values) if places else set()

    def _event(self, row: Row) -> AuditEvent | AlteredEvent | None:
        record = self._polling.record(row) if row.is_heavy else row.record
        return None if record is None else event_of(row.identity, row.type, record)

    def _pass(self, row: Row, *, is_late: bool) -> None:
        self._recent[row.identity] = None
        if len(self._recent) > RECENT_EVENTS:
            del self._recent[next(iter(self._recent))]
        if is_late:
            self._position.fill(row.home, row.offset)
        elif self._step is not None:
            pass_until(self._position, row.home, self._step.decided[row.home], row.offset + 1)

    def _finish(self) -> None:
        """Take in what a step has passed beside the rows that were wanted."""
        if self._step is not None and not self._due:
            apply(self._step, self._position)
            self._step = None

    def _too_slow(self) -> SlowFollowerError:
        return SlowFollowerError(
            "this follower reads more slowly than events are stored, and was cut off: follow again with its token",
            self.token,
        )


def event_of(identity: Identity, type: str, record: bytes) -> AuditEvent | AlteredEvent:
    """Return the event of a stored row, marked where the row is not what was appended."""
    reason = ""
    if not record:
        reason = "its record is blank: it was erased, as the view `erasures` says, or altered"
    elif record_key(record) != identity.record_key:
        reason = "its record contradicts its hash"
    else:
        try:
            [event] = decode_events([record])
        except InvalidEventError as error:
            reason = f"its record is not an event: {error}"
        else:
            claimed = (identity.session_id, identity.tenant_id, identity.event_id, type)
            if claimed == (
                event.session_id,
                event.tenant_id or "",
                event.event_id.lower(),
                event.type,
            ):
                return event
            reason = "its record contradicts the columns"
    return AlteredEvent(
        session_id=identity.session_id,
        tenant_id=identity.tenant_id or None,
        event_id=identity.event_id,
        type=type,
        record=record,
        reason=reason,
    )
