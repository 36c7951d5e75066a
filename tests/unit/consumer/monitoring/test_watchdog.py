"""The watchdog: what is a standstill, and what is not."""

import threading

from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.consumer.monitoring.partition_stalls import PartitionStalls
from trailhouse.consumer.monitoring.watchdog import StallTimer, Watchdog
from waiting import eventually


def test_stillness_ends_with_a_turn() -> None:
    """What no turn came for adds up, and a turn ends it."""
    heartbeat = Heartbeat()
    stall_timer = StallTimer(heartbeat, tick_seconds=1.0)
    seen = [stall_timer.seconds_after(1.0), stall_timer.seconds_after(1.0)]
    heartbeat.turned()
    seen.append(stall_timer.seconds_after(1.0))
    assert seen == [1.0, 2.0, 0.0]


def test_a_process_that_was_stopped_gets_time() -> None:
    """An hour in which the whole process was stopped is not an hour of standing still."""
    stall_timer = StallTimer(Heartbeat(), tick_seconds=1.0)
    assert stall_timer.seconds_after(3_600.0) == 2.0


LOOKS = 60
"""Three times as many as a watchdog takes until it acts."""


class Turning(Heartbeat):
    """An ingest thread that has turned whenever it is looked at, however busy the machine is."""

    looks = 0

    @property
    def turns(self) -> int:
        self.looks += 1
        return self.looks

    @turns.setter
    def turns(self, _turns: int) -> None:
        """Take the first value that `Heartbeat` gives it for what it is."""


def reason_of(heartbeat: Heartbeat, attempt_seconds: float = 0.0) -> str:
    """Return why a watchdog of 0.3 s acts."""
    reasons: list[str] = []
    dog = Watchdog(heartbeat, 0.3, attempt_seconds, reasons.append)
    dog.start()
    eventually(lambda: reasons, "a bite")
    dog.stop()
    return reasons[0]


def test_it_ends_a_thread_that_hangs() -> None:
    """After its time without a turn there is one reason, however long a statement may take."""
    assert "has hung" in reason_of(Heartbeat(), attempt_seconds=60.0)


def test_it_ends_the_worker_when_one_partition_stands_still() -> None:
    """A loop that turns is bitten for its worst partition, but never while a statement still has time."""
    heartbeat = Turning()
    heartbeat.stalled_seconds = {0: 0.0, 7: 0.5, 8: 0.4}
    assert "no progress of partition 7" in reason_of(heartbeat)
    reasons: list[str] = []
    dog = Watchdog(heartbeat, 0.3, 60.0, reasons.append)
    seen = heartbeat.looks
    dog.start()
    eventually(lambda: heartbeat.looks > seen + LOOKS, f"{LOOKS} looks")
    dog.stop()
    assert reasons == []


def test_answers_and_other_partitions_are_no_progress() -> None:
    """A partition adds up while its position stays, whatever moves beside it; a new position ends it."""
    stalls = PartitionStalls(10.0)
    seen = [
        stalls.seconds(0.0, {0: 5, 1: 5}),
        stalls.seconds(4.0, {0: 5, 1: 6}),
        stalls.seconds(8.0, {0: 5, 1: 7}),
        stalls.seconds(9.0, {0: 6, 1: 7}),
    ]
    assert seen == [{0: 0.0, 1: 0.0}, {0: 4.0, 1: 0.0}, {0: 8.0, 1: 0.0}, {0: 0.0, 1: 1.0}]


def test_what_does_not_wait_or_is_excused_does_not_stall() -> None:
    """An excuse, an empty partition, and other partitions each begin anew; a long step counts once."""
    stalls = PartitionStalls(10.0)
    stalls.seconds(0.0, {0: 5})
    assert stalls.seconds(3_600.0, {0: 5}) == {0: 10.0}
    assert stalls.seconds(3_601.0, {0: 5}, excused={0}) == {0: 0.0}
    assert stalls.seconds(3_602.0, {0: 5}) == {0: 1.0}
    assert stalls.seconds(3_603.0, {}) == {}
    assert stalls.seconds(3_604.0, {0: 5}) == {0: 0.0}
    stalls.seconds(3_605.0, {0: 5})
    stalls.forget()
    assert stalls.seconds(3_606.0, {0: 5}) == {0: 0.0}


def test_zero_seconds_is_never() -> None:
    """Switched off, no thread is made."""
    before = threading.active_count()
    Watchdog(Heartbeat(), 0.0).start()
    assert threading.active_count() == before
