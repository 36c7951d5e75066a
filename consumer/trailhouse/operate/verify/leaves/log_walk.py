"""Go through the leaves of one log: roots at the sizes that are asked for, holes, contradictions, and sums. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from trailhouse.operate.verify.leaves.accepting import Accepting
from trailhouse.operate.verify.leaves.blocks import BLOCK, LEVEL, Blocks
from trailhouse.operate.verify.leaves.checkpoints import IsSigned, Judge, Judged, StoredCheckpoint
from trailhouse.operate.verify.leaves.place_sums import PlaceSums
from trailhouse.operate.verify.leaves.stored_nodes import StoredNodes
from trailhouse.operate.verify.leaves.stream import Leaves, hashed_leaves
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.state import Kept
from trailhouse.proof.leaf import hashes_of_leaves
from trailhouse.proof.merkle import CompactRange
from trailhouse.schemas.ranges import Range

MAX_HOLE_RANGES = 1_000_000
MAX_DOUBLES = 100_000


class LogWalk:
    """Takes the leaves of one log in the order of their offsets; its roots are asked for before."""

    def __init__(
        self, is_signed: IsSigned, log: LogId, tree: CompactRange, sums: PlaceSums
    ) -> None:
        self._tree = tree
        self.sums: PlaceSums | None = sums
        self._log = log
        self._judge = Judge(is_signed, log)
        self._last: tuple[int, bytes, int, int] | None = None
        self._next: tuple[int, list[StoredCheckpoint]] | None = None
        self.times_ms: tuple[int, int] | None = None
        """Only leaves of these times are matched with rows."""
        self.is_hashed = False
        """Whether leaves come as their hashes; then ClickHouse makes the sums."""
        self.nodes: StoredNodes | None = None
        self.accepting: Accepting | None = None
        self.accepted: Kept | None = None
        """What the owner accepts unsigned, where the leaves are those."""
        self.wanted: Iterator[tuple[int, list[StoredCheckpoint]]] = iter(())
        self.roots: dict[tuple[LogId, int], bytes] = {}
        self.began = tree.size
        self.leaves = 0
        self.holes: list[Range] = []
        self.is_cut = False
        self.doubles: list[int] = []

    @property
    def size(self) -> int:
        """How far it has gone."""
        return self._tree.size

    @property
    def judged(self) -> list[Judged]:
        return self._judge.found

    @property
    def checked_checkpoints(self) -> int:
        return self._judge.checked

    @property
    def good(self) -> Judged | None:
        """The newest signed checkpoint whose root the leaves have."""
        return self._judge.good

    def take(self, block: Leaves) -> None:
        """Take in the leaves that follow."""
        for run in self._runs(block):
            first = run.offsets[0]
            if first > self._tree.size:
                self._note_hole(first)
                self._grow_holes(first)
            self.leaves += len(run.offsets)
            if self.is_hashed:
                self._grow(run.digests)
                continue
            self._add(run)
            self._grow(hashes_of_leaves(run.kinds, run.appended_ms, run.digests))

    def take_blocks(
        self, blocks: Blocks, leaves_within: Callable[[int, int], Iterable[Leaves]]
    ) -> None:
        """Take in what follows, hashed by ClickHouse; *leaves_within* are asked for where a root is between leaves."""
        if not blocks.is_whole:
            self.take(hashed_leaves(blocks.offsets, blocks.hashes))
            return
        begin, count = 0, len(blocks.offsets)
        while begin < count:
            first = blocks.offsets[begin]
            if first > self._tree.size:
                self._note_hole(first)
                self._grow_holes(first)
            self._tell_reached()
            end = begin + self._whole_until_due(blocks.offsets[begin:])
            if end == begin:
                for leaves in leaves_within(first, first + BLOCK):
                    self.take(leaves)
                begin += 1
                continue
            self._tree.extend(blocks.hashes[begin:end], LEVEL)
            self.leaves += (end - begin) << LEVEL
            self._last = blocks.offsets[end - 1] + BLOCK - 1, b"", 0, 0
            self._tell_reached()
            begin = end

    def _whole_until_due(self, offsets: Sequence[int]) -> int:
        """Return how many blocks, of those that begin at *offsets*, follow the tree up to the next size asked for."""
        size = self._due()
        until = len(offsets) if size is None else min(len(offsets), (size - offsets[0]) >> LEVEL)
        if until and offsets[until - 1] == offsets[0] + ((until - 1) << LEVEL):
            return until
        in_line = (
            place for place in range(1, until) if offsets[place] != offsets[place - 1] + BLOCK
        )
        return next(in_line, until)

    def _add(self, run: Leaves) -> None:
        if self.times_ms is not None:
            first, last = self.times_ms
            run = run.only(
                [place for place, at_ms in enumerate(run.appended_ms) if first <= at_ms <= last]
            )
        if run.offsets and self.sums is not None:
            self.sums.add(run.offsets, run.appended_ms, run.digests, run.kinds)

    def finish(self) -> None:
        """Look at the checkpoints of the last size, and beyond: offsets without a record may end a log."""
        last = self._tree.size
        while (size := self._due()) is not None:
            self._tree.extend_holes(max(0, size - self._tree.size))
            self._tell(size)
        self._judge.finish()
        if self.good is not None and self.good.checkpoint.size > last:
            self._note_hole(self.good.checkpoint.size, last)

    def _note_hole(self, end: int, first: int | None = None) -> None:
        if len(self.holes) >= MAX_HOLE_RANGES:
            self.is_cut = True
            return
        self.holes.append(Range(self._tree.size if first is None else first, end - 1))

    def _each_once(self, block: Leaves) -> tuple[Leaves, bool]:
        """Return *block* without copies, and without the others where leaves of one offset differ.

        And whether it has no gaps, as nearly always: to tell takes as long as a tenth of hashing.
        """
        last = self._last
        offsets = block.offsets
        self._last = (
            offsets[-1],
            block.digests[-1],
            block.appended_ms[-1],
            block.kinds[-1],
        )
        begins_anew = last is None or offsets[0] > last[0]
        if begins_anew and block.is_gapless:
            return block, True
        places = []
        for place, entry in enumerate(
            zip(offsets, block.digests, block.appended_ms, block.kinds, strict=True)
        ):
            if last is None or entry[0] != last[0]:
                places.append(place)
                last = entry
            elif entry != last and len(self.doubles) < MAX_DOUBLES:
                self.doubles.append(entry[0])
        if len(places) == len(offsets):
            return block, False
        return block.only(places), False

    def _runs(self, block: Leaves) -> Iterator[Leaves]:
        """Yield the parts of *block* in which each leaf follows the one before, and none is there twice."""
        block, is_gapless = self._each_once(block)
        if not block.offsets:
            return
        if is_gapless:
            yield block
            return
        begin = 0
        offsets = block.offsets
        for place in range(1, len(offsets)):
            if offsets[place] != offsets[place - 1] + 1:
                yield block.part(begin, place)
                begin = place
        yield block.part(begin, len(offsets))

    def _due(self) -> int | None:
        """Return the next size that is asked for."""
        if self._next is None:
            self._next = next(self.wanted, None)
        return None if self._next is None else self._next[0]

    def _grow(self, hashes: Sequence[bytes]) -> None:
        begin = 0
        while begin < len(hashes):
            size = self._due()
            left = len(hashes) - begin
            if size is None or size >= self._tree.size + left:
                self._tree.extend(hashes[begin:] if begin else hashes)
                break
            if size > self._tree.size:
                end = begin + size - self._tree.size
                self._tree.extend(hashes[begin:end])
                begin = end
            self._tell(size)
        self._tell_reached()

    def _grow_holes(self, until: int) -> None:
        while (size := self._due()) is not None and size < until:
            self._tree.extend_holes(max(0, size - self._tree.size))
            self._tell(size)
        self._tree.extend_holes(until - self._tree.size)
        self._tell_reached()

    def _tell_reached(self) -> None:
        while (size := self._due()) is not None and size <= self._tree.size:
            self._tell(size)

    def _tell(self, size: int) -> None:
        """Note the root of now, at *size*, and judge the checkpoints of that size."""
        checkpoints = self._next[1] if self._next else []
        self._next = None
        if size != self._tree.size:  # below where this began
            return
        self.roots[self._log, size] = self._tree.root()
        if self.accepting is not None:
            self.accepted = self.accepted or self.accepting.kept(self._log, self._tree)
        if checkpoints:
            adopted = self._judge.judge(self._tree, checkpoints)
            if adopted is not None:
                self._tree = adopted
                if self.nodes is not None:
                    self.nodes.stop()
