"""One consumer for all partitions, and more while one of them is held up by a batch that takes long to open."""

from collections.abc import Iterator

import pytest

from fake_kafka import ORIGIN, FakeConsumer, failure, problem, record
from trailhouse.consumer.batch.batch import Limits
from trailhouse.consumer.membership import partition_consumers as module
from trailhouse.consumer.membership.partition_consumers import (
    MAX_CONSUMERS,
    PORTION_BYTES,
    PartitionConsumers,
)
from waiting import eventually

LIMIT_BYTES = 100


class Scene:
    """A member that reads four partitions, and the consumers that were made beside it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.member = FakeConsumer({})
        self.others: list[FakeConsumer] = []
        monkeypatch.setattr(module, "Consumer", self._make)
        limits = Limits(1_000, 1_000_000, LIMIT_BYTES)
        self.consumers = PartitionConsumers(
            self.member,  # type: ignore[arg-type]  # held against the real one by a test
            ORIGIN.topic,
            {"group.id": "g"},
            limits,
            lambda _: None,
        )
        self.consumers.begin(range(4))

    def _make(self, options: dict[str, object]) -> FakeConsumer:
        assert options["group.id"] == "g"
        self.others.append(FakeConsumer(options))
        return self.others[-1]

    def take(self, records: int = 100) -> list[tuple[int | None, int | None]]:
        """Return partition and offset of what one call brings."""
        return [(each.partition(), each.offset()) for each in self.consumers.take(records, 0.0)]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Return a scene in which the member reads all."""
    made = Scene(monkeypatch)
    yield made
    made.consumers.close()


STARTS = {number: 10 * number for number in range(4)}


def test_one_consumer_reads_all(scene: Scene) -> None:
    """In the order in which records come, as many as are asked for."""
    scene.member.waiting = [record(0, 1), record(1, 1), record(0, 2)]
    assert scene.take(2) == [(0, 1), (1, 1)]
    assert not scene.consumers.are_several


def test_the_others_are_read_apart(scene: Scene) -> None:
    """By a consumer of their own from where they were read to; the member keeps the one that is held up."""
    assert scene.consumers.part(0, STARTS)
    assert scene.consumers.are_several
    assert scene.member.paused == {1, 2, 3}
    [other] = scene.others
    assert other.assigned == {1: 10, 2: 20, 3: 30}
    other.waiting = [record(1, 10), record(2, 20)]
    scene.member.waiting = [record(0, 0), record(0, 1)]
    assert scene.take() == [(0, 0), (1, 10), (2, 20)], "one of what is held up, all of the others"


def test_all_are_read_together_again(scene: Scene) -> None:
    """The member seeks those that were read apart, and the other consumer is closed."""
    scene.consumers.part(0, STARTS)
    scene.consumers.join({0: 1, 1: 11, 2: 22, 3: 33})
    assert scene.member.sought == {1: 11, 2: 22, 3: 33}
    assert scene.member.paused == set()
    assert not scene.consumers.are_several
    eventually(lambda: scene.others[0].is_closed, "the other consumer's close")


def test_there_is_a_limit(scene: Scene) -> None:
    """Each consumer may have a whole batch in memory; one that reads alone is apart already."""
    assert scene.consumers.part(0, STARTS)
    assert scene.consumers.part(1, STARTS)
    assert scene.others[0].paused == {2, 3}
    assert len(scene.others) == MAX_CONSUMERS - 1
    assert not scene.consumers.part(2, STARTS)
    assert not scene.consumers.part(0, STARTS)
    assert len(scene.others) == MAX_CONSUMERS - 1


def test_a_record_over_the_limit_is_cut_elsewhere(scene: Scene) -> None:
    """Its partition is read no further until its placeholder is taken, so that nothing overtakes it."""
    scene.consumers.part(0, STARTS)
    scene.member.waiting = [record(0, 0, b"x" * (LIMIT_BYTES + 1)), record(0, 1)]
    assert scene.take() == []
    placeholders = []

    def is_made() -> bool:
        placeholders.extend(scene.consumers.placeholders())
        return bool(placeholders)

    assert scene.member.waiting, "nothing was read behind it"
    eventually(is_made, "the placeholder")
    assert [(each.number, each.first_offset, each.size_bytes) for each in placeholders] == [
        (0, 0, LIMIT_BYTES + 1)
    ]
    assert scene.take() == [(0, 1)]


def test_an_error_is_no_large_record(scene: Scene) -> None:
    """It is handed on, whoever reads it."""
    scene.consumers.part(0, STARTS)
    scene.member.waiting = [problem(0, "_BAD_COMPRESSION", 3)]
    assert scene.take() == [(0, 3)]


def test_a_read_ends_at_its_bytes(scene: Scene) -> None:
    """However many records wait: they are in memory twice while they are taken."""
    scene.consumers.part(0, STARTS)
    scene.others[0].waiting = [record(1, n, b"x" * (PORTION_BYTES // 40)) for n in range(120)]
    assert len(scene.take(120)) == 51, "one, and one portion"


def test_a_rebalance_within_a_read(scene: Scene) -> None:
    """It is told while the member is read, and lets go of the others: what they have is not read any more."""
    scene.consumers.part(0, STARTS)
    scene.others[0].waiting = [record(1, 10)]
    scene.member.meanwhile = lambda: scene.consumers.begin(())
    assert scene.take() == []
    assert not scene.consumers.are_several


def test_pause_resume_and_seek_reach_whoever_reads(scene: Scene) -> None:
    """The consumer of the partition, and no other."""
    scene.consumers.part(0, STARTS)
    [other] = scene.others
    scene.consumers.pause()
    assert (scene.member.paused, other.paused) == ({0, 1, 2, 3}, {1, 2, 3})
    scene.consumers.resume()
    assert (scene.member.paused, other.paused) == ({1, 2, 3}, set())
    scene.consumers.seek(2, 25)
    assert (scene.member.sought, other.sought) == ({}, {2: 25})
    scene.member.ends, other.ends = {0: 4, 2: 7}, {2: 40}
    assert scene.consumers.known_ends(range(4)) == {0: 4, 2: 40}


def test_a_failure_is_raised(scene: Scene) -> None:
    """By whichever consumer; it is mapped by the owner."""
    scene.consumers.part(0, STARTS)
    scene.others[0].raising = failure("_TRANSPORT")
    with pytest.raises(type(failure("_TRANSPORT"))):
        scene.take()
