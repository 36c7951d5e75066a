"""One membership: read, store, commit, in that order, whatever the group and ClickHouse do meanwhile."""

from collections.abc import Callable, Iterator

import pytest

from fake_kafka import (
    ORIGIN,
    error,
    lag,
    problem,
)
from session_scene import Scene
from trailhouse.consumer.membership.batch_reader import IDLE_READ_SECONDS
from trailhouse.consumer.membership.session import READ_SECONDS
from trailhouse.consumer.monitoring.metrics import PREFIX
from trailhouse.schemas.errors import BreakerTrippedError, OffsetGapError
from trailhouse.schemas.ranges import Ranges
from trailhouse.store.parts import FullestTable


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Return a scene in which nothing has begun."""
    made = Scene(monkeypatch)
    yield made
    made.writer.may_end.set()
    made.inserter.close()


def test_what_is_committed_was_stored_before(scene: Scene) -> None:
    """Batch by batch, the offset after the last record of each."""
    scene.run(
        scene.assign, scene.is_reading, scene.bring(0, 1, 2), scene.has_committed(p0=3),
        scene.bring(3), scene.has_committed(p0=4),
    )  # fmt: skip
    assert scene.story == ["stored 0: 0-2", "stored 0: 3-3"]
    assert scene.commits() == [{0: 3}, {0: 4}]
    assert scene.consumer.is_closed
    assert f"{PREFIX}records_stored_total 4.0" in scene.shown()


def test_what_could_not_be_stored_is_not_committed(scene: Scene) -> None:
    """The same batch is stored again, and committed once it is in."""
    scene.writer.failures = 2
    scene.run(scene.assign, scene.is_reading, scene.bring(0), scene.has_committed(p0=1))
    assert scene.story == ["failed", "failed", "stored 0: 0-0"]
    assert scene.commits() == [{0: 1}]


def test_the_next_batch_is_read_while_one_is_stored(scene: Scene) -> None:
    """But it is stored after it: at most one is on its way."""
    scene.writer.may_end.clear()

    def release() -> None:
        assert scene.story == []
        scene.writer.may_end.set()

    scene.run(
        scene.assign, scene.is_reading, scene.bring(0), scene.writer.has_begun.is_set,
        scene.bring(1, 2), scene.has_read(3), release, scene.has_committed(p0=3),
    )  # fmt: skip
    assert scene.story == ["stored 0: 0-0", "stored 0: 1-2"]


def test_what_clickhouse_bears_is_asked_and_said_beside_the_work(scene: Scene) -> None:
    """Many parts widen the batches of a member that stores, and it says so while nothing has failed."""
    scene.parts = FullestTable("event_log", 900, 1_000)
    scene.run(
        scene.assign, scene.is_reading, scene.bring(0),
        lambda: "event_log has 900 parts" in scene.health.warnings.get("back_pressure", ""),
        lambda: f"{PREFIX}parts_share 0.9" in scene.shown(),
    )  # fmt: skip
    assert scene.commits() == [{0: 1}]
    assert scene.health.warnings == {}, "expected no word of a member that is gone"


def test_an_end_lets_the_batch_on_its_way_land(scene: Scene) -> None:
    """It is committed; what was only read is not, and is read again by the next worker."""
    scene.writer.may_end.clear()
    scene.run(
        scene.assign, scene.is_reading, scene.bring(0), scene.writer.has_begun.is_set,
        scene.bring(1), scene.has_read(2), scene.writer.may_end.set,
    )  # fmt: skip
    assert scene.story == ["stored 0: 0-0"]
    assert scene.commits() == [{0: 1}]


def test_partitions_that_are_revoked_are_committed_first(scene: Scene) -> None:
    """What is being stored is waited for while they are still ours; what was only read is dropped."""
    scene.writer.may_end.clear()

    def revoke() -> None:
        scene.writer.may_end.set()
        scene.consumer.tell("on_revoke", [0, 1])

    scene.run(
        scene.assign, scene.is_reading, scene.bring(0), scene.writer.has_begun.is_set, scene.bring(1),
        scene.has_read(2), revoke,
    )  # fmt: skip
    assert scene.commits() == [{0: 1}]
    assert scene.consumer.commits[-1] == {0: (1, ""), 1: (0, "")}, "left in order"
    assert f"{PREFIX}batches_dropped_total 1.0" in scene.shown()


def test_partitions_that_are_lost_are_not_committed(scene: Scene) -> None:
    """They are another's already, whatever has been stored."""
    scene.writer.may_end.clear()
    scene.run(
        scene.assign, scene.is_reading, scene.bring(0), scene.writer.has_begun.is_set,
        lambda: scene.consumer.tell("on_lost", [0, 1]), scene.writer.may_end.set,
    )  # fmt: skip
    assert scene.commits() == []


def test_a_fenced_member_leaves(scene: Scene) -> None:
    """It joins anew elsewhere; until then nothing more is committed."""

    def fence() -> None:
        scene.consumer.commit_errors = {0: error("ILLEGAL_GENERATION")}

    scene.run(
        scene.assign, scene.is_reading, fence, scene.bring(0), lambda: False,
    )  # fmt: skip
    assert not scene.stop.is_set(), "it came back by itself"
    assert scene.commits() == [{0: 1}]
    assert scene.consumer.is_closed


def test_a_commit_of_unknown_outcome_is_tried_again(scene: Scene) -> None:
    """The same one: nothing is stored again for it."""

    def mend() -> bool:
        if scene.commits():
            scene.consumer.commit_errors = {}
        return bool(scene.commits())

    def fail() -> None:
        scene.consumer.commit_errors = {0: error("_TIMED_OUT")}

    scene.run(
        scene.assign, scene.is_reading, fail, scene.bring(0), mend,
        lambda: len(scene.commits()) > 1,
    )  # fmt: skip
    assert scene.commits() == [{0: 1}, {0: 1}]
    assert scene.story == ["stored 0: 0-0"]


def test_most_of_a_batch_being_bad_stops_the_worker(scene: Scene) -> None:
    """Before the commit: nothing is lost, and the next worker reads it again."""
    with pytest.raises(BreakerTrippedError):
        scene.run(scene.assign, scene.is_reading, scene.bring(0, 1, 2, value=b"bad"), lambda: False)
    assert scene.commits() == []
    assert scene.consumer.is_closed


def test_a_loss_stops_the_worker(scene: Scene) -> None:
    """Records that nobody stored are gone: it is raised, and nothing was read."""
    scene.identity.parts = [lag(0, 4, 9, first=7), lag(1, None, 9)]
    scene.ledger.stored = {0: Ranges([(0, 3)])}
    with pytest.raises(OffsetGapError):
        scene.run(scene.assign, lambda: False)
    assert scene.consumer.assigned == {}
    assert scene.consumer.is_closed


def test_a_topic_made_anew_ends_the_membership(scene: Scene) -> None:
    """Its records must not stand in one batch with those of before."""
    scene.identity.who = ORIGIN._replace(topic_id="another")
    scene.run(scene.assign, lambda: False)
    assert scene.consumer.assigned == {}
    assert scene.consumer.is_closed


def test_offsets_without_a_record_are_passed_over(scene: Scene) -> None:
    """As a batch without a record, in the ledger before the commit: else they were lag for ever."""
    scene.run(
        scene.assign, scene.is_reading, scene.bring(0), scene.has_committed(p0=1),
        lambda: scene.consumer.waiting.append(problem(0, "_PARTITION_EOF", 4)),
        scene.has_committed(p0=4),
    )  # fmt: skip
    assert scene.story == ["stored 0: 0-0", "stored 0: 1-3"]


def test_an_idle_member_is_asleep(scene: Scene) -> None:
    """With nothing in hand, nothing on its way and no question open, a turn lasts a quarter of a second."""
    scene.run(scene.assign, scene.is_reading, scene.has_turned(40))
    assert scene.consumer.wait_seconds[-39:] == [IDLE_READ_SECONDS] * 39
    assert 0.2 <= IDLE_READ_SECONDS <= 0.3, "expected few turns, and a stop that is soon heard"


def test_a_member_that_waits_for_an_answer_is_awake(scene: Scene) -> None:
    """Before the offsets are verified, and while a batch is being stored, a read is short."""
    scene.writer.may_end.clear()
    scene.run(
        scene.assign, scene.is_reading, scene.bring(0), scene.writer.has_begun.is_set,
        scene.has_turned(40), scene.writer.may_end.set,
    )  # fmt: skip
    assert scene.consumer.wait_seconds[0] == READ_SECONDS, "not assigned yet"
    assert set(scene.consumer.wait_seconds[-39:]) == {READ_SECONDS}


def test_records_that_are_known_of_and_do_not_come_keep_a_member_awake(scene: Scene) -> None:
    """Else it would be late to see that a batch holds others up."""

    def announce() -> None:
        scene.consumer.ends = {0: 4}

    scene.run(
        scene.assign,
        scene.is_reading,
        scene.has_turned(9),
        announce,
        lambda: scene.consumer.wait_seconds[-1] == READ_SECONDS,
    )
    assert IDLE_READ_SECONDS in scene.consumer.wait_seconds


def test_small_batches_are_committed_together(scene: Scene) -> None:
    """Each is stored when it is due, and the ledger and Kafka hear of several at once."""
    scene.freshness_seconds = 0.4

    def has_stored(batches: int) -> Callable[[], bool]:
        return lambda: len(scene.story) == batches

    scene.run(
        scene.assign, scene.is_reading, scene.bring(0), has_stored(1), scene.bring(1, 2), has_stored(2),
        scene.has_committed(p0=3),
    )  # fmt: skip
    assert scene.story == ["stored 0: 0-0", "stored 0: 1-2"]
    assert scene.commits() == [{0: 3}]
    assert scene.writer.entered == 1
    assert f"{PREFIX}records_stored_total 3.0" in scene.shown()


@pytest.mark.parametrize("end", ["stopped", "revoked"])
def test_what_is_stored_is_committed_before_the_partitions_go(scene: Scene, end: str) -> None:
    """However long the ledger might still have waited for more."""
    scene.freshness_seconds = 2.0

    def go() -> None:
        if end == "revoked":
            scene.consumer.tell("on_revoke", [0, 1])

    scene.run(
        scene.assign, scene.is_reading, scene.bring(0), lambda: scene.story == ["stored 0: 0-0"], go
    )  # fmt: skip
    assert scene.commits() == [{0: 1}]


def test_what_was_stored_before_an_outage_is_stored_again_before_its_commit(scene: Scene) -> None:
    """The outage may have been a restore, and the ledger must say nothing that the tables do not have."""
    scene.freshness_seconds = 0.4

    def fail() -> None:
        scene.writer.failures = 1

    scene.run(
        scene.assign, scene.is_reading, scene.bring(0), lambda: scene.story == ["stored 0: 0-0"], fail,
        scene.bring(1), scene.has_committed(p0=2),
    )  # fmt: skip
    assert scene.story == ["stored 0: 0-0", "failed", "stored 0: 0-0", "stored 0: 1-1"]
    assert scene.commits() == [{0: 2}]


def test_what_came_before_a_bad_batch_is_committed(scene: Scene) -> None:
    """So that whoever starts again begins with what tripped the breaker."""
    scene.freshness_seconds = 0.4
    with pytest.raises(BreakerTrippedError):
        scene.run(
            scene.assign, scene.is_reading, scene.bring(0), lambda: bool(scene.story),
            scene.bring(1, 2, 3, value=b"bad"), lambda: False,
        )  # fmt: skip
    assert scene.commits() == [{0: 1}]
