"""What an export says of itself: what was asked, as of when, and what each file holds; checked without a connection."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from trailhouse.schemas.errors import ExportError

MANIFEST = "manifest.json"
VERSION = 1
MOST_DAYS = 20_000
PIECE_BYTES = 1_048_576


class ExportedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an export.

    Attributes:
        name: Its name in the folder.
        rows: How many events it holds.
        size_bytes: Its size.
        sha256: Of its bytes, in hexadecimal.
        days: How many of them occurred on each day of UTC.
        last_session: The last session in it: the next file begins after it.
        respelled: Records in it with line breaks between their values, which are written as blanks.
        altered: Rows that were altered in ClickHouse, and are left out; None where the file marks them itself.
        erased: Rows whose record an order erased, and which are left out; None likewise.
    """

    name: str
    rows: int
    size_bytes: int
    sha256: str
    days: dict[str, int]
    last_session: str | None = None
    respelled: int = 0
    altered: int | None = None
    erased: int | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds, and of what question.

    Attributes:
        query: The filter, in the grammar of every door; empty for all events.
        tenant_id: The one tenant that the reader sees; None for all.
        principal: On whose behalf; empty for nobody in particular.
        format: ``jsonl``, ``csv``, ``parquet`` or ``arrow``.
        as_of: The last offset of each partition ("topic_id:partition") that was stored when it began: what was
            appended later is not in it.
        began_at: When it began.
        ended_at: When its last file was whole.
        rows: How many events it holds.
        days: How many of them occurred on each day of UTC, zeros included between the first and the last.
        has_all_zeros: Whether each day without an event has its zero; not where events lie centuries apart.
        guarded_cells: Whether text that a spreadsheet would run has an apostrophe before it: in CSV.
        respelled: Records with line breaks between their values, written as blanks so that a line is a record.
        altered: Rows left out since they were altered in ClickHouse; None where the files mark them (`is_altered`).
        erased: Rows left out since an order erased their record; None where the files mark them (`is_erased`).
        files: Its files, in order of their sessions.
        version: Of this form.
    """

    query: str
    tenant_id: str | None
    principal: str
    format: str
    as_of: Mapping[str, int]
    began_at: dt.datetime
    ended_at: dt.datetime | None
    rows: int
    days: Mapping[str, int]
    has_all_zeros: bool
    guarded_cells: bool
    respelled: int
    altered: int | None
    erased: int | None
    files: tuple[ExportedFile, ...]
    version: int = VERSION


class ExportCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of an export.

    Attributes:
        files: How many files the manifest names.
        rows: How many events it says that they hold.
        erased: How many rows it says were left out since an order erased their record.
        problems: What is not as the manifest says; empty when all is.
    """

    files: int
    rows: int
    erased: int
    problems: tuple[str, ...]


def with_zeros(days: Mapping[str, int]) -> tuple[dict[str, int], bool]:
    """Return *days* in order with each day between the first and the last, and whether there are not too many."""
    if not days:
        return {}, True
    first, last = dt.date.fromisoformat(min(days)), dt.date.fromisoformat(max(days))
    if (last - first).days >= MOST_DAYS:
        return dict(sorted(days.items())), False
    each = (first + dt.timedelta(number) for number in range((last - first).days + 1))
    return {str(day): days.get(str(day), 0) for day in each}, True


def sum_of(files: Iterable[ExportedFile]) -> dict[str, int]:
    """Return how many events occurred on each day."""
    total: dict[str, int] = {}
    for each in files:
        for day, rows in each.days.items():
            total[day] = total.get(day, 0) + rows
    return total


def check_export(folder: Path) -> ExportCheck:
    """Hold the files of an export against its manifest, without a connection.

    Raises:
        ExportError: There is no manifest, or none of ours. Retriable once the export is whole.
        OSError: A file cannot be read.
    """
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ExportError(
            f"{folder} holds no whole export: there is no {MANIFEST}; the same export goes on from what is there"
        ) from None
    except msgspec.MsgspecError:
        raise ExportError(f"{path} is not the manifest of an export") from None
    problems = [problem for each in manifest.files for problem in _problems(folder, manifest, each)]
    problems += _contradictions(manifest)
    known = {each.name for each in manifest.files}
    problems += [
        f"{found.name}: is not in the manifest"
        for found in sorted(folder.glob(f"events-*.{manifest.format}"))
        if found.name not in known
    ]
    return ExportCheck(
        files=len(manifest.files),
        rows=manifest.rows,
        erased=manifest.erased or 0,
        problems=tuple(problems),
    )


def _contradictions(manifest: Manifest) -> list[str]:
    found: list[str] = []
    if manifest.rows != sum(each.rows for each in manifest.files):
        found.append("rows: is not the sum of the files")
    if {day: rows for day, rows in manifest.days.items() if rows} != sum_of(manifest.files):
        found.append("days: are not the sum of the files")
    found += [
        f"{each.name}: its rows are not the sum of its days"
        for each in manifest.files
        if each.rows != sum(each.days.values()) - (each.altered or 0) - (each.erased or 0)
    ]
    return found


def _problems(folder: Path, manifest: Manifest, named: ExportedFile) -> list[str]:
    # A name is a name: the manifest may have come from somebody else.
    if Path(named.name).name != named.name or not named.name.startswith("events-"):
        return ["the manifest names a file that is not of an export"]
    path = folder / named.name
    if not path.is_file() or path.is_symlink():
        return [f"{named.name}: is missing"]
    digest, size_bytes, lines = hashlib.sha256(), 0, 0
    with path.open("rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
            lines += piece.count(b"\n")
    if size_bytes != named.size_bytes or digest.hexdigest() != named.sha256:
        return [f"{named.name}: its bytes are not those that were exported"]
    if manifest.format == "jsonl" and lines != named.rows:
        return [f"{named.name}: has {lines} lines and not {named.rows}"]
    return []
