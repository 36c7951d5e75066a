"""The logs of the partitions that a worker has: what was read is held against what is signed, and written."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from trailhouse.consumer.proof_log.blocks import CheckpointRow, checkpoint_block, leaf_block
from trailhouse.consumer.proof_log.comparison import compared, first_other
from trailhouse.consumer.proof_log.growth import Grown, LogNode, LogState, Node, filled, grown
from trailhouse.consumer.proof_log.leaves import ReadLeaves
from trailhouse.consumer.proof_log.restore import Restored
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.proof.origin import LogOrigin
from trailhouse.schemas.ranges import Range, Ranges


class Written(NamedTuple):
    """Offsets of each partition: where Kafka gave no record, and others than were signed, or stored and not signed."""

    holes: Mapping[int, Ranges]
    forks: Mapping[int, Range]
    contradicted: Mapping[int, int]


class _Log(NamedTuple):
    state: LogState
    generations: tuple[tuple[str, int], ...]
    opening: LogState | None = None
    again_until: int = 0


class _Pending(NamedTuple):
    """What one partition's part adds: its log after it, and what is to be written."""

    log: _Log
    leaves: list[tuple[LogOrigin, ReadLeaves]]
    nodes: Sequence[Node]
    holes: Ranges
    fork: Range | None
    opening: LogState | None
    contradicted_at: int | None = None

    @property
    def grown(self) -> Grown:
        """What is told of it once it is committed."""
        state = self.log.state
        return Grown(state, [LogNode(state.origin, node) for node in self.nodes])


class AssignedLogs:
    """The logs of one assignment. What is written counts once `note_commit` says so; until then it is written again.

    `write` belongs to the thread that stores, `note_commit` to whoever commits what it has written.
    """

    def __init__(
        self,
        stored: StoredLog,
        restored: Mapping[int, Restored],
        on_commit: Callable[[Sequence[Grown]], None],
        now: Callable[[], dt.datetime],
    ) -> None:
        self._stored = stored
        self._now = now
        self._on_commit = on_commit
        self._logs = {
            number: _Log(each.state, each.generations, each.opening, each.again_until)
            for number, each in restored.items()
        }
        self._pending: dict[int, _Pending] = {}

    def write(self, parts: Mapping[int, Sequence[ReadLeaves]]) -> Written:
        """Write the leaves of *parts*, all that is to be committed next; acknowledged on return.

        Their nodes are told with the commit: whoever signs writes them before the checkpoint that they are below.

        Raises:
            StorageError: As `ClickHouse.insert`, part of it may be written. Write the same parts again.
        """
        found = {
            number: self._taken(self._logs[number], read)
            for number, read in parts.items()
            if number in self._logs
        }
        self._insert(list(found.values()))
        self._pending = found
        return Written(
            {number: each.holes for number, each in found.items() if each.holes},
            {number: each.fork for number, each in found.items() if each.fork},
            {
                number: each.contradicted_at
                for number, each in found.items()
                if each.contradicted_at is not None
            },
        )

    def note_commit(self) -> None:
        """Take in that Kafka has what was written last as done: from now on it may be signed.

        Whoever was shut out of the group never comes here. So one worker alone signs a log at a time, and what it
        signs is in ClickHouse.
        """
        pending, self._pending = self._pending, {}
        self._logs.update({number: each.log for number, each in pending.items()})
        self._on_commit([each.grown for each in pending.values()])

    def _insert(self, found: Sequence[_Pending]) -> None:
        stored = self._stored
        openings = [each.opening for each in found if each.opening is not None]
        if openings:
            # First of all: whoever starts next must find the generation, whatever becomes of us.
            rows = [CheckpointRow(state, state.checkpoint.text) for state in openings]
            stored.insert(checkpoint_block(stored.origin, rows, self._now()))
        leaves = [part for each in found for part in each.leaves if part[1].offsets]
        if leaves:
            stored.insert(leaf_block(stored.origin, leaves))

    def _taken(self, log: _Log, read: Sequence[ReadLeaves]) -> _Pending:
        state = log.state
        below = [part for part in read if part.first_offset < state.size]
        if not below:
            growth = grown(state, read)
            leaves = [(state.origin, part) for part in read]
            return _Pending(
                _Log(growth.state, log.generations, None, log.again_until),
                leaves,
                growth.nodes,
                growth.holes,
                None,
                log.opening,
                self._contradicted_at(log, read),
            )
        parts = [part.split(state.size) for part in below]
        lost: list[tuple[LogOrigin, ReadLeaves]] = []
        for part, _ in parts:
            found = compared(self._stored, state.origin, log.generations, part)
            lost += found.lost
            if found.differs_at is not None:
                return self._forked(log, read, found.differs_at, lost)
        rest = [part for _, part in parts if part.end_offset > state.size]
        rest += read[len(below) :]
        growth = grown(state, rest)
        leaves = lost + [(state.origin, part) for part in rest]
        return _Pending(
            _Log(growth.state, log.generations, None, log.again_until),
            leaves,
            growth.nodes,
            growth.holes,
            None,
            log.opening,
            self._contradicted_at(log, rest),
        )

    def _contradicted_at(self, log: _Log, read: Sequence[ReadLeaves]) -> int | None:
        """Return the first offset at which a leaf that nobody had signed says something else than Kafka does."""
        again = (part for part in read if part.first_offset < log.again_until)
        others = (
            first_other(self._stored, log.state.origin, part, log.again_until) for part in again
        )
        return next((at for at in others if at is not None), None)

    def _forked(
        self,
        log: _Log,
        read: Sequence[ReadLeaves],
        at: int,
        lost: list[tuple[LogOrigin, ReadLeaves]],
    ) -> _Pending:
        """Go on as a new generation, which has holes below *at*: there Kafka shows another record than was signed."""
        origin = log.state.origin.successor(log.state.checkpoint.text)
        opening = filled(LogState(origin), at)
        rest = [part.split(at)[1] for part in read if part.end_offset > at]
        growth = grown(opening, rest)
        return _Pending(
            _Log(growth.state, (*log.generations, (origin.generation, at))),
            lost + [(origin, part) for part in rest],
            growth.nodes,
            growth.holes,
            Range(at, max(log.state.size, log.again_until) - 1),
            opening,
        )
