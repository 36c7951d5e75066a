"""What a turn of the ingest loop looks at: lag, standstills, and whether both parts are there."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from fake_kafka import error, fake_source, lag
from kafka_records import Clock, Record, batch_of, empty_batch
from trailhouse.broker.offsets import PartitionLag
from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.batch.inflight import BatchInserter
from trailhouse.consumer.membership.group_check import GroupView
from trailhouse.consumer.membership.lag_monitor import CHECK_SECONDS, IDLE_CHECK_SECONDS, LagMonitor
from trailhouse.consumer.membership.source import Failure
from trailhouse.consumer.membership.topic_check import TopicState
from trailhouse.consumer.monitoring.background_query import BackgroundQuery
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.consumer.monitoring.metrics import PREFIX, WorkerMetrics
from trailhouse.schemas.errors import BrokerUnavailableError
from waiting import eventually

TURN_SECONDS = 0.25


class Scene:
    """Two partitions that are read from offset 5, and what was seen of the group."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.health, self.metrics, self.heartbeat = Health(), WorkerMetrics(), Heartbeat()
        self.clock = Clock()
        self.pings = self.questions = 0
        self.away: BrokerUnavailableError | None = None
        self.inserter = BatchInserter(self.health, self.metrics, self._ping)
        self.source, self.consumer = fake_source(monkeypatch)
        self.view = [lag(0, 5, 5), lag(1, 5, 5)]
        self.group = BackgroundQuery(self._look, name="group")
        self.topic = BackgroundQuery(lambda: TopicState(False, 600.0), name="topic")
        self.lag_monitor = LagMonitor(
            source=self.source,
            inserter=self.inserter,
            health=self.health,
            metrics=self.metrics,
            heartbeat=self.heartbeat,
            topic=self.topic,
            group=self.group,
            ask_kafka=self._ask_kafka,
            clock=self.clock,
        )
        self.source.begin({0: 5, 1: 5})
        self.lag_monitor.take([0, 1])

    def _look(self) -> GroupView:
        return GroupView(
            seen_at_seconds=0.0,
            partitions={part.partition: part for part in self.view},
            members=(),
            refusal=None,
        )

    def _ping(self) -> None:
        self.pings += 1

    def _ask_kafka(self) -> None:
        self.questions += 1
        if self.away is not None:
            raise self.away

    def see(self, *parts: PartitionLag) -> None:
        """Have the group looked at: *parts* are what it is now."""
        self.view = list(parts)
        self.group.start()
        self.group.join()

    def turn(
        self, seconds: float = TURN_SECONDS, *in_hand: Batch, is_storing: bool = True
    ) -> dict[int, float]:
        """Let time pass, look after each quarter of a second, and return how long partitions stand still."""
        for _ in range(round(seconds / TURN_SECONDS)):
            self.clock.now_seconds += TURN_SECONDS
            self.lag_monitor.look(in_hand, is_reading=True, is_storing=is_storing)
        return dict(self.heartbeat.stalled_seconds)

    def shown(self, name: str) -> list[str]:
        """Return the lines of a series."""
        lines = self.metrics.text(is_ready=True).decode().splitlines()
        return [line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX + name)]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Return a scene in which nothing waits."""
    made = Scene(monkeypatch)
    yield made
    made.inserter.close()


def test_the_lag_is_the_longer_of_what_is_known(scene: Scene) -> None:
    """By the consumer's own answers and by what was seen of the group; without either there is none."""
    scene.lag_monitor.begin()
    assert scene.shown("lag_records") == []
    scene.consumer.ends = {0: 7}
    scene.see(lag(0, 5, 9), lag(1, 5, 6))
    scene.turn(1.0)
    assert scene.shown("lag_records") == [
        'lag_records{partition="0"} 4.0',
        'lag_records{partition="1"} 1.0',
    ]
    scene.consumer.ends = {0: 12}
    scene.turn(1.0)
    assert 'lag_records{partition="0"} 7.0' in scene.shown("lag_records")


def test_what_retention_has_deleted_is_no_lag(scene: Scene) -> None:
    """It cannot be read any more."""
    scene.see(lag(0, 5, 9, first=8), lag(1, 5, 5))
    scene.turn(1.0)
    assert 'lag_records{partition="0"} 1.0' in scene.shown("lag_records")


def test_a_partition_stands_still_while_its_records_wait(scene: Scene) -> None:
    """Until its position moves; one of which none waits does not."""
    scene.see(lag(0, 5, 9), lag(1, 5, 5))
    assert scene.turn(5.0)[0] >= 4
    assert 1 not in scene.heartbeat.stalled_seconds
    assert scene.source.commit({0: 6}) == "done"
    assert scene.turn() == {0: 0.0}


def test_storing_excuses_what_is_in_hand_alone(scene: Scene) -> None:
    """The other partitions could be read meanwhile."""
    scene.see(lag(0, 5, 9), lag(1, 5, 9))
    batch = batch_of([b"{}"], partition=0)
    for _ in range(20):
        scene.heartbeat.wrote()
        scene.turn(TURN_SECONDS, batch)
    assert scene.heartbeat.stalled_seconds[0] == 0
    assert scene.heartbeat.stalled_seconds[1] >= 4


def test_a_batch_that_fills_excuses_what_is_in_hand(scene: Scene) -> None:
    """It waits for its time, and nothing is wrong with that."""
    scene.see(lag(0, 5, 9), lag(1, 5, 9))
    stalled = scene.turn(5.0, batch_of([b"{}"], partition=0), is_storing=False)
    assert (stalled[0], stalled[1] >= 4) == (0, True)


def test_a_hold_excuses_what_is_not_in_hand(scene: Scene) -> None:
    """They are not fetched while the batch before them is stored."""
    scene.see(lag(0, 5, 9), lag(1, 5, 9))
    scene.source.hold()
    stalled = scene.turn(5.0, batch_of([b"{}"], partition=0))
    assert stalled[0] >= 4
    assert stalled[1] == 0


def test_a_part_that_is_away_excuses_all(scene: Scene) -> None:
    """There is nothing to be done but to wait."""
    scene.see(lag(0, 5, 9), lag(1, 5, 9))
    scene.turn(5.0)
    scene.heartbeat.waited()
    assert scene.turn() == {0: 0.0, 1: 0.0}


def test_what_cannot_be_opened_is_excused(scene: Scene) -> None:
    """A restart would bring it no nearer."""
    scene.see(lag(0, 5, 9), lag(1, 5, 9))
    scene.source.failing[0] = Failure("_BAD_COMPRESSION")
    stalled = scene.turn(5.0)
    assert (stalled[0], stalled[1] >= 4) == (0, True)


def test_other_partitions_begin_anew(scene: Scene) -> None:
    """What stood still before a rebalance says nothing of what comes after it."""
    scene.see(lag(0, 5, 9), lag(1, 5, 9))
    scene.turn(5.0)
    scene.lag_monitor.take([0])
    assert scene.heartbeat.stalled_seconds == {}
    assert scene.turn() == {0: 0.0}


def test_a_complaint_has_kafka_asked(scene: Scene) -> None:
    """It is away when it does not answer; an answer ends the complaint, and is said."""
    scene.away = BrokerUnavailableError("away")
    scene.consumer.options["error_cb"](error("_ALL_BROKERS_DOWN"))
    scene.turn()
    eventually(lambda: scene.heartbeat.waits == 1, "a question to fail")
    assert scene.health.report()["kafka"] == {"state": "away", "reason": "away"}
    assert scene.source.complaint is not None
    scene.away = None
    scene.turn(CHECK_SECONDS)
    eventually(lambda: scene.source.complaint is None, "an answer")
    eventually(lambda: scene.health.report()["kafka"] == {"state": "ready"}, "that it is said")
    asked = scene.questions
    scene.turn(4 * CHECK_SECONDS)
    assert scene.questions == asked, "nobody complains"


def test_clickhouse_is_asked_while_nothing_is_stored(scene: Scene) -> None:
    """A batch on its way says more than a question."""
    scene.turn(2 * CHECK_SECONDS)
    assert scene.pings == 0
    scene.turn(2 * CHECK_SECONDS, is_storing=False)
    eventually(lambda: scene.pings > 0, "a ping")


def test_an_idle_worker_leaves_clickhouse_in_peace(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked four times a minute; more often while somebody wants to know, or it is away."""
    probes: list[float] = []
    monkeypatch.setattr(scene.inserter, "probe", lambda: probes.append(scene.clock.now_seconds))
    scene.health.note_ready("kafka")
    scene.health.note_ready("clickhouse")
    scene.turn(60.0, is_storing=False)
    assert len(probes) == 60 / IDLE_CHECK_SECONDS
    for _ in range(30):
        scene.health.note_asked()
        scene.turn(1.0, is_storing=False)
    assert len(probes) >= 4 + 30 / CHECK_SECONDS - 1, "expected a look for those who ask"
    assert min(after - before for before, after in pairwise(probes)) >= 2.0
    asked = len(probes)
    scene.health.note_away("clickhouse", BrokerUnavailableError("away"))
    scene.turn(20.0, is_storing=False)
    assert len(probes) - asked >= 20 / CHECK_SECONDS - 1, (
        "expected it to be seen soon that it is back"
    )


def test_the_time_to_loss_counts_from_the_oldest_record(scene: Scene) -> None:
    """Nothing waits: never. A record from long ago that waits: soon, by what retention leaves."""
    scene.topic.start()
    scene.topic.join()
    scene.see(lag(0, 5, 5), lag(1, 5, 5))
    scene.turn(1.0)
    assert scene.shown("time_to_loss_seconds") == ["time_to_loss_seconds +Inf"]
    old, _ = empty_batch()
    old.add([Record(b"{}", 0, 5, appended_ms=1)])
    scene.see(lag(0, 5, 9), lag(1, 5, 5))
    scene.turn(1.0, old)
    assert scene.shown("time_to_loss_seconds") == ["time_to_loss_seconds 0.0"]
