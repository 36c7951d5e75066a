"""A batch on its way: repeated until it is in, given up when told, said once."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from kafka_records import batch_of
from trailhouse.consumer.batch import Batch
from trailhouse.consumer.flight import Launcher
from trailhouse.consumer.health import Health
from trailhouse.consumer.metrics import WorkerMetrics
from trailhouse.consumer.writer import Stored
from trailhouse.schemas.errors import StorageRejectedError, StorageUnavailableError

DEADLINE_SECONDS = 10.0


class Writing:
    """Writes by calling *attempt* with the number of the attempt."""

    def __init__(self, attempt: Callable[[int], None]) -> None:
        self._attempt = attempt
        self.attempts = 0

    def write(self, batch: Batch) -> Stored:
        self.attempts += 1
        self._attempt(self.attempts)
        return Stored(len(batch), 0)


@contextmanager
def launcher(health: Health) -> Generator[Launcher]:
    """Return a launcher whose ClickHouse always answers."""
    made = Launcher(health, WorkerMetrics(), lambda: None)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    "error", [StorageUnavailableError("away"), StorageRejectedError("no", 60, "UNKNOWN_TABLE")]
)
def test_the_same_batch_is_written_again(error: Exception) -> None:
    """Whatever ClickHouse answers, the batch is repeated until it is in, and health is true meanwhile."""
    health = Health()
    seen: list[bool] = []

    def attempt(number: int) -> None:
        if number < 3:
            raise error
        seen.append(health.report()["clickhouse"] == {"state": "away", "reason": str(error)})

    writing = Writing(attempt)
    with launcher(health) as launch:
        flight = launch.launch(batch_of([b"x"]), writing)
        assert flight.wait(DEADLINE_SECONDS), "expected the batch to land"
        assert flight.outcome() == Stored(1, 0)
    assert writing.attempts == 3
    assert seen == [True]
    assert health.report()["clickhouse"] == {"state": "ready"}


def test_given_up_after_the_attempt_that_runs() -> None:
    """A batch that is given up ends with no outcome after a failure; it is not cut off in between."""
    running, go_on = threading.Event(), threading.Event()

    def attempt(_number: int) -> None:
        running.set()
        go_on.wait(DEADLINE_SECONDS)
        raise StorageUnavailableError("away")

    with launcher(Health()) as launch:
        flight = launch.launch(batch_of([b"x"]), Writing(attempt))
        assert running.wait(DEADLINE_SECONDS)
        flight.give_up()
        assert not flight.wait(0.05), "expected the attempt to go on"
        go_on.set()
        assert flight.wait(DEADLINE_SECONDS)
        assert flight.outcome() is None


def test_a_mistake_of_the_program_reaches_the_caller() -> None:
    """Any other error is not repeated: it is the outcome."""

    def attempt(_number: int) -> None:
        raise ZeroDivisionError

    with launcher(Health()) as launch:
        flight = launch.launch(batch_of([b"x"]), Writing(attempt))
        assert flight.wait(DEADLINE_SECONDS)
        with pytest.raises(ZeroDivisionError):
            flight.outcome()
