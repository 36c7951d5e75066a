"""What /health says, and when the log says it."""

import logging

import structlog

from trailhouse.consumer.monitoring.health import Health
from trailhouse.schemas.errors import (
    BrokerRejectedError,
    StorageUnavailableError,
)


def test_health_is_ready_when_both_parts_are() -> None:
    """One part that is away is enough for not ready, and the report names it."""
    health = Health()
    states = [health.is_ready]
    health.note_ready("kafka")
    health.note_away("clickhouse", StorageUnavailableError("gone"))
    states.append(health.is_ready)
    assert health.report() == {
        "status": "not ready",
        "kafka": {"state": "ready"},
        "clickhouse": {"state": "away", "reason": "gone"},
        "warnings": {},
    }
    health.note_ready("clickhouse")
    states.append(health.is_ready)
    assert states == [False, False, True]
    assert health.report()["status"] == "ready"


def test_health_says_how_inserts_go() -> None:
    """Once something was stored: gathered by the server or not, and why; it degrades nothing."""
    health = Health()
    assert "inserts" not in health.report()
    health.note_ready("kafka")
    health.note_ready("clickhouse")
    health.note_inserts("gathered", "about 12 workers share the topic")
    report = health.report()
    assert report["inserts"] == {"mode": "gathered", "reason": "about 12 workers share the topic"}
    assert report["status"] == "ready"


def test_each_state_is_said_once() -> None:
    """The log has one line for each change of a part's state, however often it is noted."""
    with structlog.testing.capture_logs() as lines:
        health = Health()
        for _ in range(3):
            health.note_away("kafka", BrokerRejectedError("no topic", "UNKNOWN_TOPIC_OR_PART"))
        health.note_away("kafka", BrokerRejectedError("no rights", "TOPIC_AUTHORIZATION_FAILED"))
        for _ in range(3):
            health.note_ready("kafka")
        health.note_waiting("kafka", "joining")
    assert [(line["log_level"], line.get("reason")) for line in lines] == [
        ("warning", "no topic"),
        ("warning", "no rights"),
        ("info", None),
    ]
    assert logging.getLogger("trailhouse.worker").level == logging.NOTSET


def test_a_warning_degrades_and_is_said_once() -> None:
    """What is wrong around a ready worker is in its report and its log until it is over, and leaves it ready."""
    health = Health()
    health.note_ready("kafka")
    health.note_ready("clickhouse")
    with structlog.testing.capture_logs() as lines:
        for seconds in (10, 20):
            health.warn("open_transaction", f"partition 1, for {seconds} s")
        assert (health.is_ready, health.report()["status"]) == (True, "degraded")
        assert health.report()["warnings"] == {"open_transaction": "partition 1, for 20 s"}
        for _ in range(2):
            health.warn("open_transaction", None)
    assert health.report()["status"] == "ready"
    assert [line["log_level"] for line in lines] == ["warning", "info"]
