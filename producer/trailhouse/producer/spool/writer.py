"""The spool: what a logger has logged, in files, until the broker has it."""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from typing import TYPE_CHECKING

from trailhouse.producer.spool.folder import SpoolFolder, place_of, segments, split, sync_folder
from trailhouse.producer.spool.frame import frame
from trailhouse.producer.spool.held_write import HeldWrite
from trailhouse.producer.spool.journal import Entry, Journal, Seal
from trailhouse.producer.spool.metadata import Written, written_note
from trailhouse.producer.spool.queued_event import QueuedEvent
from trailhouse.producer.spool.root import NO_SPACE, translated, unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from trailhouse.producer.config import ProducerConfig
    from trailhouse.producer.spool.files import OpenFile
    from trailhouse.producer.spool.journal import Inbox
    from trailhouse.producer.spool.metadata import Destination
    from trailhouse.producer.spool.seal_note import SealNote

log = logging.getLogger(__name__)

NOTED_EVENTS = 64
"""How many events a spool that was cut off may have held more than it is known to have."""


class Spool(Journal):
    """A journal in append-only files of frames, in segments. Logged to without a lock, the rest under its owner's.

    A frame stands at the place that its entry was published with, so it is written by offset.
    """

    def __init__(
        self,
        root: Path,
        destination: Destination,
        config: ProducerConfig,
        inbox: Inbox,
        *,
        first_number: int = 0,
        first_seq: int = 0,
        seal_note: SealNote | None = None,
    ) -> None:
        self._is_synced = config.fsync != "never"
        self.folder = SpoolFolder.create(
            root, destination, is_synced=self._is_synced, seal_note=seal_note
        )
        self.seal_note = seal_note
        """How far it is sealed; None where nothing is. What is not sealed yet stays in its file."""
        self._max_bytes = config.spool_bytes
        self._segment_bytes = config.spool_segment_bytes
        self._is_synced_always = config.fsync == "always"
        self.first_number = first_number
        """The number of the event that is 0 in the files."""
        self._first_segment = 1
        self._acked = 0
        self._synced = place_of(1, 0)
        self._is_closed = False
        self._held_write = HeldWrite()
        self.wants_space = False
        self.last: QueuedEvent | None = None
        try:
            file = self.folder.open_segment(1)
            if self._is_synced:
                sync_folder(self.folder.path)
        except BaseException as error:
            self.folder.release(is_empty=True)
            if isinstance(error, OSError):
                raise unavailable(root, error) from error
            raise
        super().__init__(Entry(first_number, first_seq, None, 1, 0, 0, file), inbox)

    @property
    def end(self) -> int:
        """The place after the last frame."""
        last = self.tail()
        return place_of(last.segment, last.end)

    @property
    def used_bytes(self) -> int:
        """Bytes that it takes on the disk, roughly: full segments and the current one."""
        last = self._newest
        return (last.segment - self._first_segment) * self._segment_bytes + last.end

    def has_room(self) -> bool:
        """Whether one more event may be added."""
        last = self._newest
        used_bytes = (last.segment - self._first_segment) * self._segment_bytes + last.end
        return used_bytes < self._max_bytes

    def resolved(self) -> Entry:
        """See `Journal.resolved`; what the operating system refuses is our error."""
        if not self._is_synced_always:  # else the disk is waited for each time
            self._held_write.note_meeting()
        with translated(self.folder.path.parent):
            return super().resolved()

    def append(
        self,
        newest: Entry,
        seq: int,
        event_id: str,
        key: bytes,
        record: bytes,
        is_kept: bool = True,
        is_last: bool = False,
    ) -> QueuedEvent | None:
        """Write an event after *newest*; None when another was faster: begin anew. See `Journal.append`.

        Delivery:
            On return the record survives the end of this process by whatever means; with
            ``fsync = "always"`` a power cut too.

        Raises:
            SpoolFullError: The disk is full. Retriable; nothing was logged.
            SpoolUnavailableError: The file cannot be written. Retriable; nothing was logged.
            ProducerClosedError: It was sealed meanwhile. Permanent; nothing was logged.
        """
        number = newest.events
        content = frame(number - self.first_number, key, record)
        segment, begin, file = newest.segment, newest.end, newest.file
        size = len(content)
        try:
            if begin + size > self._segment_bytes and begin:
                segment, begin, file = segment + 1, 0, self._next_segment(segment + 1)
            if begin == 0 or newest.followers:
                content = _covering(content, begin, file)
                size = len(content)
            end = begin + size
            kept = record if is_kept else b""
            queued = QueuedEvent(event_id, key, kept, number, place_of(segment, end), self)
            left = newest.left if is_kept else number + 1
            entry = Entry(number + 1, seq, queued, segment, begin, end, file, content, left)
            if is_last:
                entry.followers.append(Seal())
            return queued if self.publish(newest, entry) else None
        except OSError as error:
            self.wants_space |= error.errno in NO_SPACE
            # Kept, they would keep all entries that come after.
            traceback.clear_frames(error.__traceback__)
            del newest
            raise unavailable(self.folder.path.parent, error) from error

    def write_again(self, queued: QueuedEvent) -> int:
        """Write an event of a spool that is gone; return its place.

        Raises:
            SpoolFullError, SpoolUnavailableError: It cannot be written. Retriable.
        """
        # The one that is queued goes on belonging to the old spool until all are here.
        while True:
            newest = self.newest()
            copy = self.append(newest, newest.seq, queued.event_id, queued.key, queued.record)
            if copy is not None:
                return copy.place

    def write(self, entry: Entry, content: bytes) -> None:
        """Write *entry*'s frame; see `Journal.complete`."""
        if (file := entry.file) is None:  # it begins a segment, and holds no event
            return
        held = self._held_write
        write = held.write if held.left_writes > 0 else os.pwrite
        if write(file.fd, content, entry.begin) != len(content):
            # A disk that fills up takes a part; the rest then fails with the reason.
            _write_all(file.fd, content, entry.begin)
        if self._is_synced_always:
            os.fdatasync(file.fd)
        if entry.events % NOTED_EVENTS == 0:
            self._note(entry)

    def _note(self, entry: Entry) -> None:
        file = (
            self.folder.written
        )  # held until we are done: the number of the descriptor stays ours
        if file is not None:
            with contextlib.suppress(
                OSError
            ):  # the event is in its file; only a cut would not be seen
                written = Written(
                    place_of(entry.segment, entry.end), entry.events - self.first_number
                )
                self._held_write.write(file.fd, written_note(written), 0)

    def _next_segment(self, number: int) -> OpenFile:
        file = self.folder.open_segment(number)
        if self._is_synced:
            sync_folder(self.folder.path)
        return file

    def make_space(self) -> None:
        """Go on in a new segment when all of the current one is settled: it may be what fills the disk."""
        if not self.wants_space:
            return
        self.wants_space = False
        last = self.tail()
        if not last.end or last.followers or self._acked < place_of(last.segment, last.end):
            return
        # Even what is not sealed yet: its digests are in memory, and only a kill before they are sealed loses them.
        with contextlib.suppress(OSError):
            segment = last.segment + 1
            file = self.folder.open_segment(segment)
            entry = Entry(last.events, last.seq, None, segment, 0, 0, file, left=last.left)
            if self.publish(last, entry):
                if self._newest is last:
                    self._newest = entry
                self.folder.free_before(segment)
                self._first_segment = segment
                self._acked = place_of(segment, 0)
                self.folder.set_acked(self._acked)

    def settle_to(self, place: int) -> None:
        """Note that everything before *place* is settled, and free the segments before it."""
        if place <= self._acked or self._is_closed:
            return
        self._acked = place
        segment = split(place)[0]
        try:
            self._free_before(segment)
            self.folder.set_acked(place)
        except OSError as error:
            # What is settled is then sent again after a kill, and is one event to readers.
            log.error("the spool cannot note what is acknowledged (%s)", error.strerror)

    def _free_before(self, segment: int) -> None:
        if (note := self.seal_note) is not None and not note.is_done:
            segment = min(segment, split(note.place)[0])
        if segment > self._first_segment:
            self.folder.free_before(segment)
            self._first_segment = segment

    def note_sealed(self, note: SealNote) -> None:
        """Note that all before `place` of *note* is sealed, by what was logged after it; frees what it held."""
        if self._is_closed or self.seal_note is None:
            return
        self.seal_note = note
        try:
            self.folder.note_sealed(note)
            self._free_before(split(self._acked)[0])
        except OSError as error:
            log.error("the spool cannot note what is sealed (%s)", error.strerror)

    @property
    def is_gone(self) -> bool:
        """Whether somebody has removed the file that is being written: a kill would lose it."""
        file = self.seen.file
        return file is not None and not self._is_closed and os.fstat(file.fd).st_nlink == 0

    @property
    def has_unsynced(self) -> bool:
        """Whether something was written since `take_unsynced`."""
        return not self._is_closed and place_of(self.seen.segment, self.seen.end) != self._synced

    def take_unsynced(self) -> list[int]:
        """Return descriptors to be given to `sync`, outside the lock; empty when all is on the disk.

        Raises:
            OSError: A file cannot be opened.
        """
        last = self.seen  # what a call has begun is its own to complete, or the next call's
        end = place_of(last.segment, last.end)
        if end == self._synced or self._is_closed:
            return []
        self._note(last)
        begin, self._synced = self._synced, end
        if not self._is_synced:
            return []
        if split(begin)[0] == last.segment and last.file is not None:
            return [os.dup(last.file.fd)]
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        return [
            os.open(path, flags)
            for number, path in segments(self.folder.path)
            if number >= split(begin)[0]
        ]

    def close(self) -> None:
        """Force it to the disk and let go of it; it is removed when all of it is settled. May be called twice."""
        if self._is_closed:
            return
        last = self.seal()
        is_sealed = self.seal_note is None or self.seal_note.is_done
        is_empty = (self._acked >= place_of(last.segment, last.end) and is_sealed) or not last.end
        if not is_empty:
            with contextlib.suppress(OSError):  # it is written; only a power cut could tell
                sync(self.take_unsynced())
        self.folder.release(is_empty=is_empty)
        self._finish(last)

    def discard(self) -> None:
        """Remove it, settled or not: it is a copy that was not completed, or not needed."""
        last = self.seal()
        self.folder.release(is_empty=True)
        self._finish(last)

    def forget(self) -> None:
        """Leave it to others, who go on holding it, or removed it: a forked child its parent's."""
        last = self.seal()
        self.folder.forget()
        self._finish(last)

    def _finish(self, last: Entry) -> None:
        self._is_closed = True
        # Without the file, which is closed when the last call that writes to it has left.
        end = Entry(last.events, last.seq, None, last.segment, last.end, last.end, left=last.left)
        end.followers = last.followers
        self._newest = end


def sync(files: list[int]) -> None:
    """Force *files* to the disk, and close them all; an error of the system is raised after that."""
    failure: OSError | None = None
    for file in files:
        try:
            os.fdatasync(file)
        except OSError as error:
            failure = error
        finally:
            os.close(file)
    if failure is not None:
        raise failure


def _covering(content: bytes, begin: int, file: OpenFile | None) -> bytes:
    """Return *content* made long enough to cover what a failed write has left at *begin*."""
    left = 0 if file is None else os.fstat(file.fd).st_size - begin
    return content.ljust(left, b"\0") if left > len(content) else content


def _write_all(file: int, content: bytes, offset: int) -> None:
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written
