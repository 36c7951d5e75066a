"""A commit that does not come back: Kafka's silence is waited for, and a hanging commit is not excused."""

import threading

import pytest

from kafka_records import Clock
from trailhouse.consumer.membership import commit_monitor as module
from trailhouse.consumer.membership.commit_monitor import OVERDUE_SECONDS, CommitMonitor
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.schemas.errors import BrokerUnavailableError, TrailhouseError
from waiting import eventually


class Scene:
    """A watch whose questions follow each other at once, and what it said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "CHECK_SECONDS", 0.001)
        self.clock = Clock()
        self.heartbeat = Heartbeat()
        self.said: list[TrailhouseError | None] = []
        self.asked = 0
        self.error: TrailhouseError | None = None

    def watch(self) -> CommitMonitor:
        """Return a watch over one commit."""
        return CommitMonitor(self._ask, self.said.append, self.heartbeat, self.clock)

    def _ask(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error

    def wait_for_questions(self, count: int = 2) -> None:
        """Wait until Kafka was asked some more, and the answer to all but the last was taken in."""
        wanted = self.asked + count
        eventually(lambda: self.asked >= wanted, "questions to Kafka")


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Return a scene in which Kafka answers."""
    return Scene(monkeypatch)


def test_a_silent_kafka_is_waited_for(scene: Scene) -> None:
    """It is said to be away, and the watchdog gets its signs of life."""
    scene.error = BrokerUnavailableError("away")
    with scene.watch():
        scene.wait_for_questions()
    assert set(scene.said) == {scene.error}
    assert scene.heartbeat.turns > 0
    assert scene.heartbeat.waits > 0


def test_a_commit_that_hangs_beside_a_kafka_that_answers(scene: Scene) -> None:
    """It is said after a while, and the watchdog hears nothing, so that it may end the process."""
    with scene.watch():
        scene.wait_for_questions()
        assert scene.said == [], "it is not overdue yet"
        scene.clock.now_seconds += OVERDUE_SECONDS
        scene.wait_for_questions()
    assert set(scene.said) == {None}
    assert (scene.heartbeat.turns, scene.heartbeat.waits) == (0, 0)


def test_nothing_is_said_after_the_commit(scene: Scene) -> None:
    """Not even the answer to a question that was open: the outcome is the last word."""
    scene.error = BrokerUnavailableError("away")
    with scene.watch():
        scene.wait_for_questions()
    before = len(scene.said)
    assert all(each.name != "trailhouse-commit" for each in threading.enumerate())
    assert len(scene.said) == before


def test_a_quick_commit_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first question waits a while, since most commits are done before it."""
    scene = Scene(monkeypatch)
    monkeypatch.setattr(module, "CHECK_SECONDS", 3_600.0)
    with scene.watch():
        pass
    assert scene.asked == 0
