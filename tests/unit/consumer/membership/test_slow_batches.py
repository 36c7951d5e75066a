"""When a partition counts as held up by a batch, and what is read apart from it then."""

import threading
from collections.abc import Mapping
from typing import cast

import pytest

from trailhouse.broker.batch_headers import RawBatch
from trailhouse.consumer.membership import slow_batches
from trailhouse.consumer.membership.slow_batches import (
    CALM_SECONDS,
    LATE_BESIDE_OTHERS_SECONDS,
    LATE_SECONDS,
    SlowBatchWatch,
    may_be_large,
)
from trailhouse.consumer.membership.source import Failure, KafkaSource
from trailhouse.schemas.kafka_config import KafkaConfig
from waiting import DEADLINE_SECONDS, eventually

STEP_SECONDS = 0.11


def batch(codec: str, size_bytes: int) -> RawBatch:
    """Return the header of a batch at offset 5 with two records."""
    return RawBatch(5, 6, 2, 0, codec, size_bytes, b"", b"", is_sound=True)


class Source:
    """What `SlowBatchWatch` asks of a source."""

    def __init__(self) -> None:
        self.failing: dict[int, Failure] = {}
        self.is_held = False
        self.ends = {0: 5, 1: 5}
        self.parted: list[tuple[int, Mapping[int, int]]] = []
        self.joined: list[Mapping[int, int]] = []

    @property
    def partitions(self) -> list[int]:
        return sorted(self.ends)

    @property
    def is_parted(self) -> bool:
        return len(self.parted) > len(self.joined)

    def known_ends(self) -> dict[int, int]:
        return dict(self.ends)

    def part(self, number: int, starts: Mapping[int, int]) -> bool:
        self.parted.append((number, starts))
        return True

    def join(self, starts: Mapping[int, int]) -> None:
        self.joined.append(starts)


class Scene:
    """A source, what was read of it, what Kafka would answer, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.source = Source()
        self.read_to = {0: 5, 1: 5}
        self.found: dict[int, RawBatch] = {}
        self.asked: list[dict[int, int]] = []
        self.now_seconds = 0.0
        self.may_answer = threading.Event()
        monkeypatch.setattr(slow_batches, "batches_at", self._batches_at)
        self.slow_batches = SlowBatchWatch(
            cast("KafkaSource", self.source), KafkaConfig(), lambda: self.now_seconds
        )

    def _batches_at(
        self, _: KafkaConfig, offsets: dict[int, int], *, timeout_seconds: float
    ) -> dict[int, RawBatch]:
        assert timeout_seconds > 0
        self.asked.append(offsets)
        assert self.may_answer.wait(DEADLINE_SECONDS)
        return {number: self.found[number] for number in offsets if number in self.found}

    def step(self, seconds: float = 2 * LATE_SECONDS, *, is_reading: bool = True) -> None:
        """Let time pass, a turn each tenth of a second."""
        end = self.now_seconds + seconds
        while self.now_seconds < end:
            self.now_seconds += STEP_SECONDS
            self.slow_batches.step(self.read_to.__getitem__, is_reading=is_reading)

    def answer(self) -> None:
        """Wait for the answer that is open, and take a turn."""
        self.may_answer.set()
        eventually(
            lambda: all(each.name != "trailhouse-held-up" for each in threading.enumerate()),
            "the answer",
        )
        self.step(STEP_SECONDS)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Return a scene in which nothing waits."""
    return Scene(monkeypatch)


@pytest.mark.parametrize(
    ("codec", "size_bytes", "is_large"),
    [
        ("gzip", 65_536, True),
        ("gzip", 30_000, False),
        ("lz4", 3_000_000, True),
        ("lz4", 1_000_000, False),
        ("zstd", 40_000, True),
        ("zstd", 9_000, False),
        ("snappy", 1_000_000, False),
        ("none", 8_000_000, False),
        ("unknown", 1_000_000, False),
    ],
)
def test_a_batch_may_be_large_by_its_codec_and_its_size(
    codec: str, size_bytes: int, *, is_large: bool
) -> None:
    """What counts is to how much it can open at most, and how long that takes."""
    assert may_be_large(batch(codec, size_bytes)) == is_large


def test_the_others_are_read_apart_until_it_is_calm(scene: Scene) -> None:
    """From where they were read to; and together again some time after the batch is through, not before."""
    scene.source.ends[0] = 7
    scene.found[0] = batch("gzip", 600_000)
    scene.step()
    scene.answer()
    assert scene.source.parted == [(0, {0: 5, 1: 5})]
    scene.step(2 * CALM_SECONDS)
    assert scene.source.joined == [], "it is still being opened"
    scene.read_to = {0: 7, 1: 9}
    scene.step(CALM_SECONDS / 2)
    assert scene.source.joined == []
    scene.step(CALM_SECONDS)
    assert scene.source.joined == [{0: 7, 1: 9}]
    assert scene.asked == [{0: 5}]


def test_what_is_late_for_another_reason_is_looked_at_once(scene: Scene) -> None:
    """An ordinary batch has nothing read apart, and the same offset is not asked for again."""
    scene.source.ends[0] = 7
    scene.found[0] = batch("lz4", 50_000)
    scene.step()
    scene.answer()
    scene.step(5.0)
    assert scene.asked == [{0: 5}]
    assert scene.source.parted == []


def test_a_turn_that_is_long_in_coming_beside_others_is_no_hold(scene: Scene) -> None:
    """In a long backlog one partition after the other comes: none is looked at while another flows, but in the end."""
    scene.source.ends = {0: 7, 1: 1_000}
    for offset in range(6, 30):
        scene.read_to[1] = offset
        scene.step(STEP_SECONDS)
    assert scene.asked == [], "expected to wait while another partition is read"
    for offset in range(30, 30 + int(LATE_BESIDE_OTHERS_SECONDS / STEP_SECONDS)):
        scene.read_to[1] = offset
        scene.step(STEP_SECONDS)
    scene.answer()
    assert scene.asked == [{0: 5}]


def test_a_batch_that_came_meanwhile_holds_nobody_up(scene: Scene) -> None:
    """When its records are read before its header, nothing is read apart."""
    scene.source.ends[0] = 7
    scene.found[0] = batch("gzip", 600_000)
    scene.step()
    scene.read_to[0] = 7
    scene.answer()
    assert scene.source.parted == []


def test_nobody_is_asked_while_nothing_is_due(scene: Scene) -> None:
    """Neither for what flows, nor while we do not read, nor for what is known to be unreadable."""
    for offset in range(6, 40):
        scene.source.ends[0] = offset + 1
        scene.read_to[0] = offset
        scene.step(LATE_SECONDS / 2)
    scene.step(5.0, is_reading=False)
    scene.source.is_held = True
    scene.step(5.0)
    scene.source.is_held = False
    scene.source.failing[0] = Failure("_BAD_COMPRESSION")
    scene.step(5.0)
    assert scene.asked == []
