"""One membership: read, store, commit, in that order, whatever the group and ClickHouse do meanwhile."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import pytest

from fake_kafka import (
    ORIGIN,
    FakeConsumer,
    FakeIdentity,
    FakeLedger,
    error,
    lag,
    problem,
    record,
)
from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.inflight import BatchInserter
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.batch.writer import Stored
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership import source as source_module
from trailhouse.consumer.membership.group_check import GroupCheck
from trailhouse.consumer.membership.offset_check import OffsetCheck
from trailhouse.consumer.membership.poison_pills.inspection import PoisonPillInspection
from trailhouse.consumer.membership.session import (
    IDLE_READ_SECONDS,
    READ_SECONDS,
    GroupSession,
    Reporters,
)
from trailhouse.consumer.membership.source import HOLDER
from trailhouse.consumer.membership.topic_check import TopicCheck
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.consumer.monitoring.metrics import PREFIX, WorkerMetrics
from trailhouse.consumer.monitoring.missing_events import MissingEvents
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import BreakerTrippedError, OffsetGapError, StorageUnavailableError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Ranges
from waiting import DEADLINE_SECONDS

EVENT = AuditEvent(type="a", session_id="s").record


class Writer:
    """Stores a batch in the ledger, unless it is told to wait or to fail."""

    def __init__(self, story: list[str], ledger: FakeLedger) -> None:
        self._story = story
        self._ledger = ledger
        self.failures = 0
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    def write(self, batch: Batch) -> Stored:
        self.has_begun.set()
        assert self.may_end.wait(DEADLINE_SECONDS)
        if self.failures:
            self.failures -= 1
            self._story.append("failed")
            raise StorageUnavailableError("away")
        for number, span in batch.spans.items():
            before = self._ledger.stored.get(number, Ranges())
            stored = Ranges([(span.first_offset, span.last_offset)])
            self._ledger.stored[number] = before | stored
            self._story.append(f"stored {number}: {span.first_offset}-{span.last_offset}")
        return Stored(len(batch) - len(batch.bad), len(batch.bad))


class Scene:
    """A session that runs in the test's own thread; what happens meanwhile is said step by step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.story: list[str] = []
        self.identity, self.ledger = FakeIdentity([lag(0, None, 9), lag(1, None, 9)]), FakeLedger()
        self.health, self.metrics = Health(), WorkerMetrics()
        self.writer = Writer(self.story, self.ledger)
        self.inserter = BatchInserter(self.health, self.metrics, lambda: None)
        self.consumers: list[FakeConsumer] = []
        self.stop = threading.Event()
        self._steps: list[Callable[[], bool]] = []
        monkeypatch.setattr(source_module, "Consumer", self._make)

    def _make(self, options: dict[str, object]) -> FakeConsumer:
        self.consumers.append(FakeConsumer(options))
        self.consumer.meanwhile = self._meanwhile
        return self.consumer

    @property
    def consumer(self) -> FakeConsumer:
        """The session's consumer."""
        return self.consumers[-1]

    def commits(self) -> list[dict[int, int]]:
        """Return what was committed, but for the marks of who reads and who has stopped."""
        return [
            {number: offset for number, (offset, _) in commit.items()}
            for commit in self.consumer.commits
            if {holder for _, holder in commit.values()} == {HOLDER}
        ][1:]

    def _meanwhile(self) -> None:
        """Take the next step, once what it waits for is there; the session ends after the last."""
        while self._steps and self._steps[0]():
            self._steps.pop(0)
        if not self._steps:
            self.stop.set()

    def run(self, *steps: Callable[[], object]) -> None:
        """Run a session until each of *steps* is done; one that returns False is taken again."""
        self._steps = [partial(_is_done, step) for step in steps]
        worker = WorkerConfig(
            batch_age_seconds=0.001, account_seconds=0, max_bad_share=0.5, max_bad_rows=1
        )
        ledger = cast("Ledger", self.ledger)
        incidents = Incidents(ledger, ORIGIN, self.metrics, lambda: dt.datetime.now(dt.UTC))
        kafka = KafkaConfig()
        GroupSession(
            kafka=kafka,
            worker=worker,
            writer=self.writer,
            inserter=self.inserter,
            offset_check=OffsetCheck(
                kafka=kafka,
                worker=worker,
                ask_kafka=self.identity.ask,
                ledger=ledger,
                origin=ORIGIN,
                incidents=incidents,
            ),
            inspection=PoisonPillInspection(kafka, ledger, incidents),
            topic=TopicCheck(kafka, self.identity.ask, ORIGIN, self.health),
            group=GroupCheck(
                ask_kafka=self.identity.ask,
                group_id=worker.group_id,
                watchdog_seconds=worker.watchdog_seconds,
                health=self.health,
                metrics=self.metrics,
                incidents=incidents,
            ),
            missing=MissingEvents(lambda *_: 0, self.metrics),
            ask_kafka=lambda: None,
            reporters=Reporters(self.health, self.metrics, Heartbeat()),
        ).run(self.stop)

    # Steps.

    def assign(self) -> None:
        """Have both partitions assigned."""
        self.consumer.tell("on_assign", [0, 1])

    def is_reading(self) -> bool:
        """Wait until the partitions are read."""
        return bool(self.consumer.assigned)

    def bring(self, *offsets: int, value: bytes = EVENT) -> Callable[[], None]:
        """Return the step that has records of partition 0 come."""
        return lambda: self.consumer.waiting.extend(record(0, n, value) for n in offsets)

    def has_read(self, records: int) -> Callable[[], bool]:
        """Return the step that waits until so many records are in hand or further."""
        return lambda: f"records_consumed_total {records}.0" in self.shown()

    def has_turned(self, turns: int) -> Callable[[], bool]:
        """Return the step that waits for so many turns from then on."""
        begun: list[int] = []

        def turned() -> bool:
            begun[:] = begun or [len(self.consumer.wait_seconds)]
            return len(self.consumer.wait_seconds) >= begun[0] + turns

        return turned

    def shown(self) -> str:
        """Return the metrics."""
        return self.metrics.text(is_ready=True).decode()

    def has_committed(self, **wanted: int) -> Callable[[], bool]:
        """Return the step that waits for a commit."""
        places = {int(name[1:]): offset for name, offset in wanted.items()}
        return lambda: places in self.commits()


def _is_done(step: Callable[[], object]) -> bool:
    return step() is not False


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
