"""Drop spools that nobody wants to be sent, after what is in them was written to a file."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from trailhouse.producer.spool.files import OWNER_ONLY
from trailhouse.producer.spool.folder import SpoolFolder, sync_folder
from trailhouse.producer.spool.frame import Frame
from trailhouse.producer.spool.quarantine import SpoolQuarantine
from trailhouse.producer.spool.reader import frames_of
from trailhouse.producer.spool.root import folders, translated


class Discarded(msgspec.Struct, frozen=True, kw_only=True):
    """What `discard` has done."""

    spools: tuple[str, ...]
    """Those that were removed."""
    events: int
    """Records that were written to the file."""
    damaged_ranges: int
    """Ranges that hold no event any more; kept byte for byte in ``quarantine``."""
    left: tuple[str, ...]
    """Those that are not there, or that a running logger holds: nothing was done to them."""


def discard(root: Path, names: Iterable[str], output_path: Path) -> Discarded:
    """Write the events of the spools *names* to a new file, one record a line, then remove the spools.

    Records are exact, to the last byte, so `trailhouse emit` can send them again. A spool is held while
    it is read, and removed when all that was read from it is in the file and forced to the disk; one that
    cannot be read to its end stays.

    Raises:
        FileExistsError, OSError: The file cannot be made, or is there already. Nothing was done.
        SpoolUnavailableError: A spool cannot be read. Retriable once that is mended; it, and those
            after it, stay as they are.
    """
    wanted = list(dict.fromkeys(names))
    known = {path.name: path for path in folders(root)}
    removed: list[str] = []
    events = damaged_ranges = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(output_path, flags, OWNER_ONLY), "wb") as output:
        sync_folder(output_path.absolute().parent)
        for name in wanted:
            if name not in known:
                continue
            with translated(known[name]):
                folder = SpoolFolder.take(known[name])
            if folder is None:
                continue
            with contextlib.ExitStack() as held:
                held.callback(folder.forget)
                for item in frames_of(folder.path):
                    if isinstance(item.found, Frame):
                        output.write(item.found.record + b"\n")
                        events += 1
                    else:
                        SpoolQuarantine(root).keep_damaged(name, [item])
                        damaged_ranges += 1
                output.flush()
                os.fsync(output.fileno())
                held.pop_all()
            folder.release(is_empty=True)
            removed.append(name)
    return Discarded(
        spools=tuple(removed),
        events=events,
        damaged_ranges=damaged_ranges,
        left=tuple(name for name in wanted if name not in removed),
    )
