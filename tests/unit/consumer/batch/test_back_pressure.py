"""What ClickHouse bears: asked while something is stored, told to the pace, and said before it is too late."""

import threading
from collections import deque
from collections.abc import Callable

import pytest
import structlog

from kafka_records import Clock
from trailhouse.consumer.batch.back_pressure import (
    LONGEST_LOOK_SECONDS,
    TELL_EVERY_SECONDS,
    BackPressure,
)
from trailhouse.consumer.batch.inflight import FailedAttempt
from trailhouse.consumer.batch.insert_pace import REMEMBERED_SECONDS, InsertPace
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import PREFIX, WorkerMetrics
from trailhouse.schemas.errors import StorageRejectedError, StorageUnavailableError
from trailhouse.store.parts import NO_PARTS, FullestTable
from waiting import eventually

NEAR = FullestTable("event_log", 800, 1_000)
FAR = FullestTable("event_log", 10, 1_000)


class Scene:
    """A pace under pressure, and what is shown of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.health, self.metrics = Health(), WorkerMetrics()
        self.pace = InsertPace(1.0, self.clock)
        self.failures: deque[FailedAttempt] = deque()
        self.asked = 0
        self.answer: Callable[[], FullestTable] = lambda: NO_PARTS
        self.pressure = BackPressure(
            self.pace, self._ask, self.failures, self.health, self.metrics, self.clock
        )

    def _ask(self) -> FullestTable:
        self.asked += 1
        return self.answer()

    def insert(self, seconds: float = 0.01) -> None:
        """Have an insert end, and whatever is asked for it answered."""
        self.pressure.note_insert(seconds)
        eventually(lambda: not self._is_asking(), "an answer")
        self.clock.now_seconds += TELL_EVERY_SECONDS
        self.pressure.look()

    def _is_asking(self) -> bool:
        return any(thread.name == "trailhouse-parts" for thread in threading.enumerate())

    def series(self, name: str) -> float:
        """Return a metric."""
        lines = self.metrics.text(is_ready=True).decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{PREFIX}{name} ")).split()[1])

    @property
    def warning(self) -> str:
        """What /health warns of."""
        return self.health.warnings.get("back_pressure", "")


@pytest.fixture
def scene() -> Scene:
    """Return a pace of which nothing is known."""
    return Scene()


def test_many_parts_widen_the_batches_and_are_said_before_anything_is_refused(scene: Scene) -> None:
    """The warning says what is near its limit and how long a batch fills; the worker stays ready."""
    scene.insert()
    wanted = scene.pace.age_seconds
    assert (scene.warning, scene.series("parts_share")) == ("", 0)
    scene.answer = lambda: NEAR
    scene.clock.now_seconds += LONGEST_LOOK_SECONDS
    scene.insert()
    assert scene.pace.age_seconds > 5 * wanted
    assert scene.series("batch_age_seconds") == pytest.approx(scene.pace.age_seconds)
    assert scene.series("wanted_batch_age_seconds") == pytest.approx(wanted)
    assert scene.series("parts_share") == 0.8
    assert "event_log has 800 parts, and slows inserts down at 1000" in scene.warning
    assert f"fills for {scene.pace.age_seconds:.1f} s" in scene.warning
    assert "\n" not in scene.warning

    scene.answer = lambda: FAR
    scene.clock.now_seconds += LONGEST_LOOK_SECONDS
    scene.insert()
    assert (scene.pace.age_seconds, scene.warning) == (wanted, "")


def test_a_refusal_and_slow_inserts_are_said(scene: Scene) -> None:
    """Each with its reason, and both are over once ClickHouse takes inserts quickly again."""
    scene.failures.append(FailedAttempt(0.01, is_overload=True))
    scene.pressure.look()
    assert "refused an insert" in scene.warning
    assert "an insert takes" not in scene.warning
    scene.failures += [FailedAttempt(20.0, is_overload=False)] * 2
    scene.pressure.look()
    assert "an insert takes 20.0 s" in scene.warning
    assert scene.series("batch_age_seconds") == 30
    assert not scene.failures
    for _ in range(30):
        scene.insert()
    assert scene.warning == ""


def test_a_worker_that_stores_nothing_asks_nothing(scene: Scene) -> None:
    """However often the loop comes round; and what it knew is forgotten after a while."""
    scene.answer = lambda: NEAR
    scene.insert()
    assert scene.asked == 1
    for _ in range(100):
        scene.clock.now_seconds += LONGEST_LOOK_SECONDS
        scene.pressure.look()
    assert scene.asked == 1
    assert scene.warning == ""
    assert scene.series("parts_share") != scene.series("parts_share"), "expected NaN: unknown"


def test_few_parts_are_counted_ever_more_seldom_and_many_often(scene: Scene) -> None:
    """To count costs as much as an insert, so that far from the limits it is rarely done."""

    def asked_within(inserts: int) -> int:
        before = scene.asked
        for _ in range(inserts):
            scene.insert()
        return scene.asked - before

    scene.answer = lambda: FAR
    asked_within(120)
    assert asked_within(120) == 4
    scene.answer = lambda: NEAR
    asked_within(60)
    assert asked_within(60) == 12


def test_without_the_grant_the_parts_are_unknown(scene: Scene) -> None:
    """It is said once, is no failure, and batches are as wanted."""

    def refuse() -> FullestTable:
        if scene.asked == 1:
            raise StorageUnavailableError("away for a moment")
        raise StorageRejectedError("grant SELECT ON system.parts", 497, "ACCESS_DENIED")

    scene.answer = refuse
    wanted = scene.pace.age_seconds
    with structlog.testing.capture_logs() as lines:
        for _ in range(4):
            scene.clock.now_seconds += LONGEST_LOOK_SECONDS
            scene.insert()
    assert scene.asked > 2
    assert [line["reason"] for line in lines] == ["grant SELECT ON system.parts"]
    assert (scene.warning, scene.pace.age_seconds) == ("", wanted)


def test_a_membership_that_ends_warns_of_nothing(scene: Scene) -> None:
    """The next one finds out by itself."""
    scene.failures.append(FailedAttempt(0.01, is_overload=True))
    scene.pressure.look()
    assert scene.warning
    scene.pressure.stop()
    assert scene.warning == ""


def test_a_warning_ends_by_itself_when_nothing_comes_any_more(scene: Scene) -> None:
    """Nobody is told for hours of a refusal that was long ago."""
    scene.failures.append(FailedAttempt(0.01, is_overload=True))
    scene.pressure.look()
    scene.clock.now_seconds += REMEMBERED_SECONDS
    scene.pressure.look()
    assert scene.warning == ""
