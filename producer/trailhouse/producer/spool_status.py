"""What lies in the spools of this machine: how many events, whose, and whether somebody sends them."""

from pathlib import Path

import msgspec

from trailhouse.producer.frame import Frame
from trailhouse.producer.spool_folder import SET_ASIDE, destination_of, folders, is_held, segments
from trailhouse.producer.spool_reader import frames_of


class SpoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One spool. `state` is ``live``: its logger runs, or ``orphan``: whoever comes next sends it."""

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
    size_bytes: int


class SpoolsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All spools of one folder, and the bytes that were set aside there since they cannot be sent."""

    folder: str
    spools: tuple[SpoolStatus, ...]
    set_aside_bytes: int


def spools_status(root: Path) -> SpoolsStatus:
    """Look into every spool under *root* without holding or changing any.

    Raises:
        SpoolUnavailableError: The folder cannot be read. Retriable once that is mended.
    """
    aside = root / SET_ASIDE
    kept = [file.stat().st_size for file in aside.iterdir()] if aside.is_dir() else []
    return SpoolsStatus(
        folder=str(root),
        spools=tuple(_status(path) for path in folders(root)),
        set_aside_bytes=sum(kept),
    )


def _status(path: Path) -> SpoolStatus:
    state = "live" if is_held(path) else "orphan"
    target = destination_of(path)
    events = damaged = 0
    for item in frames_of(path):
        if isinstance(item.found, Frame):
            events += 1
        else:
            damaged += 1
    return SpoolStatus(
        spool=path.name,
        state=state,
        service=target.service if target else None,
        host=target.host if target else None,
        pid=target.pid if target else None,
        topic=target.topic if target else None,
        bootstrap_servers=target.bootstrap_servers if target else None,
        events=events,
        damaged_ranges=damaged,
        size_bytes=sum(_size_bytes(file) for _, file in segments(path)),
    )


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0  # freed since it was listed
