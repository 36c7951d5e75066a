"""Whether anchors follow each other: numbers, hashes of the files before, times, sizes. Pure."""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from trailhouse.proof.anchor import FIRST, Anchor, file_sha256


class AnchorFault(StrEnum):
    """What is wrong with an anchor beside the one before it."""

    FORGED = "forged"
    """It is malformed, or no key of the log that counts for it has signed it."""
    TWO = "two"
    """Two of one number were signed."""
    MISSING = "missing"
    BROKEN = "broken"
    """It does not name the file of the anchor before."""
    TIME = "time"
    """It is older than the one before."""
    SHRINKS = "shrinks"
    """A log is smaller than in the one before."""
    DROPS = "drops"
    """A log is not in it that is in the one before."""


class Fault(NamedTuple):
    """What is wrong, and with which anchor; `origin` names the log where one is meant."""

    kind: AnchorFault
    number: int
    origin: str = ""


class AnchorChain:
    """Is given anchors by number; remembers the last one alone, and of each log its size."""

    def __init__(self) -> None:
        self._heads: set[str] = set()
        self._last: Anchor | None = None
        self._sizes: dict[str, int] = {}
        self.longest_gap_ms = 0

    @property
    def last(self) -> Anchor | None:
        """The newest that counts."""
        return self._last

    def take(self, number: int, content: str, anchor: Anchor | None) -> Iterator[Fault]:
        """Take in the next one, `None` where it does not count, and yield what is wrong with it."""
        if anchor is None:
            yield Fault(AnchorFault.FORGED, number)
            return
        last = self._last
        if last is not None and number == last.number:
            yield Fault(AnchorFault.TWO, number)
            self._heads.add(file_sha256(content))
            return
        if last is None and anchor.previous_sha256 != FIRST:
            yield Fault(AnchorFault.MISSING, number - 1)
        elif last is not None and number > last.number + 1:
            yield Fault(AnchorFault.MISSING, last.number + 1)
        elif last is not None and anchor.previous_sha256 not in self._heads:
            yield Fault(AnchorFault.BROKEN, number)
        if last is not None:
            yield from self._compared(anchor, last)
        self._heads = {file_sha256(content)}
        self._last = anchor
        self._sizes |= {each.origin: each.size for each in anchor.checkpoints}

    def _compared(self, anchor: Anchor, last: Anchor) -> Iterator[Fault]:
        if anchor.at_ms < last.at_ms:
            yield Fault(AnchorFault.TIME, anchor.number)
        self.longest_gap_ms = max(self.longest_gap_ms, anchor.at_ms - last.at_ms)
        for each in anchor.checkpoints:
            if each.size < self._sizes.get(each.origin, 0):
                yield Fault(AnchorFault.SHRINKS, anchor.number, each.origin)
        for origin in self._sizes.keys() - {each.origin for each in anchor.checkpoints}:
            yield Fault(AnchorFault.DROPS, anchor.number, origin)
