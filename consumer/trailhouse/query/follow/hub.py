"""The poll that all followers of a process share: what one has fetched, the others take from here."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from trailhouse.query.follow.polling import Polling, Row
from trailhouse.query.follow.position import Decided, Home, Position
from trailhouse.query.follow.walk import Step, Walk
from trailhouse.schemas.ranges import Ranges
from trailhouse.store import ClickHouse
from trailhouse.store.config import ClickHouseConfig

POLL_SECONDS = 0.1
IDLE_POLL_SECONDS = 0.25
IDLE_AFTER_SECONDS = 5.0
STALE_SECONDS = 5.0
"""Nobody has polled for so long: the next one begins where that follower is."""
KEPT_ROWS = 20_000
KEPT_BYTES = 33_554_432


class Shared(NamedTuple):
    """A step of the hub's, from where it was made, and what of it met the filters of those who asked."""

    before: Mapping[Home, int]
    step: Step
    after: Mapping[Home, int]
    matching: dict[str, set[tuple[Home, int]]]

    @property
    def size_bytes(self) -> int:
        """How much memory its records take."""
        return sum(len(row.record) for row in (*self.step.rows, *self.step.late))


class Behind(NamedTuple):
    """A follower is where the shared poll was long ago, or is on its way there: it asks by itself.

    Attributes:
        is_forgotten: Whether what it needs was kept for a while, and is no more.
    """

    is_forgotten: bool


class Hub:
    """One poll of one database, made by whichever follower waits; safe to use from many threads.

    That a follower finds here what it needs saves ClickHouse a question; what is right never depends on it: one
    that does not, because it is behind, asks by itself.
    """

    def __init__(self, clickhouse: ClickHouse, clock: Callable[[], float] = time.monotonic) -> None:
        self._walk = Walk(Polling(clickhouse), clock)
        self._clock = clock
        self._changed = threading.Condition()
        self._position: Position | None = None
        self._kept: deque[Shared] = deque()
        self._kept_rows = 0
        self._kept_bytes = 0
        self._forgotten: Mapping[Home, int] = {}
        self._is_polling = False
        self._polled_at_seconds = -STALE_SECONDS
        self._moved_at_seconds = 0.0
        self.polls = 0
        """How often ClickHouse was polled for all."""

    def next(self, at: Position, deadline_seconds: float) -> Shared | Behind | None:
        """Return the next step for a follower at *at*, or that it is not kept; None when nothing came by then.

        Raises:
            StorageError: As `ClickHouse.query`.
        """
        while True:
            with self._changed:
                self._take_up(at)
                if (found := self._found(at)) is not None:
                    return found
                if not at.is_at_least(self._newest):
                    return Behind(is_forgotten=not at.is_at_least(self._forgotten))
                wait_seconds = self._due_seconds()
                left_seconds = deadline_seconds - self._clock()
                if left_seconds <= 0:
                    return None
                if self._is_polling or wait_seconds > 0:
                    self._changed.wait(min(left_seconds, wait_seconds or left_seconds))
                    continue
                self._is_polling = True
            self._poll()

    @property
    def _newest(self) -> Mapping[Home, int]:
        return self._position.next if self._position is not None else {}

    def _take_up(self, at: Position) -> None:
        """Begin where the first follower is, or the first after a pause."""
        is_stale = self._clock() - self._polled_at_seconds >= STALE_SECONDS
        if not self._is_polling and is_stale and at.is_at_least(self._newest):
            self._position = at.copy()
            self._kept.clear()
            self._forgotten = {}
            self._kept_rows = self._kept_bytes = 0

    def _found(self, at: Position) -> Shared | None:
        for each in self._kept:
            has_news = not at.is_at_least(each.after) or any(
                row.offset in at.holes.get(row.home, ()) for row in each.step.late
            )
            if has_news:
                return each if at.is_at_least(each.before) else None
        return None

    def _due_seconds(self) -> float:
        """Return in how many seconds the next poll is due, 0 for now."""
        now = self._clock()
        is_idle = now - self._moved_at_seconds > IDLE_AFTER_SECONDS
        pace_seconds = IDLE_POLL_SECONDS if is_idle else POLL_SECONDS
        return max(0.0, self._polled_at_seconds + pace_seconds - now)

    def _poll(self) -> None:
        before = Position(self._newest, self._position.holes if self._position else {})
        after = before.copy()
        step: Step | None = None
        try:
            step = self._walk.step(after)
            apply(step, after)
        finally:
            with self._changed:
                self._is_polling = False
                self._polled_at_seconds = self._clock()
                self.polls += 1
                if step is not None:
                    self._position = after
                if step:
                    self._keep(Shared(before.next, step, after.next, {}))
                    self._moved_at_seconds = self._polled_at_seconds
                self._changed.notify_all()

    def _keep(self, shared: Shared) -> None:
        self._kept.append(shared)
        self._kept_rows += len(shared.step.rows) + len(shared.step.late)
        self._kept_bytes += shared.size_bytes
        while len(self._kept) > 1 and (
            self._kept_rows > KEPT_ROWS or self._kept_bytes > KEPT_BYTES
        ):
            old = self._kept.popleft()
            self._forgotten = old.after
            self._kept_rows -= len(old.step.rows) + len(old.step.late)
            self._kept_bytes -= old.size_bytes


def apply(step: Step, position: Position) -> None:
    """Move *position* to after *step*."""
    for row in step.late:
        position.fill(row.home, row.offset)
    for home, decided in step.decided.items():
        pass_until(position, home, decided, decided.next)


def pass_until(position: Position, home: Home, decided: Decided, offset: int) -> None:
    """Move *position* in one partition to *offset*, with the holes that were opened on the way."""
    from_offset = position.next.get(home, 0)
    if offset > from_offset:
        position.pass_to(home, offset, decided.opened & Ranges([(from_offset, offset - 1)]))


def is_new(row: Row, position: Position) -> bool:
    """Tell whether a follower at *position* has not been given *row*."""
    return row.offset >= position.next.get(row.home, 0)


class _Held:
    """A hub, its connection, and how many followers have it."""

    def __init__(self, config: ClickHouseConfig) -> None:
        self.clickhouse = ClickHouse(config)
        self.hub = Hub(self.clickhouse)
        self.followers = 0


_held: dict[ClickHouseConfig, _Held] = {}
_held_lock = threading.Lock()


def take_hub(config: ClickHouseConfig) -> Hub:
    """Return the hub of this process for one database; give it back with `release_hub`."""
    with _held_lock:
        held = _held.setdefault(config, _Held(config))
        held.followers += 1
        return held.hub


def release_hub(config: ClickHouseConfig) -> None:
    """Give a hub back; the last one closes its connections."""
    with _held_lock:
        held = _held[config]
        held.followers -= 1
        if held.followers:
            return
        del _held[config]
    held.clickhouse.close()
