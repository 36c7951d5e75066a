"""Whether offsets follow each other without a gap, told without a loop. Pure."""

from array import array
from collections.abc import Sequence


def are_gapless(offsets: Sequence[int]) -> bool:
    """Tell whether each of *offsets*, which are some, is the one after that before it."""
    first, count = offsets[0], len(offsets)
    if offsets[-1] - first + 1 != count:
        return False
    rising = array("Q", range(first, first + count))
    return offsets == rising if isinstance(offsets, array) else [*offsets] == [*rising]
