"""The watchdog: what is a standstill, and what is not."""

import threading

from trailhouse.consumer.progress import Progress
from trailhouse.consumer.watchdog import Stillness, Watchdog


def test_the_signs_add_up_apart() -> None:
    """A loop that turns and moves nothing is as still as one that hangs."""
    progress = Progress()
    stillness = Stillness(progress, tick_seconds=1.0)
    seen: list[tuple[float, float]] = []
    for sign in (progress.turned, progress.turned, progress.moved, progress.turned):
        sign()
        seen.append(stillness.seconds_after(1.0))
    assert seen == [(0.0, 1.0), (0.0, 2.0), (1.0, 0.0), (0.0, 1.0)]


def test_a_process_that_was_stopped_gets_time() -> None:
    """An hour in which the whole process was stopped is not an hour of standing still."""
    stillness = Stillness(Progress(), tick_seconds=1.0)
    assert stillness.seconds_after(3_600.0) == (2.0, 2.0)


def reasons_of(progress: Progress, turns: bool, attempt_seconds: float = 0.0) -> list[str]:
    """Return why a watchdog of 0.3 s bit within a second, while the loop turns or not."""
    reasons: list[str] = []
    bitten = threading.Event()

    def bite(reason: str) -> None:
        reasons.append(reason)
        bitten.set()

    dog = Watchdog(progress, 0.3, attempt_seconds, bite)
    dog.start()
    for _ in range(50):
        if turns:
            progress.turned()
        if bitten.wait(0.02):
            break
    dog.stop()
    return reasons


def test_it_bites_a_thread_that_hangs() -> None:
    """After its time without a turn there is one reason, however long a statement may take."""
    (reason,) = reasons_of(Progress(), turns=False, attempt_seconds=60.0)
    assert "has hung" in reason


def test_it_bites_a_loop_that_moves_nothing() -> None:
    """A loop that turns in vain is bitten too, but never while a statement still has time."""
    (reason,) = reasons_of(Progress(), turns=True)
    assert "no progress" in reason
    assert reasons_of(Progress(), turns=True, attempt_seconds=60.0) == []


def test_zero_seconds_is_never() -> None:
    """Switched off, no thread is made."""
    before = threading.active_count()
    Watchdog(Progress(), 0.0).start()
    assert threading.active_count() == before
