"""The breaker's rule, what /health says and when the log says it, and the table of metrics."""

import logging

import pytest
import structlog

from kafka_records import batch_of
from trailhouse.consumer import WorkerConfig
from trailhouse.consumer.batch.breaker import check_share
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import METRICS, PREFIX, WorkerMetrics
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import (
    BreakerTrippedError,
    BrokerRejectedError,
    StorageUnavailableError,
)

GOOD = AuditEvent(type="a", session_id="s").record


@pytest.mark.parametrize(
    ("good", "bad", "stops"),
    [(0, 10, False), (0, 11, True), (11, 11, False), (10, 11, True), (100, 50, False)],
)
def test_breaker_needs_share_and_number(good: int, bad: int, stops: bool) -> None:
    """It stops when bad records are more than their share and more than their number."""
    config = WorkerConfig(max_bad_share=0.5, max_bad_rows=10)
    batch = batch_of([GOOD] * good + [b"bad"] * bad)
    if stops:
        with pytest.raises(
            BreakerTrippedError, match=rf"{bad} of {good + bad} records .*nothing is lost"
        ):
            check_share(batch, len(batch.bad), config)
    else:
        check_share(batch, len(batch.bad), config)


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


def test_every_metric_exists_from_the_start() -> None:
    """Each metric of the table has its help and its series before anything happened, but those of partitions."""
    text = WorkerMetrics().text(is_ready=False).decode()
    samples = {
        "warnings": f'{PREFIX}warnings{{kind="open_transaction"}} 0.0',
        "time_to_loss_seconds": f"{PREFIX}time_to_loss_seconds NaN",
        "incidents_total": f'{PREFIX}incidents_total{{kind="expired"}} 0.0',
    }
    for metric in METRICS:
        if metric.label == "partition":
            assert f"{PREFIX}{metric.name}{{" not in text
            samples[metric.name] = ""
        assert f"# HELP {PREFIX}{metric.name} {metric.help}" in text
        suffix = "_count" if metric.kind == "histogram" else ""
        assert samples.get(metric.name, f"{PREFIX}{metric.name}{suffix} 0.0") in text, metric.name


def test_lag_of_a_lost_partition_is_forgotten() -> None:
    """After a rebalance only the partitions that are ours have a lag."""
    metrics = WorkerMetrics()
    metrics.lag({0: 5, 1: 6})
    metrics.assigned(1)
    metrics.lag({1: 7})
    text = metrics.text(is_ready=True).decode()
    assert 'lag_records{partition="1"} 7.0' in text
    assert 'partition="0"' not in text
