"""Where each partition's log goes on at an assignment: from its newest signed checkpoint, by what Kafka has after it.

What lies between that checkpoint and the commit is read again from Kafka, for nobody has signed it: leaves that stand
in ClickHouse are believed only where nobody signs at all. What Kafka has no longer is left to the generation before.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from trailhouse.consumer.proof_log.generations import Believed, Generations
from trailhouse.consumer.proof_log.growth import (
    NODE_LEVELS,
    Growth,
    LogNode,
    LogState,
    Node,
    filled,
)
from trailhouse.consumer.proof_log.leaves import Leaf
from trailhouse.consumer.proof_log.log_keys import IsSigned
from trailhouse.consumer.proof_log.stored_log import Generation, StoredLog
from trailhouse.proof.leaf import hash_of_leaf
from trailhouse.proof.merkle import CompactRange
from trailhouse.proof.origin import LogOrigin
from trailhouse.schemas.ranges import Ranges

CHUNK_LEAVES = 4_096
NO_RANGES = Ranges()


class Restored(NamedTuple):
    """A partition's log, and from where on it is to be read.

    Attributes:
        state: It, up to `start` or to what was signed, whichever is more.
        start: Where to read on; below what was asked where something is to be read again.
        covered_size: How large the checkpoint was from which it was taken; 0 without one.
        is_signed: Whether that is signed by a key that is believed.
        generations: Names, and the offsets from which on each has leaves of its own, the newest last.
    """

    state: LogState
    start: int
    covered_size: int
    is_signed: bool
    generations: tuple[tuple[str, int], ...]
    unproven: Ranges = NO_RANGES
    """Where a log that is not signed yet has holes since it begins above them, and no incident says why."""
    is_rewound: bool = False
    """Whether leaves are lost: what `start` is lower for was committed, and its leaves stood in ClickHouse once."""
    again_until: int = 0
    """What is read below it was stored before, and nobody has signed it: its leaves are held against Kafka's."""
    opening: LogState | None = None
    """A generation that begins here, whose name is to be stored before anything else of it."""
    given_up: Ranges = NO_RANGES
    """Offsets whose leaves nobody has signed, and whose records Kafka has no longer: nobody vouches for them."""
    nodes: tuple[LogNode, ...] = ()
    """What `state` has completed above the checkpoint: nobody may have stored it yet."""


class LogRestorer:
    """Reads the logs of one topic back."""

    def __init__(self, stored: StoredLog, log_name: str, is_signed: IsSigned | None) -> None:
        """Prepare; *is_signed* tells what is believed, None where nothing is signed."""
        self._stored = stored
        self._log_name = log_name
        self._signs = is_signed is not None
        self._generations = Generations(stored, is_signed)

    def restored(
        self, starts: Mapping[int, int], log_starts: Mapping[int, int]
    ) -> dict[int, Restored]:
        """Return the log of each partition, which is to be read from its offset in *starts* on, or from below it.

        Where logs are signed that is from the newest signed size, or the first leaf where nothing is. Where Kafka has
        not all of that, from its offset in *log_starts*, as a new generation. Where nobody signs, what has no leaf
        below the start is a hole, where an incident says why, and below the first leaf of a log. Else its leaf was
        lost, as by a backup of ClickHouse that was restored in part: the partition is read again from there.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent). Ask again.
        """
        generations = self._stored.generations(list(starts))
        return {
            number: self._restored(
                number, start, log_starts.get(number, 0), generations.get(number, ())
            )
            for number, start in starts.items()
        }

    def _restored(
        self, number: int, start: int, log_start: int, known: Iterable[Generation]
    ) -> Restored:
        names = self._stored.origin
        first = LogOrigin(self._log_name, names.topic, names.topic_id, number)
        believed = self._generations.believed(first, known)
        base, is_signed = self._base(first, believed)
        covered = base.size if is_signed or not self._signs else 0
        lineage = [(each.generation.name, each.generation.first_size) for each in believed]
        lineage = lineage or [("1", 0)]
        lineage[0] = (lineage[0][0], 0)
        from_base = Restored(base, start, covered, is_signed, tuple(lineage))
        if self._signs and start > base.size:
            leaf = self._stored.first_leaf(number, base.origin.generation, base.size, start)
            if leaf is not None:
                return self._read_again(from_base, leaf, log_start, has_past=bool(believed))
        return self._by_leaves(from_base, log_start, has_past=bool(believed))

    def _base(self, first: LogOrigin, believed: list[Believed]) -> tuple[LogState, bool]:
        if not believed:
            return LogState(first), False
        generation, checkpoint, is_signed = believed[-1]
        origin = first._replace(generation=generation.name)
        if self._signs and not is_signed:  # all of it that is known is where it begins
            return filled(LogState(origin), generation.first_size), False
        return LogState(origin, checkpoint.size, checkpoint.roots), is_signed

    def _read_again(self, base: Restored, leaf: int, log_start: int, *, has_past: bool) -> Restored:
        """Return *base*, to be read from its size on; *leaf* is the first that nobody has signed."""
        state, until = base.state, base.start
        number = state.origin.partition
        if leaf < log_start:
            origin = state.origin.successor(state.checkpoint.text)
            opening = filled(LogState(origin), log_start)
            return Restored(
                opening,
                log_start,
                0,
                False,
                (*base.generations, (origin.generation, log_start)),
                again_until=until,
                opening=opening,
                given_up=Ranges([(leaf, log_start - 1)]),
            )
        begin, unproven = max(state.size, log_start), NO_RANGES
        if not has_past and leaf > 0:
            # A log begins where it was adopted: nothing below its first leaf was ever read.
            bare = Ranges([(0, leaf - 1)]) - self._stored.explained(number, 0, leaf - 1)
            known = bare & Ranges([(log_start, leaf)])
            begin, unproven = leaf if known.first is None else known.first, bare - known
        return base._replace(
            state=filled(state, begin), start=begin, unproven=unproven, again_until=until
        )

    def _by_leaves(self, base: Restored, log_start: int, *, has_past: bool) -> Restored:
        """Return *base* with the leaves that are stored from its size on, up to its start, or to what is lost."""
        start, number = base.start, base.state.origin.partition
        state, nodes, holes = self._extended(base.state, start)
        unproven = NO_RANGES
        if not has_past and holes.first == 0:
            # A log begins where it was adopted: nothing below its first leaf was ever read.
            below, *above = holes
            unproven = Ranges([below]) - self._stored.explained(number, *below)
            holes = Ranges(above)
        lost = holes & Ranges([(log_start, start)])
        if lost and lost.first is not None and lost.last is not None:
            lost -= self._stored.explained(number, lost.first, lost.last)
        if lost.first is not None:
            start = lost.first
            state, nodes, _ = self._extended(base.state, start)
        return base._replace(
            state=state,
            start=start,
            unproven=unproven,
            is_rewound=lost.first is not None,
            nodes=tuple(LogNode(state.origin, node) for node in nodes),
        )

    def _extended(self, state: LogState, start: int) -> Growth:
        """Return *state* grown by the leaves that are stored from its size up to *start*."""
        if start <= state.size:
            return Growth(state, (), Ranges())
        nodes: list[Node] = []
        tree = CompactRange(
            state.size,
            state.roots,
            lambda level, number, root: nodes.append(Node(level, number, root)),
            NODE_LEVELS,
        )
        holes: list[tuple[int, int]] = []

        def fill(end: int) -> None:
            holes.append((tree.size, end - 1))
            tree.extend_holes(end - tree.size)

        origin = state.origin
        leaves = self._stored.leaves(origin.partition, origin.generation, state.size, start)
        for run in _runs(leaves):
            fill(run[0].offset)
            tree.extend([hash_of_leaf(*leaf[1:]) for leaf in run])
        fill(start)
        return Growth(state._replace(size=tree.size, roots=tree.roots), nodes, Ranges(holes))


def _runs(leaves: Iterator[Leaf]) -> Iterator[list[Leaf]]:
    """Yield leaves that follow each other without a hole, not too many at a time; of two in one place the first."""
    run: list[Leaf] = []
    for leaf in leaves:
        if run and leaf.offset == run[-1].offset:
            continue
        if run and (leaf.offset != run[-1].offset + 1 or len(run) == CHUNK_LEAVES):
            yield run
            run = []
        run.append(leaf)
    if run:
        yield run
