"""Counts what is missing from a spool: the numbers of its events tell, and how far it was written."""

from collections.abc import Iterable

from trailhouse.producer.spool.frame import Frame
from trailhouse.producer.spool.metadata import Written
from trailhouse.producer.spool.reader import Spooled


class MissingCount:
    """What was read of a spool, from its start or from what is settled on, in order. Pure.

    A damaged range between two events whose numbers follow each other held nothing that was logged: it is
    what a failed or interrupted write has left.
    """

    def __init__(self, *, is_from_start: bool) -> None:
        self.events = 0
        self.damaged_ranges = 0
        self.missing = 0
        self._next_number: int | None = 0 if is_from_start else None
        self._ranges_since = 0

    def add(self, items: Iterable[Spooled]) -> int:
        """Count *items*, which were read next; return how many more events, at least, are missing."""
        before = self.missing
        for found, _ in items:
            if not isinstance(found, Frame):
                if found.content.strip(b"\0"):
                    self.damaged_ranges += 1
                    self._ranges_since += 1
                continue
            if self._next_number is None:
                self.missing += self._ranges_since
            else:
                self.missing += max(0, found.number - self._next_number)
            self._next_number, self._ranges_since = found.number + 1, 0
            self.events += 1
        return self.missing - before

    def end(self, place: int, written: Written) -> int:
        """Count what is missing after *place*, where reading ended; return how many more that are."""
        known = 0 if self._next_number is None else written.events - self._next_number
        more = max(self._ranges_since, known, int(place < written.place))
        self.missing += more
        return more
