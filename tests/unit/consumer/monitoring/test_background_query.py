"""Questions that are asked in a thread: when they are asked again, what is told, and how they end."""

import threading
from collections.abc import Callable

import pytest

from trailhouse.consumer.monitoring.background_query import (
    BackgroundQuery,
    SkipsWhileIdle,
    ask_until_answered,
)
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.schemas.backoff import Backoff
from trailhouse.schemas.errors import (
    IntegrityError,
    StorageUnavailableError,
    TrailhouseError,
)
from waiting import eventually

DEADLINE_SECONDS = 30.0


def in_turn(*outcomes: int | Exception) -> Callable[[], int]:
    """Return a question with these outcomes; the last one stays."""
    left = list(outcomes)

    def ask() -> int:
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return ask


class Stuck:
    """A question that is not answered before `release`."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_asked = threading.Event()
        self.release = threading.Event()

    def __call__(self) -> int:
        self.asked += 1
        self.is_asked.set()
        assert self.release.wait(DEADLINE_SECONDS)
        return 1


def test_what_is_away_is_asked_again_and_health_says_so() -> None:
    """A question is asked until there is an answer; meanwhile the part is said to be away."""
    health, heartbeat = Health(), Heartbeat()
    query = ask_until_answered(in_turn(StorageUnavailableError("away"), 7), health, heartbeat)
    assert query.wait(DEADLINE_SECONDS)
    assert query.answer() == 7
    assert health.report()["clickhouse"] == {"state": "away", "reason": "away"}
    assert heartbeat.waits == 1


def test_a_final_error_is_raised_where_the_answer_is_asked_for() -> None:
    """Whoever waits for the answer meets what ended the question."""
    query = ask_until_answered(in_turn(IntegrityError("gone")), Health(), Heartbeat())
    assert query.wait(DEADLINE_SECONDS)
    with pytest.raises(IntegrityError, match="gone"):
        query.answer()


def test_the_caller_is_never_held_and_one_question_is_open_at_a_time() -> None:
    """However slow the answer, `start` and `stop` come back, and no second question is asked meanwhile."""
    stuck = Stuck()
    query = BackgroundQuery(stuck, name="test")
    query.start()
    assert stuck.is_asked.wait(DEADLINE_SECONDS)
    query.start()
    assert query.latest() is None
    assert not query.is_answered
    stuck.release.set()
    query.join()
    assert (stuck.asked, query.latest()) == (1, 1)
    query.start()
    query.join()
    assert stuck.asked == 2


def test_after_the_end_nothing_is_told() -> None:
    """An answer that comes after `stop` is told to nobody, and no question follows."""
    stuck, told = Stuck(), list[int]()
    query = BackgroundQuery(stuck, name="test", every_seconds=0.0, on_answer=told.append)
    query.start()
    assert stuck.is_asked.wait(DEADLINE_SECONDS)
    query.stop()
    stuck.release.set()
    query.join()
    assert (stuck.asked, told) == (1, [])


def test_a_question_at_an_interval_outlasts_failures() -> None:
    """Each answer and each failure is told, and the last answer stays."""
    answers, failures = list[int](), list[TrailhouseError]()
    query = BackgroundQuery(
        in_turn(1, StorageUnavailableError("away"), 2),
        name="test",
        every_seconds=0.001,
        on_answer=answers.append,
        on_failure=failures.append,
    )
    query.start()
    eventually(lambda: 2 in answers, "the answer after the failure")
    query.stop()
    query.join()
    assert (answers[:2], len(failures), query.latest()) == ([1, 2], 1, 2)


def test_a_question_that_is_not_needed_is_put_off() -> None:
    """From turn to turn; the first is asked in any case."""
    asked, turns = list[int](), list[bool]()

    def is_needed() -> bool:
        turns.append(len(turns) == 4)
        return turns[-1]

    query = BackgroundQuery(
        lambda: asked.append(len(turns)), name="test", every_seconds=0.001, is_needed=is_needed
    )
    query.start()
    eventually(lambda: len(turns) > 8, "some turns")
    query.stop()
    query.join()
    assert asked == [0, 5]


def test_while_nothing_moves_each_third_question_is_asked() -> None:
    """What has moved is asked about at once."""
    seen = [7]
    skips = SkipsWhileIdle(lambda: seen[0], 3)
    assert [skips() for _ in range(7)] == [True, False, False, True, False, False, True]
    seen[0] = 8
    assert [skips() for _ in range(3)] == [True, False, False]


def test_an_old_answer_is_none() -> None:
    """What was seen too long ago is not relied on."""
    now = [100.0]
    query = BackgroundQuery(lambda: 1, name="test", max_age_seconds=10.0, clock=lambda: now[0])
    query.start()
    query.join()
    now[0] = 109.0
    assert query.latest() == 1
    now[0] = 110.0
    assert query.latest() is None


def test_a_dropped_question_ends_its_wait() -> None:
    """A question that waits to be asked again ends at once when nobody wants the answer any more."""
    failed = threading.Event()
    query = BackgroundQuery(
        in_turn(StorageUnavailableError("away")),
        name="test",
        retry=Backoff(DEADLINE_SECONDS * 100, DEADLINE_SECONDS * 100),
        on_failure=lambda _: failed.set(),
    )
    query.start()
    assert failed.wait(DEADLINE_SECONDS)
    query.stop()
    assert query.wait(DEADLINE_SECONDS)
    with pytest.raises(LookupError):
        query.answer()
