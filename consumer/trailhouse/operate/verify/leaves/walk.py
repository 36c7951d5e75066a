"""Go through the leaves of every log once: roots at the sizes that are asked for, holes, contradictions, and sums."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, takewhile
from threading import RLock
from types import MappingProxyType

from trailhouse.operate.verify.leaves.accepting import Accepting
from trailhouse.operate.verify.leaves.blocks import are_near, blocks_of_logs
from trailhouse.operate.verify.leaves.checkpoints import (
    IsSigned,
    StoredCheckpoint,
    checkpoints_from,
    checkpoints_of,
    first_checkpoints,
    newest_size,
    newest_sizes,
)
from trailhouse.operate.verify.leaves.log_walk import LogWalk
from trailhouse.operate.verify.leaves.place_sums import BUCKETS, PartitionKey, PlaceSums, new_secret
from trailhouse.operate.verify.leaves.stored_nodes import (
    NODE_LEVELS,
    NodePage,
    StoredNodes,
    first_nodes,
)
from trailhouse.operate.verify.leaves.stream import Leaves, leaves_of_logs, stored_bounds
from trailhouse.operate.verify.leaves.walked import Walked
from trailhouse.operate.verify.logs import Bounds, LogId
from trailhouse.operate.verify.state import Kept
from trailhouse.proof.merkle import MAX_SIZE, CompactRange
from trailhouse.proof.policy import BEFORE_PROOF
from trailhouse.store.clickhouse import ClickHouse


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
        *,
        is_quick: bool = False,
    ) -> None:
        self._clickhouse = clickhouse
        self._logs = logs
        self._since = since
        self._is_signed = is_signed
        self._tell = tell
        self.times_ms = times_ms
        self._is_quick = is_quick
        self._accepted = accepted
        self._wanted: dict[LogId, set[int]] = {log: {each.size} for log, each in accepted.items()}
        self._roots: dict[tuple[LogId, int], bytes] = {}
        self._walked: dict[LogId, Walked] | None = None
        self._lock = RLock()
        self._kept: dict[LogId, Kept] = {}
        self._walks: dict[LogId, LogWalk] = {}
        self._signed: dict[LogId, int] = {}
        self.secret = new_secret()
        """By which rows and leaves are hashed in this run."""
        self.held: dict[LogId, int] = {}
        """How many leaves of each log were held against a signed root."""
        self.sums: dict[PartitionKey, PlaceSums] = {}
        """By partition: all its leaves, from which the rows are taken away; with --quick, nothing yet."""

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
                self._walked = self._walk_all(
                    {log: Bounds(firsts[log], ends[log].end) for log in self._logs}
                )
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

    def _ends(self) -> dict[LogId, Bounds]:
        """Return the first offset of each log's leaves, and the one after the last: more may follow while we look.

        Where an earlier run goes on, the first is that of the last leaf that it has seen, if it is there.
        """
        # A checkpoint is stored after its leaves: those that are there by now must have them.
        newest = newest_sizes(self._clickhouse)
        self._signed = {log: newest.get(log, 0) for log in self._logs}
        new = {log: self._since[log].size for log in self._logs if self._goes_on(log)}
        stored = stored_bounds(
            self._clickhouse, {log: max(1, size) - 1 for log, size in new.items()}
        )
        rest = {log: 0 for log in self._logs if log not in stored}
        stored |= stored_bounds(self._clickhouse, rest)
        found = {}
        for log in self._logs:
            # One without a leaf began after what was stored before it: all that it signs is holes.
            found[log] = stored.get(log) or Bounds(self._signed[log], self._signed[log])
            if log.generation == BEFORE_PROOF:  # nothing else may stand before them
                found[log] = Bounds(0, found[log].end)
        return found

    def _goes_on(self, log: LogId) -> bool:
        """Tell whether an earlier run has seen *log*, and every other generation of its partition."""
        return all(each in self._since for each in self._logs if each.place == log.place)

    def _first(self, log: LogId, ends: Mapping[LogId, Bounds]) -> int:
        """Return where to begin: what an earlier run has kept holds where no generation began since."""
        if not self._goes_on(log):
            return 0
        mine = self._since[log]
        return mine.size if mine.size <= ends[log].end else 0

    def _make_sums(self, ends: Mapping[LogId, Bounds], firsts: Mapping[LogId, int]) -> None:
        places: dict[PartitionKey, list[LogId]] = {}
        for log in ends:
            places.setdefault(log.place, []).append(log)
        for place, logs in places.items():
            first = min(max(firsts[log], ends[log].first) for log in logs)
            end = max(ends[log].end for log in logs)
            self.sums[place] = PlaceSums(
                self.secret, min(first, end), end, BUCKETS // len(places) + 1
            )

    def _walk_all(self, bounds: Mapping[LogId, Bounds]) -> dict[LogId, Walked]:
        self._tell("leaves of all logs")
        firsts = {log: each.first for log, each in bounds.items()}
        checkpoints = first_checkpoints(self._clickhouse, firsts)
        nodes = first_nodes(self._clickhouse, firsts)
        for log, (first, end) in bounds.items():
            walk = self._walks[log] = self._begun(log, first, nodes[log])
            walk.wanted = self._sizes(
                log,
                first,
                max(end, self._signed[log]),
                checkpoints_of(self._clickhouse, log, checkpoints[log]),
            )
        one_by_one = self._taken_in_blocks(bounds) if self._is_quick else bounds
        for log, block in leaves_of_logs(self._clickhouse, one_by_one, is_hashed=self._is_quick):
            self._walks[log].take(block)
        return {log: self._finished(log, *each) for log, each in bounds.items()}

    def _taken_in_blocks(self, bounds: Mapping[LogId, Bounds]) -> Mapping[LogId, Bounds]:
        """Take the leaves of most logs as the roots that ClickHouse makes of them; return which logs are left."""
        near = {log: each for log, each in bounds.items() if are_near(each)}
        for log, blocks in blocks_of_logs(self._clickhouse, near):
            self._walks[log].take_blocks(blocks, partial(self._hashed_within, log))
        return {log: each for log, each in bounds.items() if log not in near}

    def _hashed_within(self, log: LogId, first: int, end: int) -> Iterator[Leaves]:
        bounds = {log: Bounds(first, end)}
        for _, leaves in leaves_of_logs(self._clickhouse, bounds, is_hashed=True):
            yield leaves

    def _begun(self, log: LogId, first: int, nodes: Mapping[int, NodePage]) -> LogWalk:
        kept = self._since.get(log) if first else None
        roots = [bytes.fromhex(root) for root in kept.roots] if kept else []
        stored = StoredNodes(self._clickhouse, log, nodes)
        tree = CompactRange(first, roots, stored.take, NODE_LEVELS)
        walk = LogWalk(self._is_signed, log, tree, self.sums[log.place])
        walk.nodes = stored
        walk.times_ms = self.times_ms
        walk.is_hashed = self._is_quick
        walk.accepting = self._accepted.get(log)
        if kept is not None:
            self.held[log] = kept.size
            self._kept[log] = kept
        return walk

    def _finished(self, log: LogId, first: int, end: int) -> Walked:
        walk = self._walks[log]
        self._finish(log, walk)
        forged: list[tuple[int, int]] = []
        if walk.nodes is not None:
            walk.nodes.finish(walk.size)
            forged = walk.nodes.forged
        return Walked(
            log,
            first,
            end,
            walk.leaves,
            walk.holes,
            walk.doubles,
            walk.judged,
            walk.checked_checkpoints,
            forged,
            walk.is_cut,
        )

    def _finish(self, log: LogId, walk: LogWalk) -> None:
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
        bounds = {log: Bounds(walk.size, newest)}
        stored = checkpoints_from(self._clickhouse, log, walk.size)
        walk.wanted = self._sizes(log, walk.size, newest, stored)
        for _, block in leaves_of_logs(self._clickhouse, bounds, is_hashed=self._is_quick):
            walk.take(block)
        self._finish(log, walk)
        return self.held.get(log, 0) >= end

    def _sizes(
        self, log: LogId, first: int, largest: int, checkpoints: Iterator[StoredCheckpoint]
    ) -> Iterator[tuple[int, list[StoredCheckpoint]]]:
        """Yield the sizes at which the root is asked for, rising, each with the checkpoints of that size.

        No stored checkpoint is above *largest*: what is signed while we look has leaves that were not read.
        """
        asked = ((size, None) for size in sorted(self._wanted.get(log, ())) if size >= first)
        stored = (
            (each.size, each) for each in takewhile(lambda each: each.size <= largest, checkpoints)
        )
        merged = heapq.merge(asked, stored, key=lambda pair: pair[0])
        for size, pairs in groupby(merged, key=lambda pair: pair[0]):
            yield size, [each for _, each in pairs if each is not None]
