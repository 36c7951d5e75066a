"""When it is written down that partitions are stored up to their ends."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from fake_kafka import ORIGIN, lag
from kafka_records import Clock
from trailhouse.consumer.monitoring.stored_ends import EVERY_SECONDS, STILL_SECONDS, StoredEnds
from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.store.block import Block

NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)


class Scene:
    """A group that is looked at, and what is written of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.blocks: list[Block] = []
        self.is_away = False
        self.is_ours = True
        self.ends = StoredEnds(self, ORIGIN, lambda: NOW, lambda: self.is_ours, self.clock)

    def insert(self, block: Block) -> None:
        """Take a block in."""
        if self.is_away:
            raise StorageUnavailableError("away")
        self.blocks.append(block)

    def look(self, ends: Mapping[int, tuple[int, int]], after_seconds: float = 15.0) -> int:
        """Look after a while at partitions with a committed offset and an end; return how many blocks it made."""
        self.clock.now_seconds += after_seconds
        before = len(self.blocks)
        self.ends.note({n: lag(n, *each) for n, each in ends.items()}, self.clock.now_seconds)
        return len(self.blocks) - before


@pytest.fixture
def scene() -> Scene:
    """Return a group that nobody has looked at."""
    return Scene()


def test_ends_are_written_once_nothing_comes_any_more(scene: Scene) -> None:
    """One row a partition, and no other until one grows."""
    assert [scene.look({0: (4, 4), 1: (0, 0)}) for _ in range(200)] == [0, 1, *[0] * 198]
    waiting = [scene.ends.is_waiting]
    assert scene.look({0: (5, 5), 1: (0, 0)}) == 0
    assert [*waiting, scene.ends.is_waiting] == [False, True]
    assert scene.look({0: (5, 5), 1: (0, 0)}, STILL_SECONDS) == 1


def test_while_partitions_grow_they_are_written_once_a_minute(scene: Scene) -> None:
    """Whether they stand still now and then or not."""
    looks = [scene.look({0: (n, n), 1: (7, 7)}) for n in range(60)]
    assert looks == [0, 0, 0, 0, *([1, 0, 0, 0] * 14)]
    bursts = [scene.look({0: (n // 3, n // 3)}) for n in range(300, 420)]
    assert 24 <= sum(bursts) <= 120 * 15 / EVERY_SECONDS


def test_a_partition_in_which_records_wait_is_left_out_until_it_is_served(scene: Scene) -> None:
    """That it is served again is written, though no partition grows."""
    for _ in range(2):
        scene.look({0: (4, 4), 1: (2, 9)})
    assert written(scene.blocks[-1])["kafka_partition"] == [0]
    assert [scene.look({0: (4, 4), 1: (9, 9)}) for _ in range(6)] == [0, 0, 0, 1, 0, 0]
    assert written(scene.blocks[-1])["kafka_partition"] == [0, 1]
    assert written(scene.blocks[-1])["end_offset"] == [4, 9]


def test_where_records_wait_everywhere_nothing_is_written(scene: Scene) -> None:
    """An open transaction holds up records as well."""
    assert [scene.look({0: (4, 5)}) for _ in range(10)] == [0] * 10


def test_one_worker_does_it_and_each_that_ends(scene: Scene) -> None:
    """Another has partition 0: until it goes itself, that one is relied on."""
    scene.is_ours = False
    assert [scene.look({0: (4, 4)}) for _ in range(5)] == [0] * 5
    assert not scene.ends.is_waiting
    scene.ends.note_last({0: lag(0, 4, 4), 1: lag(1, 4, 5)}, scene.clock.now_seconds)
    assert written(scene.blocks[-1])["kafka_partition"] == [0]


def test_what_clickhouse_does_not_take_is_written_the_next_time(scene: Scene) -> None:
    """Nobody is told: whoever inserts rows tells that ClickHouse is away."""
    scene.is_away = True
    assert [scene.look({0: (4, 4)}) for _ in range(5)] == [0] * 5
    scene.is_away = False
    assert scene.look({0: (4, 4)}) == 1


def test_the_time_is_that_at_which_kafka_was_asked(scene: Scene) -> None:
    """Not that at which it answered, nor that of writing."""
    part = msgspec.structs.replace(lag(3, 8, 8), first_offset=2)
    scene.ends.note({3: part}, scene.clock.now_seconds)
    scene.clock.now_seconds += STILL_SECONDS + 4
    scene.ends.note({3: part}, scene.clock.now_seconds - 4)
    (block,) = scene.blocks
    assert written(block)["asked_at"] == [round(NOW.timestamp() * 1_000) - 4_000]


def written(block: Block) -> Mapping[str, Any]:
    """Return the columns of *block*."""
    return dict(zip(block.names, block.columns, strict=True))
