"""What the leaves of one log are, once they were gone through."""

from typing import NamedTuple

from trailhouse.operate.verify.leaves.checkpoints import Judged
from trailhouse.operate.verify.logs import LogId
from trailhouse.schemas.ranges import Range


class Walked(NamedTuple):
    """What the leaves of one log are, in the order of their offsets."""

    log: LogId
    first: int
    """From which offset on they were looked at: 0, or what an earlier run has kept."""
    end: int
    """The offset after that of the last leaf."""
    leaves: int
    holes: list[Range]
    """Offsets without a leaf, below `end` or below what was signed; the first ones alone where `is_cut`."""
    doubles: list[int]
    """Offsets with leaves that differ; the first one is in the tree."""
    checkpoints: list[Judged]
    """Checkpoints that are not as they should be, and the newest of those that are."""
    checked_checkpoints: int
    forged_nodes: list[tuple[int, int]]
    """Of stored roots of subtrees that the leaves do not have: the first offset, and the one after the last."""
    is_cut: bool = False
    """Whether there are more holes than are kept."""
