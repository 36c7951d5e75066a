"""A batch on its way: repeated until it is in, given up when told, said once."""

import gc
import threading
import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import pytest

from kafka_records import batch_of
from trailhouse.consumer.batch import inflight as inflight_module
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.inflight import BatchInserter
from trailhouse.consumer.batch.uncommitted import UncommittedBatches
from trailhouse.consumer.batch.writer import Stored
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.schemas.errors import (
    StorageOverloadedError,
    StorageRejectedError,
    StorageUnavailableError,
)

DEADLINE_SECONDS = 120.0


class Writing:
    """Stores by calling *attempt* with the number of the attempt."""

    def __init__(self, attempt: Callable[[int], None]) -> None:
        self._attempt = attempt
        self.attempts = 0

    def store(self, batch: Batch) -> Stored:
        self.attempts += 1
        self._attempt(self.attempts)
        return Stored(len(batch))

    def enter(self, batches: Sequence[Batch], stored: Sequence[Stored]) -> None:
        """Nothing is looked at."""


def one_batch() -> UncommittedBatches:
    """Return what is to be committed: one batch of one record."""
    made = UncommittedBatches(Limits(1_000, 1_000_000), lambda: 0.0)
    made.add(batch_of([b"x"]))
    return made


def fail_before(last: int, number: int) -> None:
    """Fail as a ClickHouse that is away does, until attempt *last*."""
    if number < last:
        raise StorageUnavailableError("away")


@contextmanager
def inserter(health: Health) -> Generator[BatchInserter]:
    """Return an inserter whose ClickHouse always answers."""
    made = BatchInserter(health, WorkerMetrics(), lambda: None)
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
    with inserter(health) as insert:
        batches = one_batch()
        inflight = insert.insert(batches, writing, has_ledger=True)
        assert inflight.wait(DEADLINE_SECONDS), "expected the batch to land"
        assert inflight.outcome() is not None
    assert batches.stored == [Stored(1)]
    assert writing.attempts == 3
    assert seen == [True]
    assert health.report()["clickhouse"] == {"state": "ready"}


def test_what_failed_is_let_go_before_the_next_attempt() -> None:
    """An error that holds itself, as those of the client do, keeps no batch's bytes through an outage."""
    held: list[weakref.ref[threading.Event]] = []
    still_held: list[int] = []

    def attempt(number: int) -> None:
        still_held.append(sum(each() is not None for each in held))
        body = threading.Event()  # stands for the bytes: anything that can be referred to weakly
        held.append(weakref.ref(body))
        try:
            fail_before(3, number)
        except StorageUnavailableError as error:
            itself = error  # the error holds its traceback, and that this frame
            raise itself from None

    was_collecting = gc.isenabled()
    gc.disable()
    try:
        with inserter(Health()) as insert:
            assert insert.insert(one_batch(), Writing(attempt), has_ledger=True).wait(
                DEADLINE_SECONDS
            )
    finally:
        if was_collecting:
            gc.enable()
    assert still_held == [0, 0, 0], "expected each failed attempt to be let go before the next"


def test_given_up_after_the_attempt_that_runs() -> None:
    """A batch that is given up ends with no outcome after a failure; it is not cut off in between."""
    running, go_on = threading.Event(), threading.Event()

    def attempt(_number: int) -> None:
        running.set()
        go_on.wait(DEADLINE_SECONDS)
        raise StorageUnavailableError("away")

    with inserter(Health()) as insert:
        inflight = insert.insert(one_batch(), Writing(attempt), has_ledger=True)
        assert running.wait(DEADLINE_SECONDS)
        inflight.give_up()
        assert not inflight.wait(0.05), "expected the attempt to go on"
        go_on.set()
        assert inflight.wait(DEADLINE_SECONDS)
        assert inflight.outcome() is None


def test_a_refusal_for_load_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored is not stored again when only the ledger's insert is refused: that would be load upon load."""
    monkeypatch.setattr(inflight_module, "FIRST_WAIT_OVERLOADED_SECONDS", 0.01)
    entered: list[int] = []

    class Refusing(Writing):
        def enter(self, batches: Sequence[Batch], stored: Sequence[Stored]) -> None:
            entered.append(len(stored))
            if len(entered) < 3:
                raise StorageOverloadedError("too many parts")

    writing = Refusing(lambda _number: None)
    with inserter(Health()) as insert:
        assert insert.insert(one_batch(), writing, has_ledger=True).wait(DEADLINE_SECONDS)
        assert (writing.attempts, entered) == (1, [1, 1, 1])
        assert insert.outages == 0
        assert [failed.is_overload for failed in insert.failures] == [True, True]


def test_how_long_a_failed_attempt_took_is_kept() -> None:
    """A timeout is an insert that was slow, for whoever sets the pace."""
    now = [0.0]

    def attempt(number: int) -> None:
        now[0] += 20.0
        fail_before(2, number)

    made = BatchInserter(Health(), WorkerMetrics(), lambda: None, lambda: now[0])
    try:
        assert made.insert(one_batch(), Writing(attempt), has_ledger=False).wait(DEADLINE_SECONDS)
        assert list(made.failures) == [(20.0, False)]
        assert made.outages == 1
    finally:
        made.close()


def test_the_attempts_of_a_refused_batch_are_no_load_of_their_own() -> None:
    """Sixteen workers that are refused for long make fewer than two attempts a second."""
    assert 16 / inflight_module.LONGEST_WAIT_OVERLOADED_SECONDS < 2


def test_a_mistake_of_the_program_reaches_the_caller() -> None:
    """Any other error is not repeated: it is the outcome."""

    def attempt(_number: int) -> None:
        raise ZeroDivisionError

    with inserter(Health()) as insert:
        inflight = insert.insert(one_batch(), Writing(attempt), has_ledger=True)
        assert inflight.wait(DEADLINE_SECONDS)
        with pytest.raises(ZeroDivisionError):
            inflight.outcome()
