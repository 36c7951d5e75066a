"""The question after missing events: who asks, how often, and what a failure does."""

import threading

import structlog

from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.monitoring.missing_events import MissingEvents
from trailhouse.schemas.errors import StorageUnavailableError
from waiting import eventually


def series(metrics: WorkerMetrics) -> str:
    """Return the line of the metric."""
    lines = metrics.text(is_ready=True).decode().splitlines()
    return next(line for line in lines if line.startswith("trailhouse_worker_missing_events"))


def test_the_answer_is_a_metric_and_a_failure_is_not_the_end() -> None:
    """A ClickHouse that is away is asked again; the answer is shown, and forgotten when not ours."""
    metrics = WorkerMetrics()
    answers = [0, None, 3]
    ours = threading.Event()
    ours.set()

    def ask() -> int:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise StorageUnavailableError("away")
        return answer

    with structlog.testing.capture_logs() as lines:
        watch = MissingEvents(ask, metrics).in_background(ours.is_set, 0.01)
        watch.start()
        eventually(lambda: series(metrics).endswith(" 3.0"), "three missing events")
        ours.clear()
        eventually(lambda: series(metrics).endswith(" 0.0"), "no word about other workers' events")
        watch.stop()
        watch.join()
    assert [line["log_level"] for line in lines] == ["warning", "error"]
