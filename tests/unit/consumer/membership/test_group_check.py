"""What a look at the group shows as metrics, warns of, and writes down."""

import datetime as dt

import msgspec
import pytest

from fake_kafka import ORIGIN, FakeIdentity, FakeLedger, FakeStore, lag
from kafka_records import Clock
from trailhouse.broker.group_members import GroupMember
from trailhouse.broker.offsets import PartitionLag
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.membership.group_check import (
    LASTING_TRANSACTION_SECONDS,
    LOOK_EVERY_SECONDS,
    GroupCheck,
)
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import PREFIX, WorkerMetrics
from trailhouse.consumer.monitoring.stored_ends import StoredEnds
from trailhouse.schemas.errors import (
    BrokerRejectedError,
    BrokerUnavailableError,
    StorageUnavailableError,
)
from waiting import eventually


def open_at(number: int, stable: int, end: int) -> PartitionLag:
    """Return a partition with a transaction open at *stable*."""
    return msgspec.structs.replace(lag(number, stable, end), readable_end=stable)


class Scene:
    """A group that is looked at every fifteen seconds."""

    def __init__(self, watchdog_seconds: float = 600.0, *, notes_ends: bool = True) -> None:
        self.kafka, self.ledger = FakeIdentity(), FakeLedger()
        self.store = FakeStore()
        self.health, self.metrics, self.clock = Health(), WorkerMetrics(), Clock()
        ledger: Ledger = self.ledger  # type: ignore[assignment]  # held against the real one by a test
        self.check = GroupCheck(
            ask_kafka=self.kafka.ask,
            group_id="g",
            watchdog_seconds=watchdog_seconds,
            health=self.health,
            metrics=self.metrics,
            incidents=Incidents(ledger, ORIGIN, self.metrics, lambda: dt.datetime.now(dt.UTC)),
            stored_ends=StoredEnds(
                self.store, ORIGIN, lambda: dt.datetime.now(dt.UTC), lambda: notes_ends, self.clock
            ),
            clock=self.clock,
        )

    def look(self, seconds: float = 0.0) -> None:
        """Let time pass in steps as long as those between two looks, and look after each."""
        for _ in range(max(1, round(seconds / LOOK_EVERY_SECONDS))):
            self.clock.now_seconds += LOOK_EVERY_SECONDS
            self.check.tell(self.check.look())

    def shown(self, name: str) -> float:
        """Return the value of a series."""
        lines = self.metrics.text(is_ready=True).decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(PREFIX + name))


@pytest.fixture
def scene() -> Scene:
    """Return a group without partitions."""
    return Scene()


def test_the_lag_of_every_partition_is_shown(scene: Scene) -> None:
    """Whoever has it, and how many members the group has and how many strangers."""
    scene.kafka.parts = [lag(0, 4, 9), lag(1, None, 3)]
    scene.kafka.found = (
        GroupMember(client_id="trailhouse-worker", host="h", is_worker=True, partitions=(0,)),
        GroupMember(client_id="x", host="h2", is_worker=False, partitions=(1,)),
    )
    scene.look()
    assert scene.shown('group_lag_records{partition="0"}') == 5
    assert scene.shown('group_lag_records{partition="1"}') == 3
    assert (scene.shown("group_members"), scene.shown("unknown_group_members")) == (2, 1)
    assert "h2 with partition 1" in scene.health.warnings["unknown_member"]
    scene.kafka.found = scene.kafka.found[:1]
    scene.look()
    assert scene.health.warnings == {}


def test_a_stall_is_warned_of_until_something_is_committed(scene: Scene) -> None:
    """As long as records wait behind the same commit; a partition without any stands still for ever, rightly."""
    scene.kafka.parts = [lag(0, 4, 9), lag(1, 7, 7)]
    scene.look(135)
    assert scene.shown('partition_stalled_seconds{partition="0"}') >= 100
    assert scene.shown('partition_stalled_seconds{partition="1"}') == 0
    assert "partition 0, 5 records" in scene.health.warnings["stalled_partition"]
    scene.kafka.parts = [lag(0, 5, 9), lag(1, 7, 7)]
    scene.look()
    assert scene.shown('partition_stalled_seconds{partition="0"}') == 0
    assert "stalled_partition" not in scene.health.warnings


def test_a_transaction_that_lasts_is_written_down_once(scene: Scene) -> None:
    """It is warned of before, and an incident from a minute on, however often it is seen."""
    scene.kafka.parts = [open_at(0, 4, 9)]
    scene.look(LASTING_TRANSACTION_SECONDS - LOOK_EVERY_SECONDS)
    assert "partition 0 from offset 4" in scene.health.warnings["open_transaction"]
    assert scene.ledger.incidents == []
    scene.look(3 * LASTING_TRANSACTION_SECONDS)
    assert len(scene.ledger.incidents) == 1
    scene.kafka.parts = [lag(0, 9, 9)]
    scene.look()
    assert scene.health.warnings == {}


def test_what_could_not_be_written_down_is_written_later(scene: Scene) -> None:
    """ClickHouse being away ends no look."""
    scene.ledger.raising = StorageUnavailableError("away")
    scene.kafka.parts = [open_at(0, 4, 9)]
    scene.look(2 * LASTING_TRANSACTION_SECONDS)
    scene.ledger.raising = None
    scene.look()
    assert len(scene.ledger.incidents) == 1


def test_a_group_that_may_not_be_described_is_said(scene: Scene) -> None:
    """Its lag is shown all the same; a Kafka that is away has no view at all."""
    scene.kafka.parts = [lag(0, 4, 9)]
    scene.kafka.members_raising = BrokerRejectedError("no permission", "GROUP_AUTHORIZATION_FAILED")
    scene.look()
    assert scene.health.warnings == {"group_unknown": "no permission"}
    assert scene.shown('group_lag_records{partition="0"}') == 5
    scene.kafka.raising = BrokerUnavailableError("away")
    with pytest.raises(BrokerUnavailableError):
        scene.check.look()


def test_an_idle_group_is_looked_at_half_as_often() -> None:
    """While nothing is read; but each time while records wait for anybody."""
    scene, turns = Scene(watchdog_seconds=0.004, notes_ends=False), list[int]()
    scene.kafka.parts = [lag(0, 9, 9)]
    query = scene.check.in_background(lambda: turns.append(0))
    query.start()
    eventually(lambda: len(turns) >= 40, "some turns")
    scene.kafka.parts = [lag(0, 8, 9)]
    looked = scene.kafka.connections
    assert 18 <= looked <= 3 + len(turns) / 2
    eventually(lambda: scene.kafka.connections >= looked + 3, "the group to be looked at")
    waited = len(turns)
    eventually(lambda: scene.kafka.connections >= looked + 9, "the group to be looked at again")
    query.stop()
    query.join()
    assert len(turns) <= waited + 1, "expected nobody to ask whether anything has moved"


def test_what_is_stored_up_to_its_end_is_noted_once_nothing_comes(scene: Scene) -> None:
    """By the second look, and by a last one whatever was noted; where Kafka is away then, by none."""
    scene.kafka.parts = [lag(0, 4, 4), lag(1, 3, 9)]
    scene.look()
    assert scene.store.blocks == []
    scene.look(4 * LOOK_EVERY_SECONDS)
    assert [block.row_count for block in scene.store.blocks] == [1]
    scene.check.look_last()
    assert [block.row_count for block in scene.store.blocks] == [1, 1]
    scene.kafka.raising = BrokerUnavailableError("away")
    scene.check.look_last()
    assert len(scene.store.blocks) == 2
