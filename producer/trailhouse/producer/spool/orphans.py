"""The spools of loggers that are gone: taken over under their lock, sent in order, and removed."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.spool.folder import SpoolFolder, is_held, remove_unfinished, split
from trailhouse.producer.spool.frame import Frame
from trailhouse.producer.spool.handle import pass_over, put_on_its_way
from trailhouse.producer.spool.metadata import Destination, destination_of, read_written
from trailhouse.producer.spool.missing import MissingCount
from trailhouse.producer.spool.queued_event import QueuedEvent
from trailhouse.producer.spool.reader import Spooled, SpoolReader, start_of
from trailhouse.producer.spool.root import acquire_adoption_lease, folders, survey
from trailhouse.producer.spool.seal_note import SealNote, read_seal_note
from trailhouse.schemas.errors import DeliveryError, SpoolUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trailhouse.producer.spool.files import OpenFile
    from trailhouse.producer.spool.quarantine import SpoolQuarantine

log = logging.getLogger(__name__)

SWEEP_AGE_SECONDS = 30.0
"""A logger that is started again finds its predecessor's spool itself, and first: order is kept."""
TURN_SECONDS = 30.0
HELD_FOLDERS = 16
"""So many are held at a time: each costs a few open files, and there may be thousands."""
_TOO_MANY_FILES = frozenset({errno.EMFILE, errno.ENFILE})
UNKNOWN_DESTINATION = (
    "its file `destination` cannot be read, so nobody knows where its events go;"
    " `trailhouse spool drain --any-destination` sends them to the topic of the settings"
)
RETRY_SECONDS = 600.0
"""A spool that cannot be read is left alone for so long: it must not stand in the way of others."""


class OrphanSeals(Protocol):
    """Seals what loggers that are gone have left unsealed; called by the sender, under the send queue's lock."""

    first_note: SealNote
    """What the spool of our own begins with."""

    def may_seal(self, note: SealNote) -> bool:
        """Tell whether the records of a spool with this note are ours to seal: of our service."""
        ...

    def begin(self, adopted: AdoptedSpool, note: SealNote) -> None:
        """Note that *adopted* is read from now on, from the first record that is not sealed."""
        ...

    def read(self, adopted: AdoptedSpool, frames: Sequence[Frame], places: Sequence[int]) -> None:
        """Take what was read next; `AdoptedSpool.note_sealed` is called once it is sealed."""
        ...

    def end(self, adopted: AdoptedSpool) -> None:
        """Note that there is no more; likewise."""
        ...


class AdoptedSpool:
    """One spool, held: read to its end, and removed when all of it is settled, and sealed where it is to be.

    Who is not to seal it, since it is another service's, sends it and leaves it there for who is.
    """

    def __init__(self, folder: SpoolFolder, seals: OrphanSeals | None = None) -> None:
        self.folder = folder
        self.last: QueuedEvent | None = None
        self._acked = self._end = start_of(folder.path)
        self._reader = SpoolReader(folder.path, self._acked)
        note = read_seal_note(folder.path)
        self._note = None if note is None or note.is_done else note
        self._seals: OrphanSeals | None = None
        if note is not None and seals is not None and seals.may_seal(note):
            # What is sealed and not sent is sealed again: if it is damaged by now, that is to be said.
            self._seals = seals
            if self._note is not None:
                self._reader.place = min(self._acked, note.place)
            seals.begin(self, note)
        self._is_read = False
        self._is_sealed = False
        self._is_broken = False
        self._count = MissingCount(is_from_start=not self._acked)
        self.is_done = False

    def count_missing(self, items: list[Spooled]) -> int:
        """Return how many events, at least, are missing from *items*, which were read next; none: the end."""
        if items:
            return self._count.add(items)
        return self._count.end(self._reader.place, read_written(self.folder.path))

    def read(self) -> list[Spooled]:
        """Return the next frames; none when all are read."""
        return self._reader.read()

    def note_read(self, items: list[Spooled]) -> None:
        """Note that *items* are on their way; none means that there is no more."""
        if self._seals is not None:
            frames = [(each.found, each.place) for each in items if isinstance(each.found, Frame)]
            if items:
                self._seals.read(self, [frame for frame, _ in frames], [at for _, at in frames])
            else:
                self._seals.end(self)
        if items:
            self._end = max(self._end, items[-1].place)
        else:
            self._is_read = True
            self._finish()

    def is_sent(self, place: int) -> bool:
        """Tell whether what ends at *place* was settled before it was adopted: it is read to be sealed alone."""
        return place <= self._acked

    def note_sealed(self, note: SealNote) -> None:
        """Note how far it is sealed, by what is in the spool of our own."""
        if self.is_done:
            return
        self._note = None if note.is_done else note
        self._is_sealed |= note.is_done
        try:
            self.folder.note_sealed(note)
            self._free()
        except OSError as error:
            log.error("a spool cannot note what is sealed (%s)", error.strerror)
        self._finish()

    def _free(self) -> None:
        segment = split(self._acked)[0]
        note = self._note
        self.folder.free_before(segment if note is None else min(segment, split(note.place)[0]))

    def settle_to(self, place: int) -> None:
        """Note that everything before *place* is settled; the last one removes the folder."""
        if place > self._acked and not self.is_done:
            self._acked = place
            try:
                self._free()
                self.folder.set_acked(place)
            except OSError as error:
                log.error("a spool cannot note what is acknowledged (%s)", error.strerror)
            self._finish()

    def stop_reading(self) -> None:
        """Leave the rest to others: it cannot be read. What is on its way is settled before."""
        self._is_read = self._is_broken = True
        self._finish()

    def _finish(self) -> None:
        if not self._is_read or self._acked < self._end or self.is_done:
            return
        note = self._note
        if self._seals is not None and not self._is_sealed and not self._is_broken:
            return  # until its seals are logged
        self.is_done = True
        if note is not None and self._seals is None:
            with contextlib.suppress(OSError):  # then it is looked at again and again
                self.folder.note_sealed(msgspec.structs.replace(note, is_settled=True))
        self.folder.release(is_empty=note is None and not self._is_broken)

    def let_go(self, *, is_ours: bool = True) -> None:
        """Stop holding it; what is not settled is the next logger's. Not ours: a forked child's copy."""
        if self.is_done:
            return
        self.is_done = True
        if is_ours:
            self.folder.release(is_empty=False)
        else:
            self.folder.forget()


class OrphanSpools:
    """The orphans that we have found, and those of them that we hold."""

    def __init__(
        self,
        root: Path,
        destination: Destination,
        quarantine: SpoolQuarantine,
        clock: Clock = SYSTEM_CLOCK,
        seals: OrphanSeals | None = None,
    ) -> None:
        self._root = root
        self._seals = seals
        self._clock = clock
        self._destination = destination
        self._quarantine = quarantine
        self._orphans: deque[Path] = deque()
        self._current: AdoptedSpool | None = None
        self._held: list[AdoptedSpool] = []
        self._lease: OpenFile | None = None
        self._left_alone_until: dict[str, float] = {}
        self._is_waiting = False
        self._waits_since_seconds = 0.0
        self._damaged_events = 0
        self.adopted_total = 0
        self.unreadable_total = 0
        """Spools that were left as they are, since they cannot be read."""

    @property
    def has_unread(self) -> bool:
        """Whether there is something to be sent before anything of our own."""
        return self._is_waiting or self._current is not None or bool(self._orphans)

    def has_orphans(self) -> bool:
        """Tell whether there are spools of loggers that are gone; cheap when there are none."""
        with contextlib.suppress(SpoolUnavailableError):  # told by the first event that is logged
            return any(
                (theirs := destination_of(path)) is not None
                and theirs.is_same(self._destination)
                and not self._waits_for_another(path)
                and not is_held(path)
                for path in folders(self._root)
            )
        return False

    def find(self, *, min_age_seconds: float, any_destination: bool) -> list[Path]:
        """Return the spools of loggers that are gone, the oldest first. Needs no lock of ours.

        Raises:
            SpoolUnavailableError: The folder cannot be read. Retriable once that is mended.
        """
        remove_unfinished(self._root, self._clock)
        found = survey(self._root)
        for name, reason in found.refused.items():
            self._leave_alone(name, reason)
        now = self._clock.monotonic_seconds()
        theirs = {
            path: None if any_destination else destination_of(path)
            for path in found.folders
            if self._left_alone_until.get(path.name, now) <= now
        }
        orphans = [
            path
            for path, destination in theirs.items()
            if (destination is None or destination.is_same(self._destination))
            and (not min_age_seconds or _age_seconds(path, self._clock) >= min_age_seconds)
            and not self._waits_for_another(path)
            and not is_held(path)
        ]
        if any_destination:
            return orphans
        for path in orphans:
            # Before its files are removed, a spool's folder is renamed: what is still there has lost one alone.
            if theirs[path] is None and path.exists():
                self._leave_alone(path.name, UNKNOWN_DESTINATION)
        return [path for path in orphans if theirs[path] is not None]

    def _waits_for_another(self, path: Path) -> bool:
        """Tell whether all of a spool is sent, and it is there for a logger of its service alone, to be sealed."""
        note = read_seal_note(path)
        if note is None or not note.is_settled:
            return False
        return self._seals is None or not self._seals.may_seal(note)

    def _leave_alone(self, name: str, reason: str) -> None:
        if name not in self._left_alone_until:
            log.error("the spool %s in %s is left as it is: %s", name, self._root, reason)
            self.unreadable_total += 1
        self._left_alone_until[name] = self._clock.monotonic_seconds() + RETRY_SECONDS

    def line_up(self, found: list[Path]) -> bool:
        """Have *found* read next, behind those that wait already; tell whether that is any."""
        known = {each.folder.path for each in self._held if not each.is_done} | set(self._orphans)
        self._orphans += [path for path in found if path not in known]
        return bool(found)

    def read(self) -> list[QueuedEvent] | None:
        """Return the next events; None when nothing can be read before some are settled.

        A spool that cannot be read, or of which what is damaged cannot be kept, is told, and left as it is.
        """
        if self._current is None:
            self._held = [each for each in self._held if not each.is_done]
            if len(self._held) >= HELD_FOLDERS or not self._may_adopt():
                return None
            self._hold_next()
        adopted = self._current
        if adopted is None:
            return None if self._orphans else []
        try:
            items = adopted.read()
            missing = adopted.count_missing(items)
            self._quarantine.keep_damaged(adopted.folder.path.name, items)
        except (DeliveryError, OSError) as error:
            # What is of others must not stand in the way of what is ours, or of what others have left.
            self._leave_alone(adopted.folder.path.name, str(error))
            adopted.stop_reading()
            self._current = None
            return []
        if missing:
            self._damaged_events += missing
            log.error(
                "%d events, at least, are missing from the spool %s: damaged, cut off or removed",
                missing,
                adopted.folder.path.name,
            )
        adopted.note_read(items)
        if not items:
            self._current = None
        return self._queued_events(adopted, items)

    def wait_for_lease(self) -> None:
        """Let nothing of ours be sent while another process adopts: it may have our predecessor's spool."""
        self._is_waiting = not self._acquire_lease()

    def _may_adopt(self) -> bool:
        """Tell whether we are the one to adopt: two at once would mix up a session's events.

        Who is not waits, with its own events too; but not for ever, should the other one hang.
        """
        if self._acquire_lease():
            self._is_waiting, self._waits_since_seconds = False, 0.0
            return True
        now = self._clock.monotonic_seconds()
        self._waits_since_seconds = self._waits_since_seconds or now
        if now - self._waits_since_seconds < TURN_SECONDS:
            return False
        log.warning("another process has been adopting spools for %g s", TURN_SECONDS)
        self._orphans.clear()
        self._is_waiting, self._waits_since_seconds = False, 0.0
        return True

    def _acquire_lease(self) -> bool:
        if self._lease is None:
            try:
                self._lease = acquire_adoption_lease(self._root, self._destination)
            except OSError:
                return True  # no folder of spools, or none of ours: there is nobody to wait for
        return self._lease is not None

    def release_lease(self) -> None:
        """Let another process adopt, when nothing of others is on its way with us."""
        if self._lease is not None and not self.has_unread and all(e.is_done for e in self._held):
            self._lease.close()
            self._lease = None

    def _hold_next(self) -> None:
        while self._orphans and self._current is None:
            path = self._orphans.popleft()
            try:
                # Another logger may have been faster, and may have sent it by now.
                if (folder := SpoolFolder.take(path)) is not None:
                    self._current = AdoptedSpool(folder, self._seals)
                    self._held.append(self._current)
            except OSError as error:
                if error.errno in _TOO_MANY_FILES and any(not each.is_done for each in self._held):
                    self._orphans.appendleft(path)  # when those that we hold are settled
                    return
                self._leave_alone(path.name, error.strerror or str(error))

    def _queued_events(self, adopted: AdoptedSpool, items: list[Spooled]) -> list[QueuedEvent]:
        queued_events: list[QueuedEvent] = []
        for found, place in items:
            if adopted.is_sent(place):
                continue
            if isinstance(found, Frame):
                queued = QueuedEvent("", found.key, found.record)
                queued_events.append(put_on_its_way(queued, -1, adopted, place))
            else:
                pass_over(adopted, place)
        self.adopted_total += len(queued_events)
        return queued_events

    def take_damaged(self) -> int:
        """Return how many events, at least, were found damaged since the last call."""
        events, self._damaged_events = self._damaged_events, 0
        return events

    def let_go(self, *, is_ours: bool = True) -> None:
        """Stop holding all of them; see `AdoptedSpool.let_go`."""
        for adopted in list(self._held):
            adopted.let_go(is_ours=is_ours)
        self._held.clear()
        self._orphans.clear()
        self._current = None
        if self._lease is not None:
            self._lease.close()
            self._lease = None


def _age_seconds(path: Path, clock: Clock) -> float:
    try:
        return clock.age_seconds(max(entry.stat().st_mtime for entry in os.scandir(path)))
    except (OSError, ValueError):
        return 0.0
