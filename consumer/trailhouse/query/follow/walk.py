"""One step of a follower: what has come, in append order, without copies, up to what may still come before it."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from trailhouse.query.follow.polling import Beyond, Polling, Row, in_append_order, places_of
from trailhouse.query.follow.position import NOTHING, Decided, Home, Position, decide, first_gap
from trailhouse.schemas.ranges import Ranges

STEP_ROWS = 4_000
LEAST_ROWS = 64
PATIENCE_SECONDS = 10.0
"""How long a gap is waited for that the ledger has overtaken: whoever stored what is after it will not fill it."""
LONGEST_SECONDS = 60.0
"""How long any gap is waited for: a follower must not stand still, and what comes after all comes late."""
LOOK_SECONDS = 1.0
"""How often partitions that are not known yet are looked for, and entries of the ledger for holes."""


class Step(NamedTuple):
    """What came: events in order, those of holes first, and how far each partition is decided after them."""

    rows: list[Row]
    late: list[Row]
    decided: dict[Home, Decided]

    def __bool__(self) -> bool:
        return bool(self.rows or self.late or self.decided)


class Walk:
    """Steps along the log from a position, which the caller moves. Used by one thread at a time.

    Every method raises StorageError as `ClickHouse.query` does; the same step may be tried again.
    """

    def __init__(self, polling: Polling, clock: Callable[[], float] = time.monotonic) -> None:
        self._polling = polling
        self._clock = clock
        self._beyond: dict[Home, Beyond] = {}
        self._gaps: dict[Home, tuple[int, float]] = {}
        self._entries: dict[Home, str] = {}
        self._looked_at_seconds = -LOOK_SECONDS
        self._known_ms = 0
        self._ends: dict[Home, int] = {}
        self._has_moved = False

    def now(self) -> Position:
        """Return the position after all that is stored."""
        ends = self._polling.ledger_ends()
        since_ms = max((at for _, at in ends.values()), default=0)
        newest = self._polling.newest(since_ms)
        tops = {
            home: max(ends.get(home, (-1, 0))[0], newest.get(home, (-1, 0))[0])
            for home in ends | newest
        }
        return Position({home: top + 1 for home, top in tops.items()})

    def step(self, at: Position) -> Step:
        """Return what comes next after *at*, which is made to know partitions that are new; nothing if nothing came."""
        late = self._look(at) if self._clock() - self._looked_at_seconds >= LOOK_SECONDS else []
        windows = self._windows(at)
        rows, decided = self._decided(at, windows)
        rows = self._bounded(rows, decided, windows)
        # A partition that waits for a gap must not keep the others from being looked at.
        self._has_moved = bool(decided)
        return Step(self._without_copies(at, in_append_order(rows), late), late, decided)

    def _look(self, at: Position) -> list[Row]:
        """Take up partitions that are new, and return what has come into holes."""
        ends = self._polling.ledger_ends()
        newest = self._polling.newest(max([self._known_ms, *(ms for _, ms in ends.values())]))
        self._known_ms = max([self._known_ms, *(ms for _, ms in newest.values())])
        for home in ends | newest:
            at.next.setdefault(home, 0)
        self._ends = {home: end for home, (end, _) in ends.items()}
        self._looked_at_seconds = self._clock()
        entries = self._polling.last_entries(at.holes)
        changed = {
            home: at.holes[home]
            for home, entry in entries.items()
            if self._entries.get(home) != entry
        }
        self._entries = entries
        return self._without_copies(at, in_append_order(self._polling.rows(changed)), [])

    def _windows(self, at: Position) -> dict[Home, Ranges]:
        """Return which offsets of each partition are read next."""
        known = self._known_beyond(at)
        if not known or not self._has_moved:
            self._beyond = self._polling.beyond(at.next)
            known = self._known_beyond(at)
        size = max(LEAST_ROWS, STEP_ROWS // max(1, len(known)))
        windows: dict[Home, Ranges] = {}
        for home, each in known.items():
            first = max(at.next[home], each.first)
            windows[home] = Ranges([(first, min(each.last, first + size - 1))])
        return windows

    def _known_beyond(self, at: Position) -> dict[Home, Beyond]:
        return {
            home: each for home, each in self._beyond.items() if each.last >= at.next.get(home, 0)
        }

    def _decided(
        self, at: Position, windows: Mapping[Home, Ranges]
    ) -> tuple[dict[Home, list[Row]], dict[Home, Decided]]:
        rows = self._polling.rows(windows)
        gaps = {
            home: Ranges([(at.next[home], of_home[-1].offset)])
            for home, of_home in rows.items()
            if first_gap(at.next[home], [row.offset for row in of_home]) is not None
        }
        spans = self._polling.spans(gaps)
        quarantined = self._polling.quarantined(gaps)
        # After the ledger: what it has is stored, and seen now.
        rows |= self._polling.rows({home: windows[home] for home in gaps})
        decided: dict[Home, Decided] = {}
        for home, of_home in rows.items():
            offsets = [row.offset for row in of_home]
            found = decide(
                at.next[home],
                offsets,
                spans.get(home, ()),
                quarantined.get(home, NOTHING),
                self._overtaken(home, at.next[home], offsets),
            )
            if found.next > at.next[home]:
                decided[home] = found
            rows[home] = [row for row in of_home if row.offset < found.next]
        for home in windows.keys() - rows.keys():
            # What stood there has been merged or erased meanwhile: it is asked for anew.
            self._beyond.pop(home, None)
        return rows, decided

    def _overtaken(self, home: Home, next_offset: int, offsets: list[int]) -> int:
        """Return up to which offset nothing is waited for any more, -1 for nowhere."""
        gap = first_gap(next_offset, offsets)
        if gap is None:
            self._gaps.pop(home, None)
            return -1
        known, since = self._gaps.setdefault(home, (gap, self._clock()))
        if known != gap:
            self._gaps[home] = known, since = gap, self._clock()
        waited_seconds, last = self._clock() - since, offsets[-1] - 1
        if waited_seconds >= LONGEST_SECONDS:
            return last
        return min(last, self._ends.get(home, -1)) if waited_seconds >= PATIENCE_SECONDS else -1

    def _bounded(
        self,
        rows: dict[Home, list[Row]],
        decided: dict[Home, Decided],
        windows: Mapping[Home, Ranges],
    ) -> dict[Home, list[Row]]:
        """Hold back what was appended after something that another partition has not been read up to.

        A session moves to another partition when its topic is widened; both are read side by side.
        """
        cut_off = [
            max(row.appended_ms for row in rows[home])
            for home, part in windows.items()
            if rows.get(home)
            and home in self._beyond
            and (part.last or 0) < self._beyond[home].last
        ]
        if not cut_off or len(rows) < 2:
            return rows
        bound_ms = min(cut_off)
        for home, of_home in rows.items():
            keep = next(
                (n for n, row in enumerate(of_home) if row.appended_ms > bound_ms), len(of_home)
            )
            if keep < len(of_home):
                end = of_home[keep].offset
                decided[home] = Decided(end, decided[home].opened & Ranges([(0, end - 1)]))
                rows[home] = of_home[:keep]
        return rows

    def _without_copies(self, at: Position, rows: list[Row], before: list[Row]) -> list[Row]:
        """Return *rows* without those whose event was passed already, at another place or in *before*."""
        if not rows:
            return []
        copies = self._polling.copies(places_of(rows))
        met = {row.identity for row in before}
        new: list[Row] = []
        for row in rows:
            elsewhere = [
                place for place in copies.get(row.identity, ()) if place != (row.home, row.offset)
            ]
            if row.identity not in met and not any(at.has_passed(*place) for place in elsewhere):
                met.add(row.identity)
                new.append(row)
        return new
