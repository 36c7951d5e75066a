"""The spools of loggers that are gone: taken over under their lock, sent in order, and removed."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from typing import TYPE_CHECKING

from trailhouse.producer.frame import Frame
from trailhouse.producer.spool_folder import (
    Destination,
    SpoolFolder,
    destination_of,
    folders,
    is_held,
    remove_unfinished,
    split,
    take_turn,
)
from trailhouse.producer.spool_reader import Spooled, SpoolReader
from trailhouse.producer.spool_source import pass_over, put_on_its_way
from trailhouse.schemas.errors import DeliveryError, SpoolUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from trailhouse.producer.aside import Aside
    from trailhouse.producer.receipt import Receipt
    from trailhouse.producer.spool_source import MakeReceipt

log = logging.getLogger(__name__)

SWEEP_AGE_SECONDS = 30.0
"""A logger that is started again finds its predecessor's spool itself, and first: order is kept."""
TURN_SECONDS = 30.0
HELD_FOLDERS = 16
"""So many are held at a time: each costs two open files, and there may be thousands."""


class Inherited:
    """One spool, held: read to its end, and removed when all of it is settled."""

    def __init__(self, folder: SpoolFolder) -> None:
        self.folder = folder
        self.last: Receipt | None = None
        self._reader = SpoolReader(folder.path, folder.acked())
        self._acked = self._end = self._reader.place
        self._is_read = False
        self._next_number: int | None = None if self._acked else 0
        self.is_done = False

    def missing_before(self, number: int) -> int:
        """Return how many events are missing before the one numbered *number*, which was read next."""
        expected, self._next_number = self._next_number, number + 1
        return 0 if expected is None else max(0, number - expected)

    def read(self) -> list[Spooled]:
        """Return the next frames; none when all are read."""
        return self._reader.read()

    def note_read(self, items: list[Spooled]) -> None:
        """Note that *items* are on their way; none means that there is no more."""
        if items:
            self._end = items[-1].place
        else:
            self._is_read = True
            self._finish()

    def unread(self, place: int) -> None:
        """Read from *place* again."""
        self._reader.place = place

    @property
    def place(self) -> int:
        """Where it is read next."""
        return self._reader.place

    def settle_to(self, place: int) -> None:
        """Note that everything before *place* is settled; the last one removes the folder."""
        if place > self._acked and not self.is_done:
            self._acked = place
            try:
                self.folder.free_before(split(place)[0])
                self.folder.set_acked(place)
            except OSError as error:
                log.error("a spool cannot note what is acknowledged (%s)", error.strerror)
            self._finish()

    def _finish(self) -> None:
        if self._is_read and self._acked >= self._end and not self.is_done:
            self.is_done = True
            self.folder.release(is_empty=True)

    def let_go(self, *, is_ours: bool = True) -> None:
        """Stop holding it; what is not settled is the next logger's. Not ours: a forked child's copy."""
        if self.is_done:
            return
        self.is_done = True
        if is_ours:
            self.folder.release(is_empty=False)
        else:
            self.folder.forget()


class Inheritance:
    """The orphans that we have found, and those of them that we hold."""

    def __init__(self, root: Path, own_name: str, destination: Destination, aside: Aside) -> None:
        self._root = root
        self._own_name = own_name
        self._destination = destination
        self._aside = aside
        self._orphans: deque[Path] = deque()
        self._current: Inherited | None = None
        self._held: list[Inherited] = []
        self._turn: int | None = None
        self._is_waiting = False
        self._waits_since_seconds = 0.0
        self._damaged_events = 0
        self.adopted_total = 0

    @property
    def has_unread(self) -> bool:
        """Whether there is something to be sent before anything of our own."""
        return self._is_waiting or self._current is not None or bool(self._orphans)

    def has_orphans(self) -> bool:
        """Tell whether there are spools of loggers that are gone; cheap when there are none."""
        with contextlib.suppress(SpoolUnavailableError):  # told by the first event that is logged
            return any(
                self._is_for_us(path, any_destination=False) and not is_held(path)
                for path in folders(self._root)
            )
        return False

    def find(self, *, min_age_seconds: float, any_destination: bool) -> list[Path]:
        """Return the spools of loggers that are gone, the oldest first. Needs no lock of ours.

        Raises:
            SpoolUnavailableError: The folder cannot be read. Retriable once that is mended.
        """
        remove_unfinished(self._root)
        return [
            path
            for path in folders(self._root)
            if path.name != self._own_name
            and self._is_for_us(path, any_destination=any_destination)
            and (not min_age_seconds or _age_seconds(path) >= min_age_seconds)
            and not is_held(path)
        ]

    def line_up(self, found: list[Path]) -> bool:
        """Have *found* read next, behind those that wait already; tell whether that is any."""
        known = {each.folder.path for each in self._held if not each.is_done} | set(self._orphans)
        self._orphans += [path for path in found if path not in known]
        return bool(found)

    def read(self, make: MakeReceipt) -> list[Receipt] | None:
        """Return receipts of the next events; None when nothing can be read before some are settled.

        Raises:
            SpoolUnavailableError: A spool cannot be read, or what is damaged not be kept. Retriable.
        """
        if self._current is None:
            self._held = [each for each in self._held if not each.is_done]
            if len(self._held) >= HELD_FOLDERS or not self._may_adopt():
                return None
            self._hold_next()
        heirloom = self._current
        if heirloom is None:
            return []
        begin = heirloom.place
        items = heirloom.read()
        try:
            self._aside.keep_damaged(heirloom.folder.path.name, items)
        except DeliveryError:
            heirloom.unread(begin)
            raise
        heirloom.note_read(items)
        if not items:
            self._current = None
        return self._receipts(heirloom, items, make)

    def await_turn(self) -> None:
        """Let nothing of ours be sent while another process adopts: it may have our predecessor's spool."""
        self._is_waiting = not self._take_turn()

    def _may_adopt(self) -> bool:
        """Tell whether we are the one to adopt: two at once would mix up a session's events.

        Who is not waits, with its own events too; but not for ever, should the other one hang.
        """
        if self._take_turn():
            self._is_waiting, self._waits_since_seconds = False, 0.0
            return True
        self._waits_since_seconds = self._waits_since_seconds or time.monotonic()
        if time.monotonic() - self._waits_since_seconds < TURN_SECONDS:
            return False
        log.warning("another process has been adopting spools for %g s", TURN_SECONDS)
        self._orphans.clear()
        self._is_waiting, self._waits_since_seconds = False, 0.0
        return True

    def _take_turn(self) -> bool:
        if self._turn is None:
            try:
                self._turn = take_turn(self._root, self._destination)
            except OSError:
                return True  # no folder of spools, or none of ours: there is nobody to wait for
        return self._turn is not None

    def end_turn(self) -> None:
        """Let another process adopt, when nothing of others is on its way with us."""
        if self._turn is not None and not self.has_unread and all(e.is_done for e in self._held):
            os.close(self._turn)
            self._turn = None

    def _hold_next(self) -> None:
        while self._orphans and self._current is None:
            # Another logger may have been faster, and may have sent it by now.
            if (folder := SpoolFolder.take(self._orphans.popleft())) is not None:
                self._current = Inherited(folder)
                self._held.append(self._current)

    def _receipts(
        self, heirloom: Inherited, items: list[Spooled], make: MakeReceipt
    ) -> list[Receipt]:
        receipts: list[Receipt] = []
        ranges = 0
        for found, place in items:
            if isinstance(found, Frame):
                self._damaged_events += max(ranges, heirloom.missing_before(found.number))
                ranges = 0
                receipt = make("", found.key, found.record)
                receipts.append(put_on_its_way(receipt, -1, heirloom, place))
            else:
                ranges += 1
                pass_over(heirloom, place)
        self._damaged_events += ranges
        self.adopted_total += len(receipts)
        return receipts

    def take_damaged(self) -> int:
        """Return how many events, at least, were found damaged since the last call."""
        events, self._damaged_events = self._damaged_events, 0
        return events

    def _is_for_us(self, path: Path, *, any_destination: bool) -> bool:
        theirs = destination_of(path)
        return any_destination or (theirs is not None and theirs.is_same(self._destination))

    def let_go(self, *, is_ours: bool = True) -> None:
        """Stop holding all of them; see `Inherited.let_go`."""
        for heirloom in self._held:
            heirloom.let_go(is_ours=is_ours)
        self._held.clear()
        self._orphans.clear()
        self._current = None
        if self._turn is not None:
            os.close(self._turn)
            self._turn = None


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - max(entry.stat().st_mtime for entry in os.scandir(path))
    except (OSError, ValueError):
        return 0.0
