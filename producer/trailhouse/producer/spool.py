"""The spool: what a logger has logged, in files, until the broker has it."""

import contextlib
import logging
import os
from pathlib import Path

from trailhouse.producer.frame import HEADER_BYTES, frame
from trailhouse.producer.receipt import Receipt
from trailhouse.producer.spool_folder import (
    NO_SPACE,
    OWNER_ONLY,
    Destination,
    SpoolFolder,
    place_of,
    segment_path,
    split,
    sync_folder,
    unavailable,
)
from trailhouse.schemas.config import ProducerConfig
from trailhouse.schemas.errors import DeliveryError

log = logging.getLogger(__name__)


class Spool:
    """An append-only file of frames in segments. Used under its owner's lock.

    A signal handler may log in the middle of `append`. Python runs it between two calls: number and
    place of a frame are therefore taken together, without a call between, and written to by offset.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        destination: Destination,
        config: ProducerConfig,
        *,
        first_number: int = 0,
    ) -> None:
        self._is_synced = config.fsync != "never"
        self.folder = SpoolFolder.create(root, name, destination, is_synced=self._is_synced)
        self._max_bytes = config.spool_bytes
        self._segment_bytes = config.spool_segment_bytes
        self._is_synced_always = config.fsync == "always"
        self._retired: list[int] = []
        self._is_dirty = False
        self._segment = 0
        self._end = 0
        self._file = -1
        self.next_number = first_number
        self._first_segment = 1
        self._acked = 0
        self.last: Receipt | None = None
        self._written = 0
        try:
            self._next_segment()
        except BaseException:
            self.folder.release(is_empty=True)
            raise

    @property
    def end(self) -> int:
        """The place behind the last frame."""
        return place_of(self._segment, self._end)

    @property
    def used_bytes(self) -> int:
        """Bytes that it takes on the disk, roughly: full segments and the current one."""
        return (self._segment - self._first_segment) * self._segment_bytes + self._end

    @property
    def has_room(self) -> bool:
        """Whether one more event may be added."""
        used_bytes = (self._segment - self._first_segment) * self._segment_bytes + self._end
        return used_bytes < self._max_bytes

    def append(self, key: bytes, record: bytes) -> tuple[int, int]:
        """Write one frame; return its number, counted from 0, and the place behind it.

        Delivery:
            On return the record survives the end of this process by whatever means; with
            ``fsync = "always"`` a power cut too.

        Raises:
            SpoolFullError: The disk is full. Retriable; nothing was written.
            SpoolUnavailableError: The file cannot be written. Retriable; nothing was written.
        """
        size = HEADER_BYTES + len(key) + len(record)
        while self._end + size > self._segment_bytes and self._end:
            self._next_segment()
        begin, number, file, segment = self._end, self.next_number, self._file, self._segment
        self._end = begin + size
        self.next_number = number + 1
        self._is_dirty = True
        try:
            content = frame(number, key, record)
            if os.pwrite(file, content, begin) != size:
                # A disk that fills up takes a part; the rest then fails with the reason.
                _write_all(file, content, begin)
            if self._is_synced_always:
                os.fdatasync(file)
        except BaseException as error:
            if self._end == begin + size and self._file == file:
                self._end = begin
                self.next_number = number
                _cut(file, begin)
            if isinstance(error, OSError):
                if error.errno in NO_SPACE:
                    self._free_current()
                raise unavailable(self.folder.path.parent, error) from error
            raise  # an interrupt: the caller does not get a receipt, so nothing was logged
        self._written = place = place_of(segment, begin + size)
        return number, place

    def _free_current(self) -> None:
        """Go on in a new segment when all of the current one is settled: it may be what fills the disk."""
        current, file = self._segment, self._file
        if self._end and self._acked >= self._written == place_of(current, self._end):
            with contextlib.suppress(DeliveryError, OSError):
                self._next_segment()
                os.ftruncate(file, 0)
                self.folder.free_before(self._segment)
                self._first_segment = self._segment

    def settle_to(self, place: int) -> None:
        """Note that everything before *place* is settled, and free the segments before it."""
        if place <= self._acked or self._file < 0:
            return
        self._acked = place
        segment = split(place)[0]
        try:
            if segment != self._first_segment:
                self.folder.free_before(segment)
                self._first_segment = segment
            self.folder.set_acked(place)
        except OSError as error:
            # What is settled is then sent again after a kill, and is one event to readers.
            log.error("the spool cannot note what is acknowledged (%s)", error.strerror)

    @property
    def is_gone(self) -> bool:
        """Whether somebody has removed the file that is being written: a kill would lose it."""
        return self._file >= 0 and os.fstat(self._file).st_nlink == 0

    def take_unsynced(self) -> list[int]:
        """Return descriptors to be given to `sync`, outside the lock; empty when all is on the disk."""
        if not self._is_synced:
            for file in self._take_retired():
                os.close(file)
            return []
        if not self._is_dirty:
            return self._take_retired()
        self._is_dirty = False
        return [*self._take_retired(), os.dup(self._file)]

    def _take_retired(self) -> list[int]:
        retired, self._retired = self._retired, []
        return retired

    def close(self) -> None:
        """Force it to the disk and let go of it; it is removed when all of it is settled."""
        is_empty = self._acked >= self._written
        file, self._file = self._file, -1  # nobody may write to a number that is given anew
        for each in (*self._take_retired(), file):
            if self._is_synced and not is_empty:
                with contextlib.suppress(OSError):  # it is written; only a power cut could tell
                    os.fdatasync(each)
            os.close(each)
        self.folder.release(is_empty=is_empty)

    def discard(self) -> None:
        """Remove it, settled or not: it is a copy that was not completed."""
        self._acked = self._written
        self.close()

    def forget(self) -> None:
        """Close our copies of the files, in a forked child: the spool is the parent's."""
        file, self._file = self._file, -1
        for each in (*self._take_retired(), file):
            os.close(each)
        self.folder.forget()

    def _next_segment(self) -> None:
        number = self._segment + 1
        path = segment_path(self.folder.path, number)
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
            if self._is_synced:
                sync_folder(self.folder.path)
        except OSError as error:
            raise unavailable(self.folder.path.parent, error) from error
        # Closed later: an append that a signal handler has interrupted may just be using it.
        unused = [self._file] if self._file >= 0 else []
        if self._segment >= number:
            os.close(file)  # a signal handler was here before us
            return
        self._segment, self._end, self._file = number, 0, file
        self._retired += unused


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


def _write_all(file: int, content: bytes, offset: int) -> None:
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written


def _cut(file: int, size: int) -> None:
    # If it fails, the next frame overwrites it; behind the last one it reads as cut off.
    with contextlib.suppress(OSError):
        os.ftruncate(file, size)
