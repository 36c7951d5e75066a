"""What stands where a partition cannot be read: found out, and written down before it is passed over."""

import datetime as dt
from typing import cast

import pytest

from fake_kafka import ORIGIN, FakeLedger
from trailhouse.broker.batch_headers import RawBatch
from trailhouse.consumer.batch.blocks import incident_block
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.membership.poison_pills import inspection as module
from trailhouse.consumer.membership.poison_pills.inspection import Passage, PoisonPillInspection
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.schemas.errors import StorageUnavailableError, UnreadableBatchError
from trailhouse.schemas.kafka_config import KafkaConfig


class Scene:
    """A batch that nobody can open, as Kafka's raw answer has it, and the ledger."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batch: RawBatch | None = RawBatch(5, 8, 4, 9, "zstd", 700, b"d" * 16, b"head", True)
        self.asked: list[tuple[int, int]] = []
        self.ledger = FakeLedger()
        ledger = cast("Ledger", self.ledger)
        incidents = Incidents(ledger, ORIGIN, WorkerMetrics(), lambda: dt.datetime.now(dt.UTC))
        monkeypatch.setattr(module, "batch_at", self._batch_at)
        self.inspection = PoisonPillInspection(KafkaConfig(), ledger, incidents)

    def pass_over(self, first: int, last: int) -> None:
        """Note that an operator has passed over these offsets of partition 0."""
        found = Incident("skipped", 0, first, last)
        self.ledger.note(incident_block(ORIGIN, [found], ["by a test"], dt.datetime.now(dt.UTC)))

    def _batch_at(
        self, _: KafkaConfig, partition: int, offset: int, *, timeout_seconds: float
    ) -> RawBatch | None:
        assert timeout_seconds > 0
        self.asked.append((partition, offset))
        return self.batch


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Return a scene with a batch of the offsets 5 to 8."""
    return Scene(monkeypatch)


def test_a_batch_is_written_down_and_passed_over(scene: Scene) -> None:
    """From where it was not read yet to its end, with what is kept of it."""
    placeholder, next_offset = scene.inspection.passage(2, 6, "_BAD_COMPRESSION")
    assert next_offset == 9
    assert placeholder is not None
    assert (placeholder.number, placeholder.first_offset, placeholder.last_offset) == (2, 6, 8)
    assert (placeholder.records, placeholder.kept) == (3, b"head")
    assert "_BAD_COMPRESSION" in placeholder.reason
    assert len(scene.ledger.incidents) == 1
    assert scene.asked == [(2, 6)]


def test_nothing_is_passed_over_that_is_not_written_down(scene: Scene) -> None:
    """With ClickHouse away it is asked again; a second answer writes nothing twice."""
    scene.ledger.raising = StorageUnavailableError("away")
    with pytest.raises(StorageUnavailableError):
        scene.inspection.passage(0, 5, "why")
    scene.ledger.raising = None
    scene.inspection.passage(0, 5, "why")
    scene.inspection.passage(0, 5, "why")
    assert len(scene.ledger.incidents) == 1


def test_what_an_operator_has_passed_over_is_believed(scene: Scene) -> None:
    """The ledger has it: the reading goes on behind that range, and Kafka is not asked."""
    scene.ledger.stored = FakeLedger({0: [(4, 7), (12, 20)]}).stored
    scene.pass_over(4, 7)
    assert scene.inspection.passage(0, 5, "why") == Passage(None, 8)
    assert scene.asked == []


def test_what_is_read_again_around_a_skipped_record_is_not_passed_over(scene: Scene) -> None:
    """The ledger has the records around it too: only what the operator named is left out, and no other batch."""
    scene.ledger.stored = FakeLedger({0: [(0, 90)]}).stored
    scene.pass_over(4, 7)
    assert scene.inspection.passage(0, 5, "why") == Passage(None, 8)
    placeholder, next_offset = scene.inspection.passage(0, 8, "why")
    assert (placeholder is not None, next_offset) == (True, 9)


def test_where_no_batch_is_the_same_offset_is_tried_again(scene: Scene) -> None:
    """It may have been the network's fault."""
    scene.batch = None
    assert scene.inspection.passage(0, 5, "why") == Passage(None, 5)
    assert scene.ledger.incidents == []


def test_an_end_that_is_not_known_is_not_guessed(scene: Scene) -> None:
    """It is asked again once another batch follows; the way out is said."""
    assert scene.batch is not None
    scene.batch = scene.batch._replace(last_offset=None)
    with pytest.raises(
        UnreadableBatchError, match=r"partition 3: the batch at offset 5.*trailhouse skip"
    ):
        scene.inspection.passage(3, 5, "why")
    assert scene.ledger.incidents == []
