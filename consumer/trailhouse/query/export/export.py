"""Write what a filter finds into files, slice by slice: bounded in memory, and to be taken up where it was cut off."""

import datetime as dt
import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import BinaryIO

import msgspec

from trailhouse.query.export.folder import ExportFolder
from trailhouse.query.export.formats import ALTERED, ERASED, RESPELLED, ExportFormat, header_of
from trailhouse.query.export.manifest import ExportedFile, Manifest, sum_of, with_zeros
from trailhouse.query.export.slices import Slice, Slices
from trailhouse.query.filtering.grammar import render
from trailhouse.query.filtering.log_where import log_where
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.follow.polling import Polling
from trailhouse.query.follow.position import Home, Position
from trailhouse.query.follow.walk import Walk
from trailhouse.schemas.errors import ExportError, QueryError
from trailhouse.store import ClickHouse

ROWS_PER_FILE = 250_000
FILES_AT_ONCE = 2
"""ClickHouse makes the one while this process writes the other; of columns it sends a file when all of it is made."""
_ATTEMPTS = 3
Progress = Callable[[int], None]


class Export:
    """One export: what is asked, of whom, in which format."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        wanted: SearchFilter,
        *,
        tenant_id: str | None,
        principal: str,
        format: ExportFormat,
        rows_per_file: int,
        on_progress: Progress,
    ) -> None:
        self._clickhouse = clickhouse
        self._condition, self._values = log_where(wanted, tenant_id)
        self._format = format
        self._rows_per_file = rows_per_file
        self._on_progress = on_progress
        self._is_given_up = Event()
        self._asked = Manifest(
            query=render(wanted),
            tenant_id=tenant_id,
            principal=principal,
            format=str(format),
            as_of={},
            began_at=dt.datetime.now(dt.UTC),
            ended_at=None,
            rows=0,
            days={},
            has_all_zeros=True,
            guarded_cells=format is ExportFormat.CSV,
            respelled=0,
            altered=0,
            erased=0,
            files=(),
        )

    def to_folder(self, path: Path) -> Manifest:
        """Write the files and the manifest into *path*, or go on where that was cut off."""
        with ExportFolder(path) as folder:
            done = folder.begun()
            if done is None:
                done = self._begun()
                # Before the first file: one that stood there without it would be taken for somebody else's.
                folder.note(done)
            if _question(done) != _question(self._asked):
                raise QueryError(
                    f"{path} holds an unfinished export of another question: finish that, or take another folder"
                )
            for written in self._missing(folder, done):
                done = msgspec.structs.replace(done, files=(*done.files, written))
                folder.note(done)
                self._on_progress(sum(each.rows for each in done.files))
            manifest = _summed(done)
            folder.finish(manifest)
            return manifest

    def _missing(self, folder: ExportFolder, done: Manifest) -> Iterator[ExportedFile]:
        """Write the files that follow those of *done*, some at once, and yield them in their order."""
        slices, number = self._slices(done), len(done.files)
        last = done.files[-1].last_session if done.files else None
        is_over = bool(done.files) and last is None
        writing: deque[Future[ExportedFile]] = deque()
        self._is_given_up.clear()
        with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="export") as pool:
            try:
                while writing or not is_over:
                    while not is_over and len(writing) < FILES_AT_ONCE:
                        part, number = slices.after(last, self._rows_per_file), number + 1
                        last, is_over = part.last, part.last is None
                        name = f"events-{number:05d}.{self._format}"
                        writing.append(pool.submit(self._write, folder, name, slices, part))
                    yield writing.popleft().result()
            finally:
                # Whatever ended it: what is not whole now is written by the next call.
                self._is_given_up.set()
                pool.shutdown(cancel_futures=True)

    def to_stream(self, stream: BinaryIO) -> Manifest:
        """Write all to *stream*; its manifest has one file, named ``-``."""
        pieces = self.pieces()
        while True:
            try:
                stream.write(next(pieces))
            except StopIteration as end:
                stream.flush()
                manifest: Manifest = end.value
                return manifest

    def pieces(self) -> Generator[bytes, None, Manifest]:
        """Yield all, piece by piece, and return the manifest: one file, named ``-``."""
        done = self._begun()
        slices = self._slices(done)
        counted = _Counted()
        days: dict[str, int] = {}

        def taken(piece: bytes) -> bytes:
            counted.take(piece)
            return piece

        yield taken(header_of(self._format))
        # A file of columns has one end: it is written in one piece, and in no order.
        is_whole = self._format in (ExportFormat.PARQUET, ExportFormat.ARROW)
        for part in [Slice(None, None)] if is_whole else self._parts(slices):
            for day, rows in slices.days(part).items():
                days[day] = days.get(day, 0) + rows
            pieces = slices.pieces(part, self._format, is_ordered=not is_whole)
            for piece in self._lines(pieces, counted):
                yield taken(piece)
            self._on_progress(sum(days.values()))
            if self._is_jsonl and counted.met != sum(days.values()):
                raise ExportError("events came late while they were written: export again")
        written = ExportedFile(
            name="-",
            rows=counted.rows if self._is_jsonl else sum(days.values()),
            size_bytes=counted.size_bytes,
            sha256=counted.sha256,
            days=days,
            respelled=counted.respelled,
            altered=counted.altered if self._is_jsonl else None,
            erased=counted.erased if self._is_jsonl else None,
        )
        return _summed(msgspec.structs.replace(done, files=(written,)))

    @property
    def _is_jsonl(self) -> bool:
        return self._format is ExportFormat.JSONL

    def _parts(self, slices: Slices) -> Iterator[Slice]:
        part = slices.after(None, self._rows_per_file)
        yield part
        while part.last is not None:
            part = slices.after(part.last, self._rows_per_file)
            yield part

    def _begun(self) -> Manifest:
        now = Walk(Polling(self._clickhouse)).now()
        return msgspec.structs.replace(self._asked, as_of=now.as_of)

    def _slices(self, done: Manifest) -> Slices:
        next_offsets = {_home(name): last + 1 for name, last in done.as_of.items()}
        return Slices(self._clickhouse, self._condition, self._values, Position(next_offsets))

    def _write(self, folder: ExportFolder, name: str, slices: Slices, part: Slice) -> ExportedFile:
        """Write one slice; again when rows of it came late meanwhile."""
        for _ in range(_ATTEMPTS):
            days = slices.days(part)
            counted = _Counted()
            pieces = slices.pieces(part, self._format, is_ordered=True)
            size_bytes, sha256 = folder.write(name, self._with_header(self._lines(pieces, counted)))
            if counted.met == sum(days.values()) if self._is_jsonl else slices.days(part) == days:
                return ExportedFile(
                    name=name,
                    rows=counted.rows if self._is_jsonl else sum(days.values()),
                    size_bytes=size_bytes,
                    sha256=sha256,
                    days=days,
                    last_session=part.last,
                    respelled=counted.respelled,
                    altered=counted.altered if self._is_jsonl else None,
                    erased=counted.erased if self._is_jsonl else None,
                )
        raise ExportError(
            f"rows of {name} came late while it was written: the same export goes on from there"
        )

    def _with_header(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        if header := header_of(self._format):
            yield header
        for piece in pieces:
            if self._is_given_up.is_set():
                raise ExportError("the export was given up: the same export goes on from there")
            yield piece

    def _lines(self, pieces: Iterable[bytes], counted: "_Counted") -> Iterator[bytes]:
        """Pass *pieces* on; of lines, what is no record is taken out, and what is respelled is counted."""
        if not self._is_jsonl:
            yield from pieces
            return
        rest = b""
        for piece in pieces:
            block = rest + piece
            end = block.rfind(b"\n") + 1
            whole, rest = block[:end], block[end:]
            if any(mark in whole for mark in (RESPELLED, ALTERED, ERASED)):
                whole = counted.clean(whole)
            counted.rows += whole.count(b"\n")
            yield whole
        yield rest


class _Counted:
    """What was written: rows, bytes, and their hash."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.rows = self.size_bytes = self.respelled = self.altered = self.erased = 0

    @property
    def met(self) -> int:
        """How many rows there were, those included that are left out."""
        return self.rows + self.altered + self.erased

    @property
    def sha256(self) -> str:
        """Of all bytes until now, in hexadecimal."""
        return self._digest.hexdigest()

    def take(self, piece: bytes) -> None:
        """Take in what is written."""
        self._digest.update(piece)
        self.size_bytes += len(piece)

    def clean(self, lines: bytes) -> bytes:
        """Return *lines* without those of erased and altered rows, and without the marks of respelled ones."""
        kept: list[bytes] = []
        for line in lines.splitlines(keepends=True):
            if line.startswith((ALTERED, ERASED)):
                self.altered += line.startswith(ALTERED)
                self.erased += line.startswith(ERASED)
                continue
            if line.startswith(RESPELLED):
                self.respelled += 1
                line = line[1:]
            kept.append(line)
        return b"".join(kept)


def _home(name: str) -> Home:
    topic, _, partition = name.rpartition(":")
    return Home(topic, int(partition))


def _question(asked: Manifest) -> tuple[str, str | None, str, str]:
    return asked.query, asked.tenant_id, asked.principal, asked.format


def _summed(done: Manifest) -> Manifest:
    days, has_all_zeros = with_zeros(sum_of(done.files))
    altered = [each.altered for each in done.files]
    erased = [each.erased for each in done.files]
    return msgspec.structs.replace(
        done,
        ended_at=dt.datetime.now(dt.UTC),
        rows=sum(each.rows for each in done.files),
        days=days,
        has_all_zeros=has_all_zeros,
        respelled=sum(each.respelled for each in done.files),
        altered=None if None in altered else sum(each or 0 for each in altered),
        erased=None if None in erased else sum(each or 0 for each in erased),
    )
