"""A root that the owner accepts of leaves that no key has signed, and the tree that must have it. Pure."""

import base64
from typing import NamedTuple

from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.state import Kept
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.merkle import CompactRange
from trailhouse.proof.policy import Accepted


class Accepting(NamedTuple):
    """The root at a size."""

    size: int
    root: bytes

    @classmethod
    def of(cls, accepted: Accepted) -> "Accepting":
        """Return what a policy says of one log."""
        return cls(accepted.size, base64.b64decode(accepted.root))

    def kept(self, log: LogId, tree: CompactRange) -> Kept | None:
        """Return what a later run goes on from; None where *tree* is not what is accepted."""
        if (tree.size, tree.root()) != (self.size, self.root):
            return None
        roots = tuple(each.hex() for each in tree.roots)
        return Kept(
            log=log,
            size=self.size,
            roots=roots,
            checkpoint=Checkpoint(str(log), self.size, self.root).text,
        )
