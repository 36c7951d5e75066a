"""Where partitions begin: Kafka's offsets held against the ledger, and what does not fit written down."""

import datetime as dt

import pytest

from fake_kafka import ORIGIN, FakeIdentity, FakeLedger, lag
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.offset_check import SUSPECT_OFFSETS, OffsetCheck, RestoreLogs
from trailhouse.consumer.membership.source import HOLDER
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.proof_log.growth import LogState
from trailhouse.consumer.proof_log.restore import Restored
from trailhouse.proof.origin import LogOrigin
from trailhouse.schemas.errors import OffsetGapError, StorageUnavailableError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Range

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
LOG = LogOrigin("audit.example", "events", "id", 0)


class Scene:
    """What Kafka and the ledger have."""

    def __init__(self) -> None:
        self.kafka = FakeIdentity()
        self.ledger = FakeLedger()

    def offset_check(
        self, restore_logs: RestoreLogs = lambda _starts, _log_starts: {}, **worker: str
    ) -> OffsetCheck:
        """Return what compares the two."""
        ledger: Ledger = self.ledger  # type: ignore[assignment]  # held against the real one by a test
        return OffsetCheck(
            kafka=KafkaConfig(),
            worker=WorkerConfig(**worker),  # type: ignore[arg-type]  # texts, as from the environment
            ask_kafka=self.kafka.ask,
            ledger=ledger,
            origin=ORIGIN,
            incidents=Incidents(ledger, ORIGIN, WorkerMetrics(), lambda: NOW),
            restore_logs=restore_logs,
        )

    def noted(self) -> list[tuple[str, int, int, int]]:
        """Return what is written down: kind, partition, first and last offset."""
        names = ("kind", "kafka_partition", "first_offset", "last_offset")
        return [
            row
            for block in self.ledger.incidents
            for row in zip(*(block.columns[block.names.index(n)] for n in names), strict=True)
        ]


@pytest.fixture
def scene() -> Scene:
    """Return a Kafka without partitions, and an empty ledger."""
    return Scene()


def test_what_is_committed_and_in_the_ledger_goes_on(scene: Scene) -> None:
    """Each at its committed offset, verified; another's partition is left out, and nothing is written down."""
    scene.kafka.parts = [lag(0, 5, 9), lag(1, 3, 9), lag(2, 7, 9)]
    scene.ledger.stored |= FakeLedger({0: [(0, 4)], 1: [(0, 2)]}).stored
    starts = scene.offset_check().starts([0, 1])
    assert starts is not None
    assert (starts.offsets, starts.verified, starts.markable) == ({0: 5, 1: 3}, {0, 1}, {0, 1})
    assert scene.noted() == []


@pytest.mark.parametrize("is_rewound", [False, True])
def test_what_is_read_again_to_be_signed_stays_committed(scene: Scene, *, is_rewound: bool) -> None:
    """It is stored, so the offset need not go back; where leaves were lost it goes back with the reading."""
    scene.kafka.parts = [lag(0, 5, 9)]
    scene.ledger.stored |= FakeLedger({0: [(0, 4)]}).stored
    log = Restored(LogState(LOG), 2, 0, is_signed=True, generations=(), is_rewound=is_rewound)
    starts = scene.offset_check(lambda _starts, _log_starts: {0: log}).starts([0])
    assert starts is not None
    assert (starts.offsets, starts.floors) == ({0: 2}, {} if is_rewound else {0: 5})


def test_a_new_partition_is_read_from_its_start(scene: Scene) -> None:
    """Nothing is committed there, and a mark at 0 says nothing untrue."""
    scene.kafka.parts = [lag(0, None, 9)]
    starts = scene.offset_check().starts([0])
    assert starts is not None
    assert (starts.offsets, set(starts.verified), starts.markable) == ({0: 0}, set(), {0})


def test_another_topic_of_this_name_is_not_read(scene: Scene) -> None:
    """The membership ends: its records would stand under the other's id."""
    scene.kafka.who = ORIGIN._replace(topic_id="another")
    assert scene.offset_check().starts([0]) is None


def test_what_the_ledger_lacks_is_read_again(scene: Scene) -> None:
    """From where it ends, as an incident, and the start is not verified."""
    scene.kafka.parts = [lag(0, 7, 9)]
    scene.ledger.stored |= FakeLedger({0: [(0, 3)]}).stored
    starts = scene.offset_check().starts([0])
    assert starts is not None
    assert (starts.offsets, set(starts.verified)) == ({0: 4}, set())
    assert scene.noted() == [("rewound", 0, 4, 6)]


def test_a_doubt_is_believed(scene: Scene) -> None:
    """What was seen to be missing is read again, though the ledger has the last record."""
    scene.kafka.parts = [lag(0, 7, 9)]
    scene.ledger.stored |= FakeLedger({0: [(0, 2), (5, 6)]}).stored
    starts = scene.offset_check().starts([0], {0: 3})
    assert starts is not None
    assert starts.offsets == {0: 3}


def test_records_that_are_gone_stop_the_worker(scene: Scene) -> None:
    """Written down first, and the message names partition, offsets and the way out."""
    scene.kafka.parts = [lag(0, 4, 9, first=7)]
    scene.ledger.stored |= FakeLedger({0: [(0, 3)]}).stored
    with pytest.raises(OffsetGapError, match=r"partition 0: offsets 4 to 6.*ON_GAP=record"):
        scene.offset_check().starts([0])
    assert scene.noted() == [("expired", 0, 4, 6)]


def test_a_loss_that_is_accepted_goes_on(scene: Scene) -> None:
    """With the oldest record that is left, and each range is written down once."""
    scene.kafka.parts = [lag(0, 4, 9, first=7)]
    scene.ledger.stored |= FakeLedger({0: [(0, 3)]}).stored
    offset_check = scene.offset_check(on_gap="record")
    for _ in range(2):
        starts = offset_check.starts([0])
        assert starts is not None
        assert starts.offsets == {0: 7}
    assert scene.noted() == [("expired", 0, 4, 6)]


def test_what_expired_and_is_stored_is_no_loss(scene: Scene) -> None:
    """Only what the ledger lacks of an expired range is one."""
    scene.kafka.parts = [lag(0, 2, 9, first=7)]
    scene.ledger.stored |= FakeLedger({0: [(0, 1), (4, 5)]}).stored
    with pytest.raises(OffsetGapError):
        scene.offset_check().starts([0])
    assert scene.noted() == [("expired", 0, 2, 3), ("expired", 0, 6, 6)]


def test_what_expired_before_we_came_stops_nobody(scene: Scene) -> None:
    """Nothing of the partition was ever read: it is history, written down, and the reading begins."""
    scene.kafka.parts = [lag(0, None, 9, first=7)]
    starts = scene.offset_check().starts([0])
    assert starts is not None
    assert (starts.offsets, set(starts.markable)) == ({0: 7}, set())
    assert scene.noted() == [("expired", 0, 0, 6)]


def test_a_topic_made_anew_is_read_from_its_start(scene: Scene) -> None:
    """The ledger knows only an earlier topic of this name."""
    scene.kafka.parts = [lag(0, 5, 9)]
    scene.ledger.earlier_ends = {0: 70}
    starts = scene.offset_check().starts([0])
    assert starts is not None
    assert starts.offsets == {0: 0}
    assert scene.noted() == [("recreated", 0, 0, 69)]


def test_whoever_did_not_stop_in_order_leaves_suspects(scene: Scene) -> None:
    """What another process had in hand, bounded; our own mark and an empty one are no cause for care."""
    end = 2 * SUSPECT_OFFSETS
    scene.kafka.parts = [
        lag(0, 5, end, holder="trailhouse-worker dead"),
        lag(1, 5, 9, holder="trailhouse-worker dead"),
        lag(2, 5, 9, holder=HOLDER),
        lag(3, 5, 9),
        lag(4, 5, 5, holder="trailhouse-worker dead"),
    ]
    scene.ledger.stored |= FakeLedger({n: [(0, 4)] for n in range(5)}).stored
    starts = scene.offset_check().starts(range(5))
    assert starts is not None
    assert starts.suspects == {0: Range(5, 5 + SUSPECT_OFFSETS - 1), 1: Range(5, 8)}


def test_what_the_ledger_forgot_is_seen(scene: Scene) -> None:
    """For each partition from where on it is missing; what is complete is left out."""
    scene.ledger.stored |= FakeLedger({0: [(0, 9)], 1: [(0, 3), (8, 9)]}).stored
    stored = {0: [(0, 9)], 1: [(0, 9)], 2: [(0, 4)], 3: []}
    assert scene.offset_check().forgotten(stored) == {1: 4, 2: 0}


def test_nobody_acts_on_what_could_not_be_written_down(scene: Scene) -> None:
    """With ClickHouse away the question is asked again, and no start is returned."""
    scene.kafka.parts = [lag(0, 4, 9, first=7)]
    scene.ledger.raising = StorageUnavailableError("away")
    with pytest.raises(StorageUnavailableError):
        scene.offset_check(on_gap="record").starts([0])
