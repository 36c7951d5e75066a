"""Reads a spool in order, from a place on: for its sender, for who adopts it, and for who looks into it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trailhouse.producer.spool.files import open_file, open_folder
from trailhouse.producer.spool.folder import place_of, segment_name, segments, split
from trailhouse.producer.spool.frame import HEADER_BYTES, MAX_RECORD_BYTES, Damage, Frame, scan
from trailhouse.producer.spool.metadata import read_checkpoint
from trailhouse.producer.spool.root import folders, translated

CHUNK_BYTES = 262_144
MAX_CHUNK_BYTES = HEADER_BYTES + 65_535 + MAX_RECORD_BYTES
MAX_SEGMENT_BYTES = 1 << 31
"""Far above the largest that the settings allow; what is after it in a file was not written by a spool."""


class Spooled(NamedTuple):
    """What stands at one place of a spool: a frame, or a range that is damaged."""

    found: Frame | Damage
    place: int
    """The place after it."""


class SpoolReader:
    """Reads frames one after the other; a frame that was cut off by a kill is passed over.

    `place` is where it reads next. Not safe for threads.
    """

    def __init__(self, path: Path, place: int) -> None:
        self._path = path
        self.place = place

    def read(self, end: int | None = None) -> list[Spooled]:
        """Return the next frames, some at a time; none at *end*, a place, or after the last whole frame.

        Raises:
            SpoolUnavailableError: A file cannot be read. Retriable once that is mended.
        """
        with translated(self._path):
            while end is None or self.place < end:
                segment, offset = split(self.place)
                following = self._following(segment)
                limit = split(end)[1] if end is not None and split(end)[0] == segment else None
                items = self._read_segment(segment, offset, limit, is_last=following is None)
                if items:
                    self.place = items[-1].place
                    return items
                if following is None:
                    return []
                self.place = place_of(following, 0)
        return []

    def _following(self, segment: int) -> int | None:
        return min((number for number, _ in segments(self._path) if number > segment), default=None)

    def _read_segment(
        self, segment: int, offset: int, limit: int | None, *, is_last: bool
    ) -> list[Spooled]:
        folder = open_folder(self._path)
        try:
            file = open_file(segment_name(segment), os.O_RDONLY, dir_fd=folder)
        except FileNotFoundError:
            return []
        finally:
            os.close(folder)
        try:
            return self._read_frames(file, segment, offset, limit, is_last=is_last)
        finally:
            os.close(file)

    def _read_frames(
        self, file: int, segment: int, offset: int, limit: int | None, *, is_last: bool
    ) -> list[Spooled]:
        size = CHUNK_BYTES
        limit = limit if limit is not None or offset < MAX_SEGMENT_BYTES else offset
        while True:
            wanted = size if limit is None else min(size, limit - offset)
            content = os.pread(file, wanted, offset)
            found, taken = scan(content, offset)
            is_all = len(content) < size or wanted < size
            if is_all and taken < len(content) and (not is_last or limit is not None):
                # Nothing is missing after it: what is left was a frame.
                found.append(Damage(offset + taken, content[taken:]))
            if is_all and is_last and found and _is_blank(found[-1], offset + taken):
                found.pop()  # blocks that were never written, after a power cut
            if found or is_all:
                return [Spooled(each, place_of(segment, each.end)) for each in found]
            size = min(4 * size, MAX_CHUNK_BYTES)  # one frame is larger than what was read


def _is_blank(last: Frame | Damage, end: int) -> bool:
    return isinstance(last, Damage) and last.end == end and not last.content.strip(b"\0")


def start_of(path: Path) -> int:
    """Return the place from which the spool in *path* is to be sent: what is settled is before it.

    A checkpoint that points past what is there is wrong, or the files were cut off: sending again is
    harmless, skipping is not.
    """
    place = read_checkpoint(path)
    segment, offset = split(place)
    sizes = {number: file.lstat().st_size for number, file in segments(path)}
    is_there = not sizes or segment < max(sizes) or offset <= sizes.get(segment, -1)
    return place if is_there else 0


def frames_of(path: Path) -> Iterator[Spooled]:
    """Yield what is still to be sent of the spool in *path*, without holding it."""
    with translated(path):
        reader = SpoolReader(path, start_of(path))
    while items := reader.read():
        yield from items


def spooled(root: Path) -> Iterator[Frame]:
    """Yield the frames of every spool under *root* that are not known to be acknowledged."""
    for path in folders(root):
        for item in frames_of(path):
            if isinstance(item.found, Frame):
                yield item.found
