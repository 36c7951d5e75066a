"""Whether the topic is still the one that it was, and set as it must be."""

import pytest

from fake_kafka import ORIGIN, FakeIdentity
from kafka_records import Clock
from trailhouse.consumer.membership import topic_check
from trailhouse.consumer.membership.topic_check import (
    SETTINGS_EVERY_SECONDS,
    TopicCheck,
    TopicState,
)
from trailhouse.consumer.monitoring.health import Health
from trailhouse.schemas.errors import BrokerUnavailableError
from trailhouse.schemas.kafka_config import KafkaConfig
from waiting import eventually


class Scene:
    """A check of a topic that is set as `init` makes it."""

    def __init__(self) -> None:
        self.kafka, self.health, self.clock = FakeIdentity(), Health(), Clock()
        assert self.kafka.options is not None
        self.kafka.options["retention.ms"] = "600000"
        self.check = TopicCheck(KafkaConfig(), self.kafka.ask, ORIGIN, self.health, self.clock)


@pytest.mark.parametrize(("kept_ms", "seconds"), [("600000", 600.0), ("-1", float("inf"))])
def test_how_long_records_are_kept(kept_ms: str, seconds: float) -> None:
    """In seconds; without a limit for ever."""
    scene = Scene()
    assert scene.kafka.options is not None
    scene.kafka.options["retention.ms"] = kept_ms
    assert scene.check.look() == TopicState(False, seconds)


def test_another_topic_of_this_name_is_seen_at_each_look() -> None:
    """By its id, and a cluster's likewise; its settings are not ours."""
    scene = Scene()
    scene.check.look()
    for other in (ORIGIN._replace(topic_id="other"), ORIGIN._replace(cluster="other")):
        scene.kafka.who = other
        assert scene.check.look() == TopicState(True, 600.0)


def test_settings_are_looked_at_now_and_then() -> None:
    """At the first look and once a minute; what is wrong is warned of until it is mended."""
    scene = Scene()
    options = scene.kafka.options
    assert options is not None
    scene.check.look()
    sound = scene.health.warnings.get("topic_settings", "")
    options["cleanup.policy"] = "compact"
    scene.check.look()
    assert scene.health.warnings.get("topic_settings", "") == sound, "not asked again yet"
    scene.clock.now_seconds += SETTINGS_EVERY_SECONDS
    scene.check.look()
    assert "cleanup.policy is compact" in scene.health.warnings["topic_settings"]
    options["cleanup.policy"] = "delete"
    scene.clock.now_seconds += SETTINGS_EVERY_SECONDS
    scene.check.look()
    assert scene.health.warnings.get("topic_settings", "") == sound


def test_a_topic_that_is_gone_says_nothing_of_its_settings() -> None:
    """What was known stays known."""
    scene = Scene()
    scene.kafka.options = None
    assert scene.check.look() == TopicState(False, None)


def test_each_look_is_a_new_connection_and_may_fail() -> None:
    """One from before an outage might not answer for a minute."""
    scene = Scene()
    scene.check.look()
    scene.check.look()
    assert scene.kafka.connections == 2
    scene.kafka.raising = BrokerUnavailableError("away")
    with pytest.raises(BrokerUnavailableError):
        scene.check.look()


def test_it_is_asked_less_often_while_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sixth time."""
    monkeypatch.setattr(topic_check, "FIRST_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(topic_check, "ID_EVERY_SECONDS", 0.001)
    scene, turns = Scene(), list[int]()
    query = scene.check.in_background(lambda: turns.append(0))
    query.start()
    eventually(lambda: len(turns) >= 60, "some turns")
    query.stop()
    query.join()
    assert 10 <= scene.kafka.connections <= 2 + len(turns) / topic_check.IDLE_TURNS


def test_in_the_background_a_failure_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it said on /health: whoever reads the topic says it."""
    monkeypatch.setattr(topic_check, "FIRST_AFTER_SECONDS", 0.0)
    scene = Scene()
    before = scene.health.report()
    scene.kafka.raising = BrokerUnavailableError("away")
    query = scene.check.in_background()
    query.start()
    eventually(lambda: scene.kafka.connections > 0, "a question")
    query.stop()
    query.join()
    assert query.latest() is None
    assert scene.health.report() == before
