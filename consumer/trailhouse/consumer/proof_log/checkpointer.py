"""Writes nodes and checkpoints of what is committed, signed where there is a key: in a thread that holds up nobody."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import structlog

from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.proof_log.blocks import CheckpointRow, checkpoint_block, node_block
from trailhouse.consumer.proof_log.growth import Grown, LogNode, LogState
from trailhouse.consumer.proof_log.restore import Restored
from trailhouse.consumer.proof_log.signing import Signing
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.schemas.errors import SigningError, StorageError

EVERY_SECONDS = 1.0
"""At most so often a log has a checkpoint, …"""
MANY_LEAVES = 1_000
FEW_EVERY_SECONDS = 10.0
"""… and at most so often while fewer leaves than that have come: a checkpoint costs as much as many of them."""
AGAIN_SECONDS = 5.0
TOLD_EVERY_SECONDS = 60.0
CLOSE_SECONDS = 2.0


class _Log(msgspec.Struct):
    """What is known of one partition's log, and of its last checkpoint."""

    state: LogState
    covered_size: int
    is_signed: bool
    changed_at_seconds: float
    written_at_seconds: float
    nodes: list[LogNode]
    """Not stored yet: they are written before the next checkpoint, so that below each all are there."""


class Checkpointer:
    """Signs what is committed, and no state twice. Neither a key nor a ClickHouse that is away stops it.

    While the key cannot be used, checkpoints are written without a signature; the first that can be signed covers them.
    Its methods may be called from any thread, and do not block but for `close`.
    """

    def __init__(
        self,
        stored: StoredLog,
        signing: Signing,
        health: Health,
        metrics: WorkerMetrics,
        *,
        now: Callable[[], dt.datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stored = stored
        self._signing = signing
        self._health = health
        self._metrics = metrics
        self._now = now
        self._clock = clock
        self._logs: dict[int, _Log] = {}
        self._not_before_seconds = 0.0
        self._told_at_seconds = float("-inf")
        self._is_closing = False
        self._is_hurried = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._structlog = structlog.get_logger("trailhouse.worker")

    def take(self, restored: Mapping[int, Restored]) -> None:
        """Begin with the logs of another assignment."""
        now = self._clock()
        with self._changed:
            self._logs = {
                number: _Log(
                    each.state,
                    each.covered_size,
                    each.is_signed,
                    now,
                    now - FEW_EVERY_SECONDS,
                    list(each.nodes),
                )
                for number, each in restored.items()
            }
            self._changed.notify_all()
        self._metrics.logs({number: each.state.size for number, each in restored.items()})

    def start(self) -> None:
        """Write from now on what is due, until `close`."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="trailhouse-checkpoints", daemon=True
            )
            self._thread.start()

    def note(self, grown: Iterable[Grown]) -> None:
        """Take in what is committed of some logs."""
        now = self._clock()
        sizes: dict[int, float] = {}
        with self._changed:
            for state, nodes in grown:
                sizes[state.origin.partition] = state.size
                log = self._logs.get(state.origin.partition)
                if log is None:
                    continue
                if state.origin != log.state.origin:  # nothing of another generation is signed
                    log.covered_size, log.is_signed = 0, False
                if not self._is_behind(log):
                    log.changed_at_seconds = now
                log.state = state
                log.nodes += nodes
            self._changed.notify_all()
        self._metrics.logs(sizes)

    def hurry(self) -> None:
        """Have what is behind written now; does not wait for it."""
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()

    def flush(self, timeout_seconds: float) -> None:
        """Do as `hurry` does, and wait until it was tried; no longer than *timeout_seconds*."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_hurried, timeout_seconds)

    def close(self) -> None:
        """Write what is left, unless that takes too long, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def step(self) -> None:
        """Write the checkpoints that are due now."""
        with self._changed:
            due = self._due()
        if due:
            self._write(due)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            with self._changed:
                wait_seconds = self._due_in_seconds()
                if wait_seconds != 0 and not self._is_closing and not self._is_hurried:
                    self._changed.wait(wait_seconds)
                is_last = self._is_closing
            self.step()
            with self._changed:
                self._is_hurried = False
                self._changed.notify_all()

    def _is_behind(self, log: _Log) -> bool:
        is_unsigned = self._signing.is_wanted and not log.is_signed
        return log.state.size > 0 and (log.state.size != log.covered_size or is_unsigned)

    def _due_at_seconds(self, log: _Log) -> float:
        if log.state.size - log.covered_size >= MANY_LEAVES:
            due = log.written_at_seconds + EVERY_SECONDS
        else:
            due = max(
                log.changed_at_seconds + EVERY_SECONDS, log.written_at_seconds + FEW_EVERY_SECONDS
            )
        return max(due, self._not_before_seconds)

    def _due_in_seconds(self) -> float | None:
        due = [self._due_at_seconds(log) for log in self._logs.values() if self._is_behind(log)]
        return max(0.0, min(due) - self._clock()) if due else None

    def _due(self) -> list[Grown]:
        now = self._clock()
        behind = [log for log in self._logs.values() if self._is_behind(log)]
        is_now = self._is_closing or self._is_hurried
        return [
            Grown(log.state, tuple(log.nodes))
            for log in behind
            if is_now or self._due_at_seconds(log) <= now
        ]

    def _write(self, grown: Sequence[Grown]) -> None:
        """Write the nodes of *grown*, then sign and write checkpoints of it."""
        states = [each.state for each in grown]
        rows, is_signed, failure = self._signed(states)
        self._tell(failure, len(states))
        nodes = [node for each in grown for node in each.nodes]
        try:
            if nodes:
                self._stored.insert(node_block(self._stored.origin, nodes))
            self._stored.insert(checkpoint_block(self._stored.origin, rows, self._now()))
        except StorageError:  # whoever inserts rows tells of it
            self._not_before_seconds = self._clock() + AGAIN_SECONDS
            return
        now = self._clock()
        self._not_before_seconds = now + AGAIN_SECONDS if failure else 0.0
        with self._changed:
            for state, written in grown:
                log = self._logs.get(state.origin.partition)
                if log is None:
                    continue
                stored = set(written)
                log.nodes = [node for node in log.nodes if node not in stored]
                if log.state.origin == state.origin:
                    log.covered_size, log.is_signed = state.size, is_signed
                    log.written_at_seconds = now
                    log.changed_at_seconds = now
        self._metrics.checkpoints_written(self._now().timestamp())

    def _signed(
        self, states: Sequence[LogState]
    ) -> tuple[list[CheckpointRow], bool, SigningError | None]:
        checkpoints = [state.checkpoint for state in states]
        if self._signing.is_wanted:
            try:
                texts = [self._signing.signed(each) for each in checkpoints]
                return list(map(CheckpointRow, states, texts)), True, None
            except SigningError as error:
                failure: SigningError | None = error
        else:
            failure = None
        texts = [each.text for each in checkpoints]
        return list(map(CheckpointRow, states, texts)), False, failure

    def _tell(self, failure: SigningError | None, unsigned: int) -> None:
        """Say that nothing is signed, or that it is again."""
        self._metrics.unsigned_checkpoints(unsigned if failure else 0)
        reason = (
            None if failure is None else f"checkpoints are written without signature: {failure}"
        )
        self._health.warn("unsigned_checkpoints", reason)
        if failure is not None and self._clock() - self._told_at_seconds >= TOLD_EVERY_SECONDS:
            self._told_at_seconds = self._clock()
            self._structlog.error("checkpoints are not signed", reason=str(failure))
