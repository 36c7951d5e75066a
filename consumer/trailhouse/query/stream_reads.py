"""What a reader is asked for all at once, as files or as it comes: the part of `AuditReader` that hands it on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from pathlib import Path
from typing import BinaryIO

from trailhouse.query.config import ReaderConfig
from trailhouse.query.export.export import ROWS_PER_FILE, Export
from trailhouse.query.export.formats import ExportFormat
from trailhouse.query.export.manifest import Manifest
from trailhouse.query.filtering.by_standing import without_standing
from trailhouse.query.filtering.filters import whole_number
from trailhouse.query.filtering.grammar import as_filter
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.follow.follower import Follower
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouse


class StreamReads(ABC):
    """Reads without an end or of any size; what it reads from is `AuditReader`'s.

    Attributes:
        tenant_id: The one tenant whose events are seen; None sees all.
        principal: On whose behalf is read.
    """

    tenant_id: str | None
    principal: str
    _reads: ReaderConfig

    @abstractmethod
    def _ready(self) -> ClickHouse: ...

    def follow(
        self,
        wanted: SearchFilter | str | None = None,
        *,
        token: str | None = None,
        from_start: bool = False,
        principal: str | None = None,
    ) -> Follower:
        """Return what gives events as they are stored, each once, in append order within a session.

        All followers of a process share one poll of ClickHouse. What this returns is a context manager: close it.

        Args:
            wanted: Which events, as a filter or its text; None for all.
            token: Where to go on: that of a `Follower` with the same filter, of the same reader and principal.
            from_start: Begin with the first event there is, and not with the next one; a token goes before it.
            principal: On whose behalf, for the token; the reader's if None.

        Raises:
            QueryError: The filter is not understood, or the token is not one for this. Permanent.
            StorageError, ConfigError: As for `get_audit_log`.
        """
        followed = as_filter(wanted, token)
        if without_standing(followed)[1]:
            raise QueryError(
                "standing: no seal has come when an event does; follow, and ask `standings` later"
            )
        clickhouse = self._ready()
        return Follower(
            clickhouse,
            followed,
            tenant_id=self.tenant_id,
            principal=self.principal if principal is None else principal,
            secret=self._reads.secret_for(clickhouse.config),
            token=token,
            from_start=from_start,
        )

    def export(
        self,
        to: Path | BinaryIO,
        wanted: SearchFilter | str | None = None,
        *,
        format: ExportFormat | str = ExportFormat.JSONL,
        rows_per_file: int = ROWS_PER_FILE,
        on_progress: Callable[[int], None] = lambda rows: None,
    ) -> Manifest:
        """Write all events that *wanted* describes, each once, and return what was written.

        Into a folder go files of about *rows_per_file* events, whole sessions each, and ``manifest.json``, by which
        `check_export` checks them without a connection. The same call goes on where one was cut off. Events that are
        stored after it began are not in it.

        Args:
            to: A folder of its own, made if it is missing; or a stream, which gets all as one.
            wanted: Which events, as a filter or its text; None for all.
            format: ``jsonl``: the records, to the byte; ``csv`` for spreadsheets; ``parquet``; ``arrow``.
            rows_per_file: About how many events a file holds; a session is never split.
            on_progress: Told how many events have been written.

        Raises:
            QueryError: The filter or the format is not understood, or the folder is another's. Permanent.
            ExportError: The disk is full, or something else cut it off. Retriable: it goes on from what is whole.
            StorageError, ConfigError: As for `get_audit_log`; retriable ones likewise.
        """
        export = self._export(wanted, format, rows_per_file, on_progress)
        return export.to_folder(to) if isinstance(to, Path) else export.to_stream(to)

    def export_pieces(
        self, wanted: SearchFilter | str | None = None
    ) -> Generator[bytes, None, Manifest]:
        """Return what yields the records that *wanted* describes as JSON lines, and returns what it yielded.

        A piece is any number of bytes, and each may be waited for, also where an `AsyncAuditReader` gives them. Pieces
        without their end are no whole export.

        Raises:
            QueryError, ExportError, StorageError, ConfigError: As for `export`, also after some of it.
        """
        return self._export(wanted).pieces()

    def _export(
        self,
        wanted: SearchFilter | str | None,
        format: ExportFormat | str = ExportFormat.JSONL,
        rows_per_file: int = ROWS_PER_FILE,
        on_progress: Callable[[int], None] = lambda rows: None,
    ) -> Export:
        if format not in set(ExportFormat):
            raise QueryError(f"format: must be one of {', '.join(ExportFormat)}")
        return Export(
            self._ready(),
            as_filter(wanted),
            tenant_id=self.tenant_id,
            principal=self.principal,
            format=ExportFormat(format),
            rows_per_file=whole_number(rows_per_file),
            on_progress=on_progress,
        )
