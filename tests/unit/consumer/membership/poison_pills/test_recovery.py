"""How failing partitions get past what cannot be read, while the batch is filled by the others."""

from collections.abc import Callable

import pytest

from fake_kafka import fake_source, problem
from kafka_records import Record, empty_batch
from trailhouse.broker.placeholder import Placeholder, deadly
from trailhouse.consumer.batch.batch import Batch, next_offsets
from trailhouse.consumer.membership.poison_pills.inspection import Passage, PoisonPillInspection
from trailhouse.consumer.membership.poison_pills.recovery import (
    FAILURES_BEFORE_INSPECTION,
    PoisonPillRecovery,
)
from trailhouse.consumer.membership.poison_pills.subprocess_reader import Chunk, SubprocessReader
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.heartbeat import Heartbeat
from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.schemas.ranges import Range
from waiting import eventually


class Reader:
    """Hands over the chunks that it is given."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.drops = 0

    def take(self) -> Chunk | None:
        return self.chunks.pop(0) if self.chunks else None

    def drop(self) -> None:
        self.drops += 1


class Inspection:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, str]] = []
        self.answer: Callable[[], Passage] = lambda: Passage(None, 0)

    def passage(self, partition: int, offset: int, why: str) -> Passage:
        self.asked.append((partition, offset, why))
        return self.answer()


class Scene:
    """Two partitions that are read from offset 5, and the batch that is being filled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.source, self.consumer = fake_source(monkeypatch)
        self.reader, self.inspection = Reader(), Inspection()
        self.isolated: list[dict[int, Range]] = []
        self.health, self.heartbeat = Health(), Heartbeat()
        self.batch: Batch = empty_batch()[0]
        self.recovery = PoisonPillRecovery(
            self.source,
            self.inspection,  # type: ignore[arg-type]  # held against the real one by a test
            self._isolate,  # type: ignore[arg-type]  # the same
            self.health,
            self.heartbeat,
        )
        self.source.begin({0: 5, 1: 5})

    def _isolate(self, ranges: dict[int, Range]) -> Reader:
        self.isolated.append(ranges)
        return self.reader

    def fail(self, times: int) -> None:
        """Have partition 0 fail, and take a turn after each failure."""
        for _ in range(times):
            self.consumer.waiting = [problem(0, "_BAD_COMPRESSION")]
            self.source.read(10, 0.0)
            self.turn()

    def turn(self) -> None:
        """Go on."""
        self.recovery.step(self.batch, self.source.position)

    def turn_until(self, condition: Callable[[], bool], what: str) -> None:
        """Go on until *condition* holds."""

        def holds() -> bool:
            self.turn()
            return condition()

        eventually(holds, what)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Return a scene in which all can be read."""
    return Scene(monkeypatch)


def stand(first: int, last: int) -> Placeholder:
    """Return what stands for records of partition 0."""
    return deadly(Record(b"x", 0, first), "why")._replace(last_offset=last)


@pytest.mark.parametrize(
    ("fake", "real"), [(Reader, SubprocessReader), (Inspection, PoisonPillInspection)]
)
def test_the_fakes_are_like_the_real(fake: type, real: type) -> None:
    """Each public method of theirs is one of the real class."""
    public = {name for name in vars(fake) if not name.startswith("_")}
    assert public <= set(vars(real))


def test_what_fails_once_may_be_the_networks_fault(scene: Scene) -> None:
    """It is looked at only when it fails again and again."""
    scene.fail(FAILURES_BEFORE_INSPECTION - 1)
    assert scene.inspection.asked == []
    scene.fail(1)
    eventually(lambda: bool(scene.inspection.asked), "an inspection")
    assert scene.inspection.asked == [(0, 5, "_BAD_COMPRESSION")]


def test_what_cannot_be_read_goes_into_the_batch(scene: Scene) -> None:
    """As a placeholder after all that was read before it, and the partition goes on behind it."""
    scene.inspection.answer = lambda: Passage(stand(5, 8), 9)
    scene.fail(FAILURES_BEFORE_INSPECTION)
    scene.turn_until(lambda: not scene.source.failing, "the partition to go on")
    assert next_offsets(scene.batch.spans) == {0: 9}
    assert len(scene.batch.bad) == 1
    assert scene.consumer.sought == {0: 9}
    assert scene.health.report()["kafka"] == {"state": "ready"}


def test_a_part_that_is_away_is_waited_for(scene: Scene) -> None:
    """Without it nothing is passed over; it is asked again."""

    def answer() -> Passage:
        if len(scene.inspection.asked) == 1:
            raise StorageUnavailableError("away")
        return Passage(None, 6)

    scene.inspection.answer = answer
    scene.fail(FAILURES_BEFORE_INSPECTION)
    scene.turn_until(lambda: not scene.source.failing, "the partition to go on")
    assert scene.heartbeat.waits == 1
    assert scene.batch.spans == {}
    assert scene.consumer.sought == {0: 6}


def test_suspects_are_read_by_another_process(scene: Scene) -> None:
    """What it hands over goes into the batch, and each partition goes on where its range ends."""
    scene.source.begin({0: 5, 1: 5}, {0: Range(5, 7), 1: Range(5, 5)})
    scene.turn()
    assert scene.isolated == [{0: Range(5, 7), 1: Range(5, 5)}]
    scene.reader.chunks = [
        Chunk([Record(b"{}", 0, 5)]),
        Chunk([], stand(6, 6)),
        Chunk([Record(b"{}", 0, 7)], through=(0,)),
    ]
    scene.turn()
    assert scene.consumer.sought == {0: 8}
    assert list(scene.source.failing) == [1]
    assert scene.reader.drops == 0
    scene.reader.chunks = [Chunk([Record(b"{}", 1, 5)], through=(1,))]
    scene.turn()
    assert (scene.consumer.sought, list(scene.source.failing)) == ({0: 8, 1: 6}, [])
    assert next_offsets(scene.batch.spans) == {0: 8, 1: 6}
    assert scene.reader.drops == 1
    assert scene.inspection.asked == []


def test_a_batch_that_ends_beyond_the_range_moves_the_end(scene: Scene) -> None:
    """What stands for more than was suspected is not read again."""
    scene.source.begin({0: 5}, {0: Range(5, 7)})
    scene.turn()
    scene.reader.chunks = [Chunk([], stand(6, 20)), Chunk([], through=(0,))]
    scene.turn()
    assert scene.consumer.sought == {0: 21}


def test_a_full_batch_takes_no_more(scene: Scene) -> None:
    """The rest stays with the other process until there is room."""
    scene.batch = empty_batch(rows=1)[0]
    scene.source.begin({0: 5}, {0: Range(5, 6)})
    scene.turn()
    scene.reader.chunks = [Chunk([Record(b"{}", 0, 5)]), Chunk([Record(b"{}", 0, 6)], through=(0,))]
    scene.turn()
    assert len(scene.reader.chunks) == 1
    assert scene.source.failing


def test_who_leaves_waits_for_nobody(scene: Scene) -> None:
    """The other process is ended, and an answer that comes late changes nothing."""
    scene.source.begin({0: 5}, {0: Range(5, 6)})
    scene.turn()
    scene.recovery.leave()
    assert scene.reader.drops == 1
    assert scene.consumer.sought == {}
