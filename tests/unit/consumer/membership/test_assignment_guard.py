"""When a membership may read and commit: where its partitions begin, and whether ClickHouse still has what it had."""

import datetime as dt
from collections.abc import Iterator

import pytest

from fake_kafka import ORIGIN, FakeIdentity, FakeLedger, fake_source, lag, problem
from kafka_records import Clock
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.inflight import BatchInserter
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.batch.span import Span
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.assignment_guard import (
    LEDGER_EVERY_SECONDS,
    MAX_ASTRAY,
    AssignmentGuard,
    Step,
)
from trailhouse.consumer.membership.offset_check import OffsetCheck
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.schemas.errors import OffsetGapError, StorageUnavailableError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Ranges
from waiting import DEADLINE_SECONDS, eventually


class Scene:
    """Partition 0 of our topic, stored and committed up to 5, over a fake Kafka and a fake ledger."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kafka = FakeIdentity([lag(0, 5, 9)])
        self.ledger = FakeLedger({0: [(0, 4)]})
        self.health, self.heartbeat, self.clock = Health(), Heartbeat(), Clock()
        self.inserter = BatchInserter(self.health, WorkerMetrics(), lambda: None)
        self.source, self.consumer = fake_source(monkeypatch)
        ledger: Ledger = self.ledger  # type: ignore[assignment]  # held against the real one by a test
        self.guard = AssignmentGuard(
            offset_check=OffsetCheck(
                kafka=KafkaConfig(),
                worker=WorkerConfig(),
                ask_kafka=self.kafka.ask,
                ledger=ledger,
                origin=ORIGIN,
                incidents=Incidents(
                    ledger, ORIGIN, WorkerMetrics(), lambda: dt.datetime.now(dt.UTC)
                ),
            ),
            source=self.source,
            inserter=self.inserter,
            health=self.health,
            heartbeat=self.heartbeat,
            clock=self.clock,
        )

    def next_step(self) -> Step:
        """Take turns until there is something to be done."""
        steps: list[Step] = []

        def is_due() -> bool:
            steps.append(self.guard.step())
            return steps[-1] != "stay"

        eventually(is_due, "a step")
        return steps[-1]

    def begin(self) -> None:
        """Have the partition assigned, and read."""
        self.guard.take([0])
        assert self.next_step() == "begin"

    def store(self, first: int, last: int) -> None:
        """Have a batch stored and committed."""
        self.ledger.stored[0] |= Ranges([(first, last)])
        span = Span(first, 0)
        span.reach(last, 0)
        self.guard.note_commit({0: span})


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Return a scene in which nothing is assigned yet."""
    made = Scene(monkeypatch)
    yield made
    made.guard.leave()
    made.inserter.close()


def test_nothing_is_read_or_committed_before_the_answer(scene: Scene) -> None:
    """Both are asked meanwhile, and a part that is away is said to be, and waited for."""
    scene.ledger.raising = StorageUnavailableError("away")
    scene.guard.take([0])
    eventually(lambda: scene.heartbeat.waits > 0, "the question to fail")
    assert (scene.guard.is_open, scene.guard.may_commit(), scene.guard.step()) == (
        False,
        False,
        "stay",
    )
    assert scene.health.report()["clickhouse"] == {"state": "away", "reason": "away"}
    scene.ledger.raising = None
    assert scene.next_step() == "begin"
    assert scene.guard.is_open
    assert scene.consumer.assigned == {0: 5}
    assert scene.guard.may_commit()


def test_a_topic_that_is_another_is_left(scene: Scene) -> None:
    """Nothing of it is read."""
    scene.kafka.who = ORIGIN._replace(topic_id="another")
    scene.guard.take([0])
    assert scene.next_step() == "leave"
    assert scene.consumer.assigned == {}


def test_a_loss_ends_the_worker(scene: Scene) -> None:
    """It is raised in the thread that reads."""
    scene.kafka.parts = [lag(0, 5, 9, first=7)]
    scene.guard.take([0])
    with pytest.raises(OffsetGapError):
        scene.next_step()


def test_after_an_outage_the_ledger_is_looked_at_before_a_commit(scene: Scene) -> None:
    """ClickHouse may have come back from an older backup; if it has all, the commit may go on."""
    scene.begin()
    scene.inserter.outages += 1
    assert not scene.guard.may_commit()
    assert scene.guard.wait(DEADLINE_SECONDS) == "stay"
    assert scene.guard.may_commit()


def test_what_the_ledger_forgot_is_read_again(scene: Scene) -> None:
    """What is in hand is dropped, and the reading goes on where the ledger ends."""
    scene.begin()
    scene.store(5, 8)
    scene.kafka.parts = [lag(0, 9, 12)]
    scene.ledger.stored = {0: Ranges([(0, 6)])}
    scene.inserter.outages += 1
    assert not scene.guard.may_commit()
    assert scene.guard.wait(DEADLINE_SECONDS) == "drop"
    assert scene.consumer.assigned == {}
    assert scene.next_step() == "begin"
    assert scene.consumer.assigned == {0: 7}


def test_the_ledger_is_looked_at_now_and_then(scene: Scene) -> None:
    """Without an outage too: somebody may restore a backup between two statements."""
    scene.begin()
    scene.store(5, 8)
    scene.ledger.stored = {0: Ranges([(0, 6)])}
    assert scene.guard.step() == "stay"
    assert scene.guard.wait(0) == "stay", "nothing was asked"
    scene.clock.now_seconds += LEDGER_EVERY_SECONDS
    assert scene.next_step() == "drop"


def test_an_offset_that_is_gone_is_looked_for_anew(scene: Scene) -> None:
    """But not for ever: after some times in a row that Kafka refuses what it named itself, it is an error."""
    scene.begin()
    for _ in range(MAX_ASTRAY):
        scene.consumer.waiting = [problem(0, "_AUTO_OFFSET_RESET")]
        scene.source.read(1, 0.0)
        assert scene.guard.step() == "drop"
        assert scene.next_step() == "begin"
    scene.consumer.waiting = [problem(0, "_AUTO_OFFSET_RESET")]
    scene.source.read(1, 0.0)
    with pytest.raises(OffsetGapError, match="times in a row"):
        scene.guard.step()


def test_a_commit_says_that_the_offsets_were_right(scene: Scene) -> None:
    """What comes after it is counted from 1 again."""
    scene.begin()
    for offset in range(5, 5 + 2 * MAX_ASTRAY):
        scene.consumer.waiting = [problem(0, "_AUTO_OFFSET_RESET")]
        scene.source.read(1, 0.0)
        assert scene.guard.step() == "drop"
        assert scene.next_step() == "begin"
        scene.store(offset, offset)


def test_who_leaves_is_told_nothing(scene: Scene) -> None:
    """An open question is dropped, whatever its answer."""
    scene.ledger.raising = StorageUnavailableError("away")
    scene.guard.take([0])
    scene.guard.leave()
    scene.ledger.raising = None
    assert scene.guard.step() == "stay"
    assert scene.consumer.assigned == {}
