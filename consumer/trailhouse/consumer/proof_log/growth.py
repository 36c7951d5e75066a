"""The tree of one partition, grown by what was read of it. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trailhouse.consumer.proof_log.leaves import ReadLeaves
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.merkle import CompactRange, joined
from trailhouse.proof.origin import LogOrigin
from trailhouse.schemas.ranges import Ranges

NODE_LEVELS = 8
"""Nodes of each level that is a multiple of this are stored, but for those of holes alone (`hole_root`)."""


class LogState(NamedTuple):
    """How far a partition's log is: its name, its size, and the roots of its perfect subtrees, the largest first."""

    origin: LogOrigin
    size: int = 0
    roots: tuple[bytes, ...] = ()

    @property
    def checkpoint(self) -> Checkpoint:
        """What is signed of it."""
        return Checkpoint(str(self.origin), self.size, joined(self.roots))


class Node(NamedTuple):
    """A perfect subtree of 2 ^ `level` leaves, its number among those, and its root."""

    level: int
    number: int
    root: bytes


class LogNode(NamedTuple):
    """A node of one log."""

    log: LogOrigin
    node: Node


class Grown(NamedTuple):
    """A log as far as it is committed, and the nodes that it has completed since that was told last."""

    state: LogState
    nodes: Sequence[LogNode] = ()


class Growth(NamedTuple):
    """A log after it has grown, the nodes that were completed, and the ranges of offsets in which Kafka gave no record.

    A range that nobody can read is no hole of these: an incident says of it what it is.
    """

    state: LogState
    nodes: Sequence[Node]
    holes: Ranges


def grown(state: LogState, parts: Iterable[ReadLeaves]) -> Growth:
    """Return *state* grown by *parts*, which follow each other and begin at its size or above."""
    nodes: list[Node] = []
    tree = CompactRange(
        state.size,
        state.roots,
        lambda level, number, root: nodes.append(Node(level, number, root)),
        NODE_LEVELS,
    )
    holes: list[tuple[int, int]] = []
    unreadable: list[tuple[int, int]] = []

    def fill(end: int) -> None:
        if end > tree.size:
            holes.append((tree.size, end - 1))
            tree.extend_holes(end - tree.size)

    for part in parts:
        hashes = part.hashes()
        for offset, begin, end in part.runs():
            fill(offset)
            tree.extend(hashes if end - begin == len(hashes) else hashes[begin:end])
        fill(part.end_offset)
        unreadable += part.unreadable
    found = Ranges(holes) - Ranges(unreadable) if holes else Ranges()
    return Growth(LogState(state.origin, tree.size, tree.roots), nodes, found)


def filled(state: LogState, size: int) -> LogState:
    """Return *state* with holes up to *size*; unchanged where it is as large."""
    tree = CompactRange(state.size, state.roots)
    tree.extend_holes(max(0, size - state.size))
    return state._replace(size=tree.size, roots=tree.roots)
