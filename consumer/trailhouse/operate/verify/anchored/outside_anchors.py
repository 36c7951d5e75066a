"""Copies of the anchors that others keep, read as they are kept."""

from collections.abc import Callable, Iterator

from trailhouse.anchoring.places import read_anchors
from trailhouse.operate.verify.anchored.anchored import MAX_ANCHOR_BYTES
from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.schemas.errors import AnchorError


def outside_anchors(
    where: str, unprotected: Callable[[int, str], None]
) -> Iterator[tuple[int, str]]:
    """Yield number and file of each anchor that is kept at *where*, such as ``folder:/path``, by number.

    *unprotected* is told of those that are not protected there as the place promises, and why.

    Raises:
        CannotCheckError: It cannot be read, or none is kept there.
        ConfigError: There is no such kind of place. Permanent.
    """
    is_empty = True
    try:
        for number, content in read_anchors(where, unprotected=unprotected):
            is_empty = False
            yield number, content[: MAX_ANCHOR_BYTES + 1].decode(errors="replace")
    except AnchorError as error:
        raise CannotCheckError(str(error)) from None
    if is_empty:
        raise CannotCheckError(f"{where} keeps no anchor")
