"""Where a log goes on after a start: by what a key has signed and Kafka has, not by what stands in ClickHouse."""

import base64
import datetime as dt
from hashlib import sha256
from typing import cast

import pytest

from fake_logs import FakeStoredLog
from made_keys import made_key
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.proof_log.assigned_logs import AssignedLogs, Written
from trailhouse.consumer.proof_log.checkpointer import Checkpointer
from trailhouse.consumer.proof_log.growth import NODE_LEVELS, Grown, LogState, grown
from trailhouse.consumer.proof_log.leaves import ReadLeaves
from trailhouse.consumer.proof_log.log_keys import believed_keys
from trailhouse.consumer.proof_log.restore import LogRestorer, Restored
from trailhouse.consumer.proof_log.signing import Signing
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import FileSigner, note_signed
from trailhouse.proof.origin import LogOrigin
from trailhouse.proof.policy import LogKey, Policy
from trailhouse.proof.policy_changes import with_revoked_log_key, with_rotated_log_key
from trailhouse.schemas.ranges import Range, Ranges

NAME = "audit.example/tests"
OLD, NEW, FOREIGN = (made_key(number) for number in (31, 32, 33))


def kafka(first: int, end: int) -> ReadLeaves:
    """Return what Kafka has there."""
    offsets = list(range(first, end))
    return ReadLeaves(
        first, end, offsets, offsets, [sha256(b"%d" % offset).digest() for offset in offsets]
    )


class Scene:
    """Partition 0 as Kafka has it, and as it is stored."""

    def __init__(self) -> None:
        self.store = FakeStoredLog()
        origin = self.store.origin
        self.log = LogOrigin(NAME, origin.topic, origin.topic_id, 0)

    def state(self, size: int) -> LogState:
        """Return the log as Kafka has it, *size* leaves of it."""
        return grown(LogState(self.log), [kafka(0, size)]).state

    def store_leaves(self, first: int, end: int, generation: str = "1") -> None:
        """Store leaves, as a worker does before it signs."""
        self.store.leaf_rows |= {(0, generation, *leaf) for leaf in kafka(first, end).each()}

    def change_leaf(self, offset: int) -> None:
        """Store another leaf in the place of one."""
        rows = {row for row in self.store.leaf_rows if row[2] == offset}
        self.store.leaf_rows -= rows
        self.store.leaf_rows |= {(*row[:5], sha256(row[5]).digest()) for row in rows}

    def sign(self, size: int, key: FileSigner | None = OLD) -> None:
        """Store a checkpoint, signed where there is a *key*."""
        state = self.state(size)
        text = state.checkpoint.text
        content = text if key is None else note_signed(text, key, str(self.log))
        self.store.checkpoint_rows.add((0, "1", size, state.roots, content))

    def restored(
        self,
        start: int,
        log_start: int = 0,
        *,
        own: FileSigner | None = OLD,
        policy: Policy | None = None,
    ) -> Restored:
        """Return where a worker goes on."""
        is_signed = believed_keys(own.public_key if own else None, policy)
        restorer = LogRestorer(cast("StoredLog", self.store), NAME, is_signed)
        return restorer.restored({0: start}, {0: log_start})[0]

    def read_on(self, restored: Restored, end: int) -> tuple[Written, LogState]:
        """Have a worker read on to *end* and commit; return what it told, and what it would sign."""
        committed: list[Grown] = []
        logs = AssignedLogs(
            cast("StoredLog", self.store),
            {0: restored},
            committed.extend,
            lambda: pytest.fail("no time is asked"),
        )
        written = logs.write({0: [kafka(restored.start, end)]})
        logs.note_commit()
        return written, committed[0].state


@pytest.fixture
def scene() -> Scene:
    """Return a log of 20 leaves, of which 12 are signed and all are committed."""
    made = Scene()
    made.store_leaves(0, 20)
    made.sign(12)
    return made


def policy(*keys: FileSigner) -> Policy:
    """Return the first policy of the log, and what follows as its key is rotated at 12 leaves."""
    made = Policy(log_name=NAME, version=1, log_keys=(LogKey(public_key=text_of(keys[0])),))
    for key in keys[1:]:
        made = with_rotated_log_key(made, key.public_key, {str(Scene().log): 12}, 1)
    return made


def text_of(key: FileSigner) -> str:
    """Return a public key as policies have it."""
    return base64.b64encode(key.public_key).decode()


def test_what_nobody_has_signed_is_read_again(scene: Scene) -> None:
    """A worker that was killed has left leaves above its checkpoint: the next one takes them from Kafka, unalarmed."""
    found = scene.restored(20)
    assert (found.start, found.state, found.is_rewound) == (12, scene.state(12), False)
    written, state = scene.read_on(found, 25)
    assert state == scene.state(25)
    assert not any((written.contradicted, written.forks, written.holes.get(0)))


def test_leaves_that_were_changed_above_the_checkpoint_are_not_signed(scene: Scene) -> None:
    """What Kafka has is signed, and where ClickHouse had something else is told."""
    scene.change_leaf(15)
    written, state = scene.read_on(scene.restored(20), 25)
    assert state == scene.state(25)
    assert written.contradicted == {0: 15}


def test_what_is_signed_is_not_read_again(scene: Scene) -> None:
    """Whoever has stopped in order has signed all that it committed: nothing is read twice."""
    scene.sign(20)
    found = scene.restored(20)
    assert (found.start, found.again_until, found.state) == (20, 0, scene.state(20))


def test_without_a_key_nothing_is_read_again(scene: Scene) -> None:
    """Where nobody signs there is no proof to protect, and the leaves that are stored count."""
    found = scene.restored(20, own=None)
    assert (found.start, found.state) == (20, scene.state(20))


def test_nodes_that_a_killed_worker_has_not_stored_are_stored_with_the_next_checkpoint(
    scene: Scene,
) -> None:
    """Without a key leaves above the checkpoint are not read again: their nodes are made of what is stored."""
    size = 2**NODE_LEVELS + 4
    scene.store_leaves(20, size)
    restored = scene.restored(size, own=None)
    stored = cast("StoredLog", scene.store)
    checkpointer = Checkpointer(
        stored,
        Signing(ProofConfig()),
        Health(),
        WorkerMetrics(),
        now=lambda: dt.datetime.now(dt.UTC),
    )
    checkpointer.take({0: restored})
    checkpointer.close()
    checkpointer.step()
    root = scene.state(2**NODE_LEVELS).checkpoint.root
    assert scene.store.node_rows == {(0, "1", NODE_LEVELS, 0, root)}
    assert scene.store.inserted == ["log_nodes", "log_checkpoints"]


def test_a_generation_that_is_as_large_as_the_one_before_is_signed(scene: Scene) -> None:
    """What was signed of the other one, of the same size, covers nothing of it."""
    found = scene.restored(20, own=None)
    restored = found._replace(covered_size=found.state.size)
    checkpointer = Checkpointer(
        cast("StoredLog", scene.store),
        Signing(ProofConfig()),
        Health(),
        WorkerMetrics(),
        now=lambda: dt.datetime.now(dt.UTC),
    )
    checkpointer.take({0: restored})
    other = restored.state._replace(origin=restored.state.origin.successor("checkpoint\n"))
    checkpointer.note([Grown(restored.state), Grown(other)])
    checkpointer.close()
    checkpointer.step()
    assert scene.store.inserted == ["log_checkpoints"]


@pytest.mark.parametrize("key", [None, FOREIGN], ids=["taken away", "forged"])
def test_without_a_valid_checkpoint_all_that_kafka_has_is_read_again(
    scene: Scene, key: FileSigner | None
) -> None:
    """Who deletes every checkpoint, or writes his own, has nothing of his signed: the log is made anew of Kafka."""
    scene.store.checkpoint_rows.clear()
    if key is not None:
        scene.sign(20, key)
    scene.change_leaf(3)
    found = scene.restored(20)
    assert (found.start, found.generations) == (0, (("1", 0),))
    written, state = scene.read_on(found, 25)
    assert (state, written.contradicted) == (scene.state(25), {0: 3})


@pytest.mark.parametrize("signed", [0, 12])
def test_what_kafka_has_no_longer_begins_a_generation_and_is_told(
    scene: Scene, signed: int
) -> None:
    """Leaves that nobody has signed, and that cannot be read again, are nobody's: the log goes on by another name."""
    if not signed:
        scene.store.checkpoint_rows.clear()
    found = scene.restored(20, 15)
    successor = scene.log.successor(scene.state(signed).checkpoint.text)
    assert found.given_up == Ranges([(signed, 14)])
    assert (found.start, found.state.origin, found.state.size) == (15, successor, 15)
    assert found.opening == found.state
    assert found.generations == (("1", 0), (successor.generation, 15))


def test_a_generation_that_nobody_has_signed_is_read_again_from_its_beginning(
    scene: Scene,
) -> None:
    """Anybody can write a row under the right name: what it says of leaves counts for nothing."""
    successor = scene.log.successor(scene.state(12).checkpoint.text)
    forged = scene.state(18)._replace(origin=successor)
    scene.store.checkpoint_rows.add(
        (0, successor.generation, 18, forged.roots, forged.checkpoint.text)
    )
    scene.store_leaves(18, 20, successor.generation)
    found = scene.restored(20)
    assert (found.start, found.state.origin, found.covered_size) == (18, successor, 0)
    assert found.state.roots != forged.roots


def test_after_a_rotation_the_key_before_counts_up_to_it(scene: Scene) -> None:
    """The new key has signed nothing yet, and the log is not read again; what the old one signed later is not ours."""
    rotated = policy(OLD, NEW)
    scene.sign(18)
    found = scene.restored(20, own=NEW, policy=rotated)
    assert (found.start, found.covered_size, found.is_signed) == (12, 12, True)
    assert scene.restored(20, own=NEW).start == 0, "without the policy nothing is known of it"


def test_larger_checkpoints_of_strangers_hide_no_true_one(scene: Scene) -> None:
    """However many there are: it goes on from the one that its key has signed, and reads no signed leaf again."""
    rows = {(0, "1", 100 + n, (bytes(32),), f"forged {n}") for n in range(9_000)}
    scene.store.checkpoint_rows |= rows
    restored = scene.restored(20)
    assert (restored.covered_size, restored.is_signed, restored.start) == (12, True, 12)


def test_a_revoked_key_counts_for_nothing(scene: Scene) -> None:
    """What its successor has signed is what is left of it."""
    revoked = with_revoked_log_key(policy(OLD), NEW.public_key, {str(scene.log): 12}, 1)
    assert scene.restored(20, own=NEW, policy=revoked).start == 0
    scene.sign(8, NEW)
    assert scene.restored(20, own=NEW, policy=revoked).start == 0, "below what it may sign"
    scene.sign(12, NEW)
    assert scene.restored(20, own=NEW, policy=revoked).start == 12


def test_a_policy_that_does_not_know_the_own_key_says_nothing(scene: Scene) -> None:
    """Who takes the newest policy away brings no key back: a worker that signs by the next one believes that alone."""
    assert scene.restored(20, own=NEW, policy=policy(OLD)).start == 0
    scene.sign(16, NEW)
    assert scene.restored(20, own=NEW, policy=policy(OLD)).start == 16


def test_a_key_that_cannot_be_read_is_known_by_the_policy(scene: Scene) -> None:
    """Its file is away, and the owner has said which key it is."""
    found = scene.restored(20, own=None, policy=policy(OLD))
    assert (found.start, found.is_signed) == (12, True)


def test_a_change_of_kafka_below_the_checkpoint_tells_all_that_it_takes_back(scene: Scene) -> None:
    """After an unclean election the incident covers what was stored and not signed too."""
    found = scene.restored(20)._replace(start=10)
    logs = AssignedLogs(
        cast("StoredLog", scene.store), {0: found}, lambda _: None, lambda: dt.datetime.now(dt.UTC)
    )
    read = kafka(10, 22)
    other = read._replace(digests=[sha256(each).digest() for each in read.digests])
    assert logs.write({0: [other]}).forks == {0: Range(10, 19)}
