"""Copies of the anchors that others keep: read as they are kept, and held against those that are stored."""

from collections.abc import Iterator

from trailhouse.anchoring.writers.folder import FolderWriter
from trailhouse.anchoring.writers.writer import AnchorWriter
from trailhouse.operate.verify.anchored import MAX_ANCHOR_BYTES
from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.schemas.errors import AnchorError


def keeper_of(where: str) -> AnchorWriter:
    """Return what reads the anchors at *where*, such as ``folder:/path``.

    Raises:
        CannotCheckError: There is no such kind of place.
    """
    kind, _, path = where.partition(":")
    if kind != "folder" or not path:
        raise CannotCheckError(f"anchors cannot be read from {where!r}: give `folder:/path`")
    return FolderWriter(path)


def outside_anchors(where: str) -> Iterator[tuple[int, str]]:
    """Yield number and file of each anchor that is kept at *where*, by number.

    Raises:
        CannotCheckError: It cannot be read, or none is kept there.
    """
    try:
        keeper = keeper_of(where)
        newest = keeper.newest()
        if not newest:
            raise CannotCheckError(f"{where} keeps no anchor")
        for number in range(1, newest + 1):
            content = keeper.read(number)
            if content is not None:
                yield number, content[: MAX_ANCHOR_BYTES + 1].decode(errors="replace")
    except AnchorError as error:
        raise CannotCheckError(str(error)) from None
