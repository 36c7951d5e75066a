"""Workers that die, come back, lag behind, and lose their database sign one root a size: that of the topic."""

import datetime as dt
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_logs import FakeStoredLog
from kafka_records import Clock
from proven import log_key
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.proof_log.assigned_logs import AssignedLogs
from trailhouse.consumer.proof_log.checkpointer import Checkpointer
from trailhouse.consumer.proof_log.growth import NODE_LEVELS
from trailhouse.consumer.proof_log.leaves import ReadLeaves
from trailhouse.consumer.proof_log.log_keys import believed_keys
from trailhouse.consumer.proof_log.restore import LogRestorer
from trailhouse.consumer.proof_log.signing import Signing
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.proof.checkpoint import checkpoint_of
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.leaf import hash_of_leaf
from trailhouse.proof.merkle import CompactRange
from trailhouse.schemas.errors import StorageUnavailableError

Step = Callable[..., Any]
LENGTH = 300
IS_HOLE = [sha256(b"%d?" % offset).digest()[0] < 60 for offset in range(LENGTH)]
DIGESTS = [sha256(b"%d" % offset).digest() for offset in range(LENGTH)]


def topic(first: int, end: int) -> ReadLeaves:
    """Return what the topic has there."""
    offsets = [offset for offset in range(first, end) if not IS_HOLE[offset]]
    return ReadLeaves(first, end, offsets, offsets, [DIGESTS[offset] for offset in offsets])


def true_roots() -> list[bytes]:
    """Return the topic's root at each size."""
    tree, roots = CompactRange(), []
    for offset in range(LENGTH):
        roots.append(tree.root())
        if IS_HOLE[offset]:
            tree.extend_holes(1)
        else:
            tree.extend([hash_of_leaf(1, offset, DIGESTS[offset])])
    return [*roots, tree.root()]


ROOTS = true_roots()
NODE_LEAVES = 2**NODE_LEVELS
NODE = (0, "1", NODE_LEVELS, 0, ROOTS[NODE_LEAVES])
"""The one node of that topic that is stored."""


class Member:
    """One worker's assignment: what it has read and entered, and not committed."""

    def __init__(self, store: FakeStoredLog, start: int, clock: Clock, proof: ProofConfig) -> None:
        stored, signing = cast("StoredLog", store), Signing(proof)
        is_signed = believed_keys(signing.public_key(), None)
        restored = LogRestorer(stored, signing.log_name, is_signed).restored({0: start}, {})
        self.checkpointer = Checkpointer(
            stored, signing, Health(), WorkerMetrics(), now=_now, clock=clock
        )
        self.checkpointer.take(restored)
        self.logs = AssignedLogs(stored, restored, self.checkpointer.note, _now)
        self.read_until = restored[0].start
        self.entered: int | None = None


class Workers:
    """One partition, the store, where the group's offset stands, the worker that owns it, and those that think so."""

    def __init__(self, proof: ProofConfig) -> None:
        self.store, self.clock = FakeStoredLog(), Clock()
        self.proof = proof
        self.committed = 0
        self.owner = Member(self.store, 0, self.clock, proof)
        self.zombies: list[Member] = []
        self.backup = (self.store.snapshot(), 0)

    def work(self, records: int, cut: int, failing: int, seconds: int) -> None:
        """The owner writes what it has read in two parts, ClickHouse may fail in between; Kafka takes its commit."""
        if not self._enter(self.owner, records, cut, failing):
            self._enter(self.owner, records, cut, 9)
        if self.owner.entered is not None:
            self.committed = self.owner.read_until = self.owner.entered
            self.owner.entered = None
            self.owner.logs.note_commit()
        self.pass_time(seconds)

    def enter(self, records: int, cut: int, failing: int, _seconds: int) -> None:
        """The owner writes, and does not come to its commit."""
        self._enter(self.owner, records, cut, failing)

    def be_late(self, records: int, cut: int, _failing: int, seconds: int) -> None:
        """A worker that was shut out writes all the same, and signs what it had committed; it cannot commit."""
        if self.zombies:
            self._enter(self.zombies[-1], records, cut, 9)
        self.pass_time(seconds)

    def take_over(self, records: int, *_: int) -> None:
        """Another worker begins: the owner has died, or does not know yet that it has lost the partition."""
        if records % 2:
            self.zombies.append(self.owner)
        self._begin()

    def rewind(self, records: int, *_: int) -> None:
        """Somebody moves the group's offset back, below what is signed."""
        self.committed = max(0, self.committed - records)
        self._begin()

    def back_up(self, *_: int) -> None:
        """Somebody backs ClickHouse up."""
        self.backup = (self.store.snapshot(), self.committed)

    def restore(self, records: int, *_: int) -> None:
        """ClickHouse is as it was, wholly or with the leaves of today: what the ledger lacks is read again."""
        leaves = self.store.snapshot()[0]
        snapshot, committed = self.backup
        self.store.restore(snapshot)
        if records % 2:
            self.store.leaf_rows |= leaves
        self.committed = min(self.committed, committed)
        self.zombies.clear()
        self._begin()

    def lose_leaves(self, records: int, *_: int) -> None:
        """Leaves are gone that no checkpoint covers, as from a backup in which their table is the oldest."""
        signed = max((row[2] for row in self.store.checkpoint_rows), default=0)
        if signed:
            first = max(signed, self.committed - records)
            self.store.leaf_rows = {row for row in self.store.leaf_rows if row[2] < first}
            self._begin()

    def alter_leaves(self, records: int, *_: int) -> None:
        """Somebody writes other leaves above what is signed, and kills whoever could have signed the true ones."""
        signed = max((row[2] for row in self.store.checkpoint_rows), default=0)
        first = max(signed, self.committed - records)
        some = {row for row in self.store.leaf_rows if row[2] >= first}
        self.store.leaf_rows -= some
        self.store.leaf_rows |= {(*row[:5], sha256(row[5]).digest()) for row in some}
        self.zombies.clear()
        self._begin()

    def pass_time(self, seconds: int) -> None:
        """Whoever has committed something signs it when it is due."""
        self.clock.now_seconds += seconds
        for member in (self.owner, *self.zombies):
            member.checkpointer.step()

    def check(self) -> None:
        """Whatever was signed is the root of the topic at its size, and no other generation has begun."""
        self.check_roots()
        for _, generation, offset, kind, appended_ms, digest in self.store.leaf_rows:
            assert (generation, kind, appended_ms, digest) == ("1", 1, offset, DIGESTS[offset])

    def check_roots(self) -> None:
        """Whatever is signed is the root of the topic at its size, and the nodes below it are stored."""
        assert self.store.node_rows <= {NODE}
        sizes = [row[2] for row in self.store.checkpoint_rows]
        assert self.store.node_rows or max(sizes, default=0) < NODE_LEAVES
        for _, generation, size, _, text in self.store.checkpoint_rows:
            checkpoint = checkpoint_of(text.partition("\n\n")[0].rstrip("\n") + "\n")
            assert (generation, checkpoint.size, checkpoint.root) == ("1", size, ROOTS[size])

    def _begin(self) -> None:
        self.owner = Member(self.store, self.committed, self.clock, self.proof)

    def _enter(self, member: Member, records: int, cut: int, failing: int) -> bool:
        first = member.read_until
        end = min(LENGTH, first + records)
        middle = min(max(first, first + cut), end)
        parts = [topic(low, high) for low, high in pairwise((first, middle, end)) if low < high]
        self.store.failing = failing
        try:
            written = member.logs.write({0: parts})
        except StorageUnavailableError:
            return False
        finally:
            self.store.failing = None
        self.store.incidents += [(0, span.first, span.last) for span in written.holes.get(0, ())]
        assert not written.forks
        member.entered = end
        return True


STEPS = (
    *(Workers.work,) * 6,
    *(Workers.enter,) * 2,
    Workers.be_late,
    Workers.be_late,
    *(Workers.take_over,) * 2,
    Workers.rewind,
    Workers.back_up,
    Workers.restore,
    Workers.lose_leaves,
)
SIZES = st.tuples(st.integers(1, 60), st.integers(0, 60), st.integers(0, 6), st.integers(0, 15))


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> ProofConfig:
    """Return the settings of a log with a key."""
    return log_key(tmp_path_factory.mktemp("key"))


@pytest.mark.long
@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(STEPS), SIZES), min_size=15, max_size=40))
def test_one_root_a_size_whatever_comes_in_between(
    story: list[tuple[Step, tuple[int, int, int, int]]],
) -> None:
    """Deaths, failures, late workers, offsets moved back and backups restored change no root that is signed."""
    workers = Workers(ProofConfig())
    for step, sizes in story:
        step(workers, *sizes)
        workers.check()
    # Whoever comes last finds all that is in the topic.
    workers.work(LENGTH, 0, 9, 20)
    workers.work(LENGTH, 0, 9, 20)
    workers.check()
    assert max(row[2] for row in workers.store.checkpoint_rows) == LENGTH


@settings(max_examples=60)
@given(
    story=st.lists(
        st.tuples(st.sampled_from((*STEPS, *(Workers.alter_leaves,) * 4)), SIZES),
        min_size=15,
        max_size=30,
    )
)
def test_a_signed_root_is_kafkas_whatever_clickhouse_holds(
    proof: ProofConfig, story: list[tuple[Step, tuple[int, int, int, int]]]
) -> None:
    """With a key no leaf is signed that ClickHouse alone has: to change those above a checkpoint changes no root."""
    workers = Workers(proof)
    for step, sizes in story:
        step(workers, *sizes)
        workers.check_roots()
    workers.work(LENGTH, 0, 9, 20)
    workers.work(LENGTH, 0, 9, 20)
    workers.check_roots()
    assert max(row[2] for row in workers.store.checkpoint_rows) == LENGTH


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
