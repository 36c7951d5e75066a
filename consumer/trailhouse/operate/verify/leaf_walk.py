"""Go through the leaves of every log once: roots at the sizes that are asked for, holes, contradictions, and sums."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, takewhile
from threading import RLock
from types import MappingProxyType

from trailhouse.operate.verify.accepting import Accepting
from trailhouse.operate.verify.checkpoints import (
    IsSigned,
    Judge,
    Judged,
    StoredCheckpoint,
    checkpoints_of,
    newest_size,
)
from trailhouse.operate.verify.leaf_stream import Leaves, leaves_of
from trailhouse.operate.verify.logs import OF_GENERATION, LogId
from trailhouse.operate.verify.place_sums import BUCKETS, PartitionKey, PlaceSums, new_secret
from trailhouse.operate.verify.state import Kept
from trailhouse.operate.verify.stored_nodes import NODE_LEVELS, StoredNodes
from trailhouse.operate.verify.walked import Walked
from trailhouse.proof.leaf import hashes_of_leaves
from trailhouse.proof.merkle import MAX_SIZE, CompactRange
from trailhouse.proof.policy import BEFORE_PROOF
from trailhouse.schemas.ranges import Range
from trailhouse.store.clickhouse import ClickHouse

MAX_HOLE_RANGES = 1_000_000
MAX_DOUBLES = 100_000
MAX_JUMP = 2**62
"""No offset of Kafka's is beyond it, and sums of such sizes still are sizes."""


class LeafWalk:
    """The roots of all *logs*, and what else is seen on the way. The leaves are read once, when first asked."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        logs: Sequence[LogId],
        since: Mapping[LogId, Kept],
        is_signed: IsSigned,
        tell: Callable[[str], None],
        times_ms: tuple[int, int] | None = None,
        accepted: Mapping[LogId, Accepting] = MappingProxyType({}),
    ) -> None:
        self._clickhouse = clickhouse
        self._logs = logs
        self._since = since
        self._is_signed = is_signed
        self._tell = tell
        self._times_ms = times_ms
        self._accepted = accepted
        self._wanted: dict[LogId, set[int]] = {log: {each.size} for log, each in accepted.items()}
        self._roots: dict[tuple[LogId, int], bytes] = {}
        self._walked: dict[LogId, Walked] | None = None
        self._lock = RLock()
        self._kept: dict[LogId, Kept] = {}
        self._walks: dict[LogId, _Walk] = {}
        self._signed: dict[LogId, int] = {}
        self.secret = new_secret()
        """By which rows and leaves are hashed in this run."""
        self.held: dict[LogId, int] = {}
        """How many leaves of each log were held against a signed root."""
        self.sums: dict[PartitionKey, PlaceSums] = {}
        """By partition: all its leaves, from which the rows are taken away."""

    def want(self, log: LogId, size: int) -> None:
        """Ask for the root of *log* when it had *size* leaves; in `prepare`, before any is worked out."""
        if self._walked is not None:
            raise RuntimeError("roots are asked for before they are worked out")
        if 0 <= size <= MAX_SIZE:
            self._wanted.setdefault(log, set()).add(size)

    def at(self, log: LogId, size: int) -> bytes | None:
        """Return the root of *log* at *size*, which was wanted, as its leaves have it; None where it cannot be told.

        That is where an earlier run has seen those leaves, or *size* is above what any checkpoint or leaf reaches.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        self.walked()
        return self._roots.get((log, size))

    def walked(self) -> Mapping[LogId, Walked]:
        """Return what the leaves of each log are.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        with self._lock:  # duties ask beside each other
            if self._walked is None:
                ends = self._ends()
                firsts = {log: self._first(log, ends) for log in ends}
                self._make_sums(ends, firsts)
                self._walked = {
                    log: self._walk(log, firsts[log], ends[log][1]) for log in self._logs
                }
            return self._walked

    def is_accepted(self, log: LogId, size: int) -> bool:
        """Tell whether the leaves of *log* are those that the owner accepts at *size*, or were in an earlier run."""
        walk = self._walks.get(log) if self.walked() else None
        return walk is not None and (walk.accepted is not None or walk.began > size)

    @property
    def held_sizes(self) -> dict[str, int]:
        """How many leaves of each log were held against a signed root, by its name."""
        return {str(log): size for log, size in self.held.items()}

    @property
    def kept(self) -> tuple[Kept, ...]:
        """What a later run may go on from."""
        return tuple(self._kept.values())

    def _ends(self) -> dict[LogId, tuple[int, int]]:
        """Return the first offset of each log's leaves, and the one after the last: more may follow while we look."""
        # A checkpoint is stored after its leaves: those that are there by now must have them.
        self._signed = {log: newest_size(self._clickhouse, log) for log in self._logs}
        found = {}
        for log in self._logs:
            rows = self._clickhouse.query(
                f"SELECT min(kafka_offset), max(kafka_offset), count() FROM log_leaves WHERE {OF_GENERATION}",  # noqa: S608 - names of ours
                log.parameters,
            ).rows
            lowest, highest, count = map(int, rows[0])
            # One without a leaf began after what was stored before it: all that it signs is holes.
            found[log] = (lowest, min(highest, MAX_JUMP) + 1) if count else (self._signed[log],) * 2
            if log.generation == BEFORE_PROOF:  # nothing else may stand before them
                found[log] = 0, found[log][1]
        return found

    def _first(self, log: LogId, ends: Mapping[LogId, tuple[int, int]]) -> int:
        """Return where to begin: what an earlier run has kept holds where no generation began since."""
        same = [other for other in ends if other.place == log.place]
        kept = [self._since.get(other) for other in same]
        if any(each is None for each in kept):
            return 0
        mine = self._since[log]
        return mine.size if mine.size <= ends[log][1] else 0

    def _make_sums(
        self, ends: Mapping[LogId, tuple[int, int]], firsts: Mapping[LogId, int]
    ) -> None:
        places: dict[PartitionKey, list[LogId]] = {}
        for log in ends:
            places.setdefault(log.place, []).append(log)
        for place, logs in places.items():
            first = min(max(firsts[log], ends[log][0]) for log in logs)
            end = max(ends[log][1] for log in logs)
            self.sums[place] = PlaceSums(
                self.secret, min(first, end), end, BUCKETS // len(places) + 1
            )

    def _walk(self, log: LogId, first: int, end: int) -> Walked:
        self._tell(f"leaves of {log}, from {first} to {end}")
        kept = self._since.get(log) if first else None
        roots = [bytes.fromhex(root) for root in kept.roots] if kept else []
        nodes = StoredNodes(self._clickhouse, log, first)
        tree = CompactRange(first, roots, nodes.take, NODE_LEVELS)
        walk = _Walk(self._is_signed, log, tree, self.sums[log.place])
        walk.nodes = nodes
        walk.times_ms = self._times_ms
        walk.accepting = self._accepted.get(log)
        if kept is not None:
            self.held[log] = kept.size
            self._kept[log] = kept
        self._go_on(log, walk, first, end, max(end, self._signed[log]))
        self._walks[log] = walk
        nodes.finish(walk.size)
        return Walked(
            log,
            first,
            end,
            walk.leaves,
            walk.holes,
            walk.doubles,
            walk.judged,
            walk.checked_checkpoints,
            nodes.forged,
            walk.is_cut,
        )

    def _go_on(self, log: LogId, walk: "_Walk", first: int, end: int, largest: int) -> None:
        walk.wanted = self._sizes(log, first, largest)
        for block in leaves_of(self._clickhouse, log, first, end):
            walk.take(block)
        walk.finish()
        self._roots |= walk.roots
        if walk.good is not None:
            self.held[log] = walk.good.checkpoint.size
            self._kept[log] = walk.good.kept(log)
        if walk.accepted is not None and walk.accepted.size > self.held.get(log, 0):
            self.held[log] = walk.accepted.size
            self._kept[log] = walk.accepted

    def is_covered(self, log: LogId, end: int) -> bool:
        """Tell whether a signed checkpoint covers the leaves below *end*; what was signed meanwhile is looked at too.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        if self.held.get(log, 0) >= end:
            return True
        newest = newest_size(self._clickhouse, log)
        walk = self._walks[log]
        if newest < end or newest <= walk.size:
            return False
        walk.sums = None
        self._go_on(log, walk, walk.size, newest, newest)
        return self.held.get(log, 0) >= end

    def _sizes(
        self, log: LogId, first: int, largest: int
    ) -> Iterator[tuple[int, list[StoredCheckpoint]]]:
        """Yield the sizes at which the root is asked for, rising, each with the checkpoints of that size.

        No stored checkpoint is above *largest*: what is signed while we look has leaves that were not read.
        """
        asked = ((size, None) for size in sorted(self._wanted.get(log, ())) if size >= first)
        checkpoints = checkpoints_of(self._clickhouse, log, first)
        stored = (
            (each.size, each) for each in takewhile(lambda each: each.size <= largest, checkpoints)
        )
        merged = heapq.merge(asked, stored, key=lambda pair: pair[0])
        for size, pairs in groupby(merged, key=lambda pair: pair[0]):
            yield size, [each for _, each in pairs if each is not None]


class _Walk:
    """The state of going through one log."""

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
        for run in self._runs(self._each_once(block)):
            first = run.offsets[0]
            if first > self._tree.size:
                self._note_hole(first)
                self._grow_holes(first)
            self.leaves += len(run.offsets)
            self._add(run)
            self._grow(hashes_of_leaves(run.kinds, run.appended_ms, run.digests))

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

    def _each_once(self, block: Leaves) -> Leaves:
        """Return *block* without copies, and without the others where leaves of one offset differ."""
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
            return block
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
            return block
        return block.only(places)

    def _runs(self, block: Leaves) -> Iterator[Leaves]:
        """Yield the parts of *block* in which each leaf follows the one before."""
        if not block.offsets:
            return
        if block.is_gapless:
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
