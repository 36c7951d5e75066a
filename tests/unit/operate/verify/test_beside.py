"""Duties done beside each other: what comes back, what is raised, and how a run is ended."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial

import pytest

from trailhouse.operate.verify import beside as module
from trailhouse.operate.verify.beside import EndableClickHouse, beside
from trailhouse.operate.verify.once import Once
from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.store import ClickHouseConfig

DEADLINE_SECONDS = 30.0


def never() -> None:
    """Stand for what ends a run where nothing does."""
    raise AssertionError("nobody has interrupted it")


def test_what_each_step_returns_comes_back_in_their_order() -> None:
    """Whichever ends first."""
    done = [threading.Event() for _ in range(6)]

    def step(number: int) -> int:
        if number % 2 == 0:  # it ends after the one behind it
            assert done[number + 1].wait(DEADLINE_SECONDS)
        done[number].set()
        return number

    assert beside([partial(step, number) for number in range(6)], never, 2) == list(range(6))
    assert beside([], never) == []


def test_no_more_than_so_many_steps_are_under_way() -> None:
    """Each holds a block in memory."""
    guard, under_way, most = threading.Lock(), 0, 0
    both = threading.Barrier(2)

    def step() -> None:
        nonlocal under_way, most
        with guard:
            under_way += 1
            most = max(most, under_way)
        both.wait(DEADLINE_SECONDS)
        with guard:
            under_way -= 1

    beside([step] * 8, never, 2)
    assert most == 2


def test_what_a_step_raises_is_raised_and_no_other_is_begun() -> None:
    """A mistake of ours must not be taken for an intact log."""
    begun: list[int] = []

    def step(number: int) -> None:
        begun.append(number)
        raise LookupError("of ours")

    with pytest.raises(LookupError, match="of ours"):
        beside([partial(step, number) for number in range(5)], never, 1)
    assert begun == [0]


def test_ctrl_c_ends_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are told, waited for as long as they take to give back what they hold, and none is begun after."""
    monkeypatch.setattr(module, "END_SECONDS", DEADLINE_SECONDS)
    told, cleaned = threading.Event(), threading.Event()
    begun: list[int] = []

    def step(number: int) -> None:
        begun.append(number)
        os.kill(os.getpid(), signal.SIGINT)  # as a terminal does: to the process
        assert told.wait(DEADLINE_SECONDS)
        cleaned.set()

    steps: list[Callable[[], None]] = [partial(step, number) for number in range(3)]
    with pytest.raises(KeyboardInterrupt):
        beside(steps, told.set, 1)
    assert begun == [0]
    assert cleaned.is_set()


def test_a_run_that_was_ended_reads_no_more() -> None:
    """The duties under way end by that error; what drops a database again may still be told to ClickHouse."""
    clickhouse = EndableClickHouse(ClickHouseConfig(url="http://127.0.0.1:9"))
    clickhouse.end()
    with pytest.raises(StorageUnavailableError, match="the run was ended"):
        clickhouse.query("SELECT 1")
    with pytest.raises(StorageUnavailableError, match="the run was ended"):
        next(clickhouse.stream("SELECT 1", format="Native"))
    with pytest.raises(StorageUnavailableError) as error:
        clickhouse.command("DROP DATABASE made_to_compare")
    assert "the run was ended" not in str(error.value)


class Shared:
    """What several duties ask for."""

    def __init__(self) -> None:
        self.asked = threading.Barrier(3)
        self.made = 0

    @Once
    def value(self) -> int:
        """How often it was made."""
        self.made += 1
        return self.made

    @Once
    def failing(self) -> int:
        """What cannot be made."""
        self.made += 1
        raise LookupError(f"at attempt {self.made}")


def test_what_several_ask_for_at_a_time_is_worked_out_once() -> None:
    """The second would take each row away again from sums that the first has emptied."""
    shared = Shared()

    def ask() -> int:
        shared.asked.wait(DEADLINE_SECONDS)
        return shared.value

    assert beside([ask] * 3, never, 3) == [1, 1, 1]
    assert shared.value == 1
    assert isinstance(Shared.value, Once)
    assert Shared().value == 1


def test_what_failed_half_way_is_not_begun_anew() -> None:
    """Each who asks is told the same: sums that a first attempt has half emptied are held against nothing."""
    shared = Shared()
    for _ in range(2):
        with pytest.raises(LookupError, match="at attempt 1"):
            _ = shared.failing
