"""What lies in the spools of this machine: how many events, whose, and whether somebody sends them."""

from pathlib import Path

import msgspec

from trailhouse.producer.spool.folder import is_held, segments
from trailhouse.producer.spool.metadata import destination_of, read_written
from trailhouse.producer.spool.missing import MissingCount
from trailhouse.producer.spool.reader import SpoolReader, start_of
from trailhouse.producer.spool.root import QUARANTINE, survey, translated
from trailhouse.producer.spool.seal_note import read_seal_note
from trailhouse.schemas.errors import SpoolUnavailableError


class SpoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One spool.

    `state` is ``live``: its logger runs; ``orphan``: whoever comes next sends it; or ``unsealed``: all of it is sent,
    and it waits for a logger of its service, which has the key, to seal what was.
    """

    spool: str
    state: str
    service: str | None
    host: str | None
    pid: int | None
    topic: str | None
    bootstrap_servers: str | None
    events: int
    """Whole events that are not known to be acknowledged."""
    damaged_ranges: int
    missing_events: int
    """Events, at least, that were there and are not any more: damaged, cut off or removed."""
    size_bytes: int


class SpoolsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All spools of one folder, and the bytes that were set aside there since they cannot be sent."""

    folder: str
    spools: tuple[SpoolStatus, ...]
    refused: dict[str, str]
    """What has the name of a spool and is never sent, and why: it is not ours alone, or cannot be read."""
    quarantined_bytes: int
    unknown_destinations: int
    """Spools of which nobody knows where their events go: they are sent to any destination, if told to."""


def spools_status(root: Path) -> SpoolsStatus:
    """Look into every spool under *root* without holding or changing any.

    Raises:
        SpoolUnavailableError: The folder cannot be read. Retriable once that is mended.
    """
    found = survey(root)
    refused = dict(found.refused)
    spools = []
    for path in found.folders:
        try:
            spools.append(_status(path))
        except SpoolUnavailableError as error:
            refused[path.name] = str(error)
    with translated(root):
        quarantine = root / QUARANTINE
        kept = (
            [file.lstat().st_size for file in quarantine.iterdir()] if quarantine.is_dir() else []
        )
    return SpoolsStatus(
        folder=str(root),
        spools=tuple(spools),
        refused=refused,
        quarantined_bytes=sum(kept),
        unknown_destinations=sum(each.topic is None for each in spools),
    )


def _status(path: Path) -> SpoolStatus:
    note = read_seal_note(path)
    left = "unsealed" if note is not None and note.is_settled else "orphan"
    state = "live" if is_held(path) else left
    target = destination_of(path)
    count = _count(path)
    return SpoolStatus(
        spool=path.name,
        state=state,
        service=target.service if target else None,
        host=target.host if target else None,
        pid=target.pid if target else None,
        topic=target.topic if target else None,
        bootstrap_servers=target.bootstrap_servers if target else None,
        events=count.events,
        damaged_ranges=count.damaged_ranges,
        missing_events=count.missing,
        size_bytes=sum(_size_bytes(file) for _, file in segments(path)),
    )


def _count(path: Path) -> MissingCount:
    written = read_written(path)  # before the files: they may grow meanwhile
    with translated(path):
        start = start_of(path)
    reader = SpoolReader(path, start)
    count = MissingCount(is_from_start=not start)
    while items := reader.read():
        count.add(items)
    count.end(reader.place, written)
    return count


def _size_bytes(file: Path) -> int:
    try:
        return file.lstat().st_size
    except FileNotFoundError:
        return 0  # freed since it was listed
